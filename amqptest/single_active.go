package amqptest

// activate sees to it that a queue with a single active consumer has one, if
// there is any to be had.
//
// In a classic queue the active one stays until it goes. Since 4.0, one of
// higher priority takes over in a quorum queue, as soon as nothing is unacked
// at the active one.
func (q *queue) activate() {
	if !q.opts.singleActive || q.deleted {
		return
	}
	if a := q.active; a != nil && a.late > 0 {
		q.active = nil
	}
	next := q.nextActive()
	switch a := q.active; {
	case next == nil:
		return
	case a == nil:
	case q.kind != quorum || !q.version().atLeast40() || next.priority <= a.priority:
		return
	case a.unacked > 0:
		a.quiescing = true
		return
	}
	if q.active != nil {
		q.active.quiescing = false
	}
	q.active = next
	if q.broker().tracer.on {
		q.traceConsumer(next, EventConsumerActivated, "")
	}
}

// nextActive is the one that would be active after the active one; nil: there
// is no other.
func (q *queue) nextActive() *consumer {
	var best *consumer
	for _, c := range q.consumers {
		if c == q.active || c.late > 0 {
			continue
		}
		if best == nil || q.ranksBefore(c, best) {
			best = c
		}
	}
	return best
}

// ranksBefore says whether a is to be active before b: by priority, in quorum
// queues since 4.0 then by credit, then by age. 3.10's quorum queues go by age
// alone.
func (q *queue) ranksBefore(a, b *consumer) bool {
	if q.kind == quorum && !q.version().atLeast40() {
		return a.seq < b.seq
	}
	if a.priority != b.priority {
		return a.priority > b.priority
	}
	if q.kind == quorum && a.creditLimit() != b.creditLimit() {
		return a.creditLimit() > b.creditLimit()
	}
	return a.seq < b.seq
}
