package amqptest

import (
	"cmp"
	"slices"
	"time"
)

// The consumer timeout. Up to 4.0 a channel looks at its oldest delivery, and
// ends when that has not been acked for too long. Since 4.3 quorum queues look
// at each consumer: the consumer is cancelled, what was due comes back, and the
// channel goes on; classic queues have no such timeout any more.
//
// RabbitMQ's channels look once a minute; here it happens when it is due.

// consumerTimeout is how long a delivery of this queue may stay unacked.
func (q *queue) consumerTimeout() time.Duration {
	return cmp.Or(q.opts.consumerTimeout, q.broker().cfg.ConsumerTimeout)
}

// watchTimeout sees to it that the delivery, which is new, does not stay out
// for too long.
func (q *queue) watchTimeout(d *delivery) {
	if !q.version().atLeast43() {
		d.channel.watchTimeout()
		return
	}
	if q.kind != quorum {
		return
	}
	due := d.due()
	if q.timeout != nil {
		if !q.timeout.at.After(due) {
			return
		}
		q.timeout.stop()
	}
	q.timeout = q.broker().clock.at(due, q.timeOut)
}

// due is when a delivery times out.
func (d *delivery) due() time.Time {
	if d.consumer != nil {
		return d.at.Add(d.consumer.timeout)
	}
	return d.at.Add(d.entry.queue.consumerTimeout())
}

// watchTimeout starts the channel's timer, unless it is running.
func (ch *channel) watchTimeout() {
	if oldest := ch.unacked.oldest; ch.timeout == nil && oldest != nil {
		// The timeout has to be passed, not reached.
		ch.timeout = ch.conn.broker.clock.at(oldest.due().Add(time.Millisecond), ch.timeOut)
	}
}

func (ch *channel) timeOut() {
	ch.timeout = nil
	oldest := ch.unacked.oldest
	if oldest == nil || ch.gone || ch.closing {
		return
	}
	if ch.conn.broker.clock.now().After(oldest.due()) {
		ch.fail(timeoutError(ch, oldest.due().Sub(oldest.at)/time.Millisecond))
		return
	}
	ch.watchTimeout()
}

func timeoutError(ch *channel, ms time.Duration) *amqpError {
	return softError(codePreconditionFailed, "delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
		"This timeout value can be configured, see consumers doc guide to learn more", ch.id, ms)
}

// timeOut takes back what has been out for too long.
func (q *queue) timeOut() {
	q.timeout = nil
	if q.deleted {
		return
	}
	var failing []*channel
	holders := slices.Concat(q.consumers, q.lingering)
	slices.SortFunc(holders, func(a, b *consumer) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range holders {
		if q.release(&c.out) && !c.giveUp() {
			failing = append(failing, c.ch)
		}
	}
	for d := q.gets.oldest; d != nil && !q.now().Before(d.due()); d = q.gets.oldest {
		failing = append(failing, d.channel)
		q.releaseOne(d)
		q.gets.remove(d)
	}
	if q.opts.singleActive {
		q.activate()
	}
	q.wake()
	q.watchNextTimeout()
	for _, ch := range failing {
		if !ch.gone && !ch.closing {
			ch.fail(timeoutError(ch, -1))
		}
	}
}

// release takes back what of h is due, and tells whether there was anything.
func (q *queue) release(h *holding) (any bool) {
	for d := h.oldest; d != nil && !q.now().Before(d.due()); d = h.oldest {
		any = true
		q.releaseOne(d)
		d.consumer.late++
	}
	return any
}

// releaseOne puts an entry back whose delivery stays, to be settled late and
// to no effect.
func (q *queue) releaseOne(d *delivery) {
	d.takeBack()
	d.released = true
	if q.broker().tracer.on {
		q.trace(Event{Kind: EventRequeued, Tag: d.tag, Reason: "timeout"}, d.channel, d.entry)
	}
	q.cameBack(d.entry, false)
	d.entry.redelivered = true
	q.giveBack(d.entry, false)
}

// giveUp tells the client that a consumer is cancelled; false: it would not
// understand, or has cancelled it itself. The queue gives the consumer nothing
// until what is late is settled, and then takes it up again: RabbitMQ does.
func (c *consumer) giveUp() bool {
	if !c.ch.conn.capabilities.consumerCancelNotify || c.ch.consumers[c.tag] != c {
		return false
	}
	c.tellCancelled()
	if c.queue.broker().tracer.on {
		c.queue.traceConsumer(c, EventConsumerCancelled, "broker")
	}
	return true
}

// watchNextTimeout sets the timer for what is still out.
func (q *queue) watchNextTimeout() {
	for _, c := range slices.Concat(q.consumers, q.lingering) {
		if d := c.out.oldest; d != nil {
			q.watchTimeout(d)
		}
	}
	if d := q.gets.oldest; d != nil {
		q.watchTimeout(d)
	}
}
