package amqptest

import "slices"

// bounded says whether the queue has a bound at all.
func (q *queue) bounded() bool { return q.opts.maxLength >= 0 || q.opts.maxBytes >= 0 }

// refuses says whether the queue takes no more from publishers.
//
// A classic queue counts exactly. A quorum queue notices when it is over its
// bound, and tells its publishers; so it takes one message too many, and
// nothing more until it has only four fifths left.
func (q *queue) refuses(m *message) bool {
	if !q.bounded() || q.opts.overflow != rejectPublish && q.opts.overflow != rejectPublishDLX {
		return false
	}
	if q.scheduled {
		q.deliver()
	}
	if q.kind == quorum {
		return q.refusing
	}
	o := q.opts
	return o.maxLength >= 0 && int64(q.ready.len())+1 > o.maxLength ||
		o.maxBytes >= 0 && q.ready.bytes+q.sizeOf(m) > o.maxBytes
}

// refused sees to what the queue refused.
func (q *queue) refused(m *message) {
	if q.kind == classic && q.opts.overflow == rejectPublishDLX {
		q.deadLetter(q.newEntry(m), reasonMaxLen)
	}
}

// checkBounds drops what is too much, from the head, or sets and clears
// refusing.
func (q *queue) checkBounds() {
	if !q.bounded() {
		return
	}
	if q.opts.overflow == dropHead {
		q.dropHead()
		return
	}
	if q.kind != quorum {
		return
	}
	switch {
	case q.over(1, 1):
		q.refusing = true
	case !q.over(4, 5):
		q.refusing = false
	}
}

// dropHead drops what is too much, but nothing that is delayed. What a quorum
// queue drops at one go, its dead letters tell in reverse, before 4.3.
func (q *queue) dropHead() {
	var dropped []*entry
	for q.over(1, 1) {
		e := q.ready.take()
		if e == nil {
			break
		}
		dropped = append(dropped, e)
	}
	if q.kind == quorum && !q.version().atLeast43() {
		slices.Reverse(dropped)
	}
	for _, e := range dropped {
		q.deadLetter(e, reasonMaxLen)
	}
}

// over says whether the queue has more than num/den of what it may have. What
// at-least-once dead-lettering has not brought to its target counts, too.
func (q *queue) over(num, den int64) bool {
	n, bytes := int64(q.ready.len()+q.delayed.len()), q.ready.bytes+q.delayed.bytes
	if q.dead != nil {
		held, size := q.dead.held()
		n, bytes = n+int64(held), bytes+size
	}
	o := q.opts
	return o.maxLength >= 0 && n > o.maxLength*num/den || o.maxBytes >= 0 && bytes > o.maxBytes*num/den
}
