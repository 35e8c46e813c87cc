package amqptest

import (
	"cmp"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// consumer is one basic.consume.
type consumer struct {
	ch               *channel
	queue            *queue
	tag              string
	noAck, exclusive bool
	priority         int
	args             wire.Table
	prefetch         int // basic.qos with global=false when it was made; 0: no limit
	unacked          int
	seq              uint64 // age
	cancelled        bool
	// offset is a stream consumer's next one; credit is what it may still be sent.
	offset uint64

	// timeout is how long a delivery may stay unacked (4.3's quorum queues).
	timeout time.Duration
	// bonus is what 3.10's quorum queues give a consumer too much.
	bonus int
	// quiescing: another single active consumer, of higher priority, takes
	// over when this one has nothing unacked any more.
	quiescing bool
	// late counts deliveries that timed out and were not yet settled; while
	// there are any, the consumer gets nothing.
	late int
	// queued: in the queue's service; stalled: in its list of stalled ones.
	queued, stalled bool
	out             holding
	// batch is what a quorum queue has handed out to it and not yet sent.
	batch []*entry
}

// delivery is one entry out at a client, waiting for its ack.
type delivery struct {
	tag      uint64
	entry    *entry
	consumer *consumer // nil: from basic.get
	at       time.Time
	// released: it timed out, and the entry is no longer out here (4.3).
	released bool

	prev, next   *delivery // in unackedSet
	above, below *delivery // in holding
	channel      *channel
}

// quorumCredit is how many deliveries a consumer of a quorum queue may have
// unacked if it set no prefetch.
const quorumCredit = 2000

// creditLimit is how many deliveries the consumer may have unacked at once; 0:
// any number.
func (c *consumer) creditLimit() int {
	if c.prefetch == 0 && c.queue.kind == quorum {
		return quorumCredit
	}
	return c.prefetch
}

// hasCredit says whether the consumer may get one more, as far as it goes by the
// consumer and not by its channel.
func (c *consumer) hasCredit() bool {
	if c.cancelled || c.quiescing || c.late > 0 {
		return false
	}
	if c.noAck && c.queue.kind != quorum {
		return true
	}
	limit := c.creditLimit()
	return limit == 0 || c.unacked+len(c.batch) < limit+c.bonus
}

// limited says whether the limit of its channel holds the consumer up. One that
// need not ack waits, too.
func (c *consumer) limited() bool {
	return c.queue.kind == classic && c.ch.limit > 0 && c.ch.outstanding >= c.ch.limit
}

// enlist puts the consumer at the end of those to be served, if it may get
// something and is not there.
func (c *consumer) enlist() {
	if !c.queued && !c.stalled && c.hasCredit() {
		c.queue.service.push(c)
	}
}

// holding is what one consumer holds unacked, oldest first.
type holding struct{ oldest, newest *delivery }

func (h *holding) add(d *delivery) {
	d.above, d.below = h.newest, nil
	if h.newest == nil {
		h.oldest = d
	} else {
		h.newest.below = d
	}
	h.newest = d
}

func (h *holding) remove(d *delivery) {
	if d.above == nil && h.oldest != d {
		return // not there any more
	}
	if d.above == nil {
		h.oldest = d.below
	} else {
		d.above.below = d.below
	}
	if d.below == nil {
		h.newest = d.above
	} else {
		d.below.above = d.above
	}
	d.above, d.below = nil, nil
}

// consumerQueue holds consumers in the order in which they are served: the
// highest priority first, in each priority in turns. The zero value is empty.
type consumerQueue struct {
	levels []consumerLevel // highest priority first
}

type consumerLevel struct {
	priority  int
	consumers []*consumer
	first     int
}

// push puts a consumer at the end of its priority.
func (s *consumerQueue) push(c *consumer) {
	i, found := slices.BinarySearchFunc(s.levels, c.priority, func(l consumerLevel, p int) int { return cmp.Compare(p, l.priority) })
	if !found {
		s.levels = slices.Insert(s.levels, i, consumerLevel{priority: c.priority})
	}
	l := &s.levels[i]
	if l.first > 0 && len(l.consumers) == cap(l.consumers) {
		n := copy(l.consumers, l.consumers[l.first:])
		clear(l.consumers[n:])
		l.consumers, l.first = l.consumers[:n], 0
	}
	l.consumers = append(l.consumers, c)
	c.queued = true
}

// pop takes out the first consumer; nil: there is none.
func (s *consumerQueue) pop() *consumer {
	for i := range s.levels {
		l := &s.levels[i]
		if l.first == len(l.consumers) {
			continue
		}
		c := l.consumers[l.first]
		l.consumers[l.first] = nil
		l.first++
		if l.first == len(l.consumers) {
			l.consumers, l.first = l.consumers[:0], 0
		}
		c.queued = false
		return c
	}
	return nil
}

// remove takes a consumer out, wherever it is.
func (s *consumerQueue) remove(c *consumer) {
	if !c.queued {
		return
	}
	for i := range s.levels {
		l := &s.levels[i]
		if at := slices.Index(l.consumers[l.first:], c); at >= 0 {
			l.consumers = slices.Delete(l.consumers, l.first+at, l.first+at+1)
			c.queued = false
			return
		}
	}
}
