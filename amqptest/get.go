package amqptest

import "github.com/hareline/hareline/internal/wire"

func (ch *channel) basicGet(m *wire.BasicGet) *amqpError {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if err := ch.may(read, "queue", name); err != nil {
		return err
	}
	if ch.isReplyQueue(name) {
		return hardError(codeNotImplemented, "basic.get not supported by volatile %s", ch.conn.vhost.resource("queue", name))
	}
	q, err := ch.queueOf(name)
	if err != nil {
		return err
	}
	switch {
	case q.kind == stream:
		return hardError(codeNotImplemented, "basic.get not supported by stream queues %s", q.resource())
	case q.kind == quorum && q.opts.singleActive:
		name := "quorum"
		if q.version().atLeast43() {
			name = `<<"quorum">>` // as 4.3 prints it
		}
		return softError(codeResourceLocked, "cannot obtain access to locked %s. basic.get operations "+
			"are not supported by %s queues with single active consumer", q.resource(), name)
	}
	q.get(ch, m.NoAck)
	return nil
}

// get answers with the next message, or with basic.get-empty.
func (q *queue) get(ch *channel, noAck bool) {
	q.used()
	q.dropExpired()
	e := q.ready.take()
	if e == nil {
		q.stats.gotEmpty++
		ch.counts.getEmpty++
		ch.reply(false, &wire.BasicGetEmpty{})
		return
	}
	q.dropExpired()
	ch.nextTag++
	ch.conn.sendContent(ch.id, &wire.BasicGetOk{
		DeliveryTag: ch.nextTag, Redelivered: e.redelivered, Exchange: e.msg.exchange, RoutingKey: e.msg.key,
		MessageCount: uint32(min(q.ready.len(), maxMessageCount)),
	}, e.header(true), e.msg.body)
	if q.broker().tracer.on {
		q.trace(Event{Kind: EventGot, Tag: ch.nextTag, Redelivered: e.redelivered}, ch, e)
	}
	if e.redelivered {
		q.stats.redelivered++
		ch.counts.redelivery++
	}
	if noAck {
		q.stats.gotNoAck++
		ch.counts.getNoAck++
	} else {
		q.stats.got++
		ch.counts.get++
		q.hold(ch, nil, e)
	}
	// The bounds and what falls due next may have changed.
	q.wake()
}

const maxMessageCount = 1<<32 - 1
