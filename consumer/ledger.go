package consumer

// ledger knows what became of each delivery tag of one session. Tags are
// numbered from 1 without gaps (AMQP 0-9-1, delivery-tag).
type ledger struct {
	low   uint64   // all tags up to here are settled
	state []mark   // of low+1, low+2, ...
	fresh []uint64 // finished since the last acks
}

type mark uint8

const (
	outstanding mark = iota
	finished         // may be acked
	settled
)

// ack is one basic.ack to send.
type ack struct {
	tag      uint64
	multiple bool
}

// deliver enters the next tag.
func (l *ledger) deliver(tag uint64) {
	for l.low+uint64(len(l.state)) < tag {
		l.state = append(l.state, outstanding)
	}
}

// finish says that tag may be acked.
func (l *ledger) finish(tag uint64) {
	l.set(tag, finished)
	l.fresh = append(l.fresh, tag)
}

// settle says that tag was given back or rejected.
func (l *ledger) settle(tag uint64) { l.set(tag, settled) }

func (l *ledger) set(tag uint64, m mark) {
	if tag > l.low && tag <= l.low+uint64(len(l.state)) && l.state[tag-l.low-1] != settled {
		l.state[tag-l.low-1] = m
	}
}

// acks appends the acks to send for all that is finished, and counts them as
// sent. What lies below the first unfinished tag goes with one multiple ack,
// whose tag must itself be finished and not settled yet: the broker closes the
// channel on a tag it no longer knows, and undoes every ack below (R 7). What
// is finished above goes singly, so that one slow handler holds nobody up.
func (l *ledger) acks(into []ack) []ack {
	count, last, i := 0, -1, 0
	for ; i < len(l.state) && l.state[i] != outstanding; i++ {
		if l.state[i] == finished {
			count, last = count+1, i
		}
	}
	if last >= 0 {
		into = append(into, ack{tag: l.low + uint64(last) + 1, multiple: count > 1}) //nolint:gosec // an index
	}
	l.low += uint64(i) //nolint:gosec // an index
	l.state = l.state[i:]
	for _, tag := range l.fresh {
		if tag > l.low && l.state[tag-l.low-1] == finished {
			into = append(into, ack{tag: tag})
			l.set(tag, settled)
		}
	}
	l.fresh = l.fresh[:0]
	return into
}
