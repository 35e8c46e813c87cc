package amqptest

// requeuesToTail says whether what a client gives back goes behind all others:
// before 4.3 in a quorum queue without a delivery limit, which writes it down
// anew. What comes back because its channel ended does not.
func (q *queue) requeuesToTail() bool {
	return q.kind == quorum && !q.limit.has && !q.version().atLeast43()
}

// requeue puts back an entry that was out, or lets it leave dead if that was
// once too often.
func (q *queue) requeue(e *entry, op settleOp) (died bool) {
	q.cameBack(e, op.failed)
	e.redelivered = true
	if q.requeuesToTail() {
		q.nextSeq++
		e.seq, e.priority = q.nextSeq, quorumDefaultPriority
		q.ready.push(e)
		return false
	}
	return q.giveBack(e, op.failed)
}

// giveBack puts back an entry that is counted already.
func (q *queue) giveBack(e *entry, failed bool) (died bool) {
	if q.limit.reached(e) {
		q.deadLetter(e, reasonDeliveryLimit)
		return true
	}
	if d := q.delayFor(e, failed); d > 0 {
		q.delay(e, d)
	} else {
		q.ready.giveBack(e)
	}
	return false
}
