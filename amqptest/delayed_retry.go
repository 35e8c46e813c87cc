package amqptest

import "time"

// Values of x-delayed-retry-type.
const (
	delayAll      = "all"
	delayFailed   = "failed"
	delayReturned = "returned"
)

// delayedSet holds what was given back to a quorum queue of 4.3 that lets
// retries wait. It counts as neither ready nor unacked, but against the
// queue's bounds.
type delayedSet struct {
	entryHeap // the one that is ready first, first
	bytes     int64
}

func newDelayedSet() delayedSet {
	return delayedSet{entryHeap: entryHeap{less: func(a, b *entry) bool {
		if a.ready.Equal(b.ready) {
			return a.seq < b.seq
		}
		return a.ready.Before(b.ready)
	}}}
}

func (s *delayedSet) len() int { return len(s.entries) }

// clear takes everything out and tells how much that was.
func (s *delayedSet) clear() int {
	n := s.len()
	s.entries, s.bytes = nil, 0
	return n
}

// delayFor is how long an entry that was given back is to wait; failed says
// that its delivery counts as failed. 0: not at all.
func (q *queue) delayFor(e *entry, failed bool) time.Duration {
	o := q.opts
	switch {
	case o.delayedRetry == delayAll, o.delayedRetry == delayFailed && failed, o.delayedRetry == delayReturned && !failed:
		return min(o.delayedRetryMin*time.Duration(max(1, e.deliveries)), o.delayedRetryMax)
	}
	return 0
}

// delay puts an entry aside for a while.
func (q *queue) delay(e *entry, d time.Duration) {
	e.ready = q.now().Add(d)
	q.delayed.add(e)
	q.delayed.bytes += e.size()
}

// endDelays makes ready again what has waited long enough.
func (q *queue) endDelays() {
	now := q.now()
	h := &q.delayed.entryHeap
	for e := h.peek(); e != nil && !now.Before(e.ready); e = h.peek() {
		h.pop()
		q.delayed.bytes -= e.size()
		e.ready = time.Time{}
		q.ready.giveBack(e)
	}
}
