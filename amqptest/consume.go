package amqptest

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func (ch *channel) basicConsume(m *wire.BasicConsume) *amqpError {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if _, used := ch.consumers[m.ConsumerTag]; used {
		return hardError(codeNotAllowed, "attempt to reuse consumer tag '%s'", m.ConsumerTag)
	}
	if err := ch.may(read, "queue", name); err != nil {
		return err
	}
	if ch.isReplyQueue(name) {
		return softError(codePreconditionFailed, "only creator channel may consume from %s", ch.conn.vhost.resource("queue", name))
	}
	q, err := ch.queueOf(name)
	if err != nil {
		return err
	}
	if err := q.checkConsumerArguments(m.Arguments); err != nil {
		return err
	}
	c := q.newConsumer(ch, m)
	if err := q.admits(c); err != nil {
		return err
	}
	if q.log != nil {
		if err := q.attachStream(c, m.Arguments); err != nil {
			return err
		}
	}
	ch.consumers[c.tag] = c
	ch.reply(m.NoWait, &wire.BasicConsumeOk{ConsumerTag: c.tag})
	q.addConsumer(c)
	return nil
}

// newConsumer makes the consumer that m asks for.
func (q *queue) newConsumer(ch *channel, m *wire.BasicConsume) *consumer {
	c := &consumer{
		ch: ch, queue: q, tag: m.ConsumerTag, noAck: m.NoAck, exclusive: m.Exclusive,
		args: m.Arguments, prefetch: ch.prefetch,
	}
	if c.tag == "" {
		c.tag = generatedConsumerTag()
	}
	if v, ok := m.Arguments.Get("x-priority"); ok {
		p, _ := wire.Int(v)
		c.priority = int(p)
	}
	c.timeout = q.consumerTimeout()
	if v, ok := m.Arguments.Get("x-consumer-timeout"); ok && q.quorum43() {
		ms, _ := wire.Int(v)
		c.timeout = time.Duration(ms) * time.Millisecond
	}
	return c
}

// generatedConsumerTag is one as RabbitMQ gives to those who want none of
// their own.
func generatedConsumerTag() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return "amq.ctag-" + base64.RawURLEncoding.EncodeToString(id[:])
}

// admits says whether the queue takes another consumer of this sort.
func (q *queue) admits(c *consumer) *amqpError {
	switch {
	case q.kind == quorum && c.ch.limit > 0: // attachStream asks for streams
		return hardError(codeNotImplemented, "%s does not support global qos", q.resource())
	case q.kind != classic:
		return nil // which know no exclusive consumers
	case q.opts.singleActive && !c.exclusive:
		return nil
	case q.opts.singleActive, q.exclusive != nil, c.exclusive && len(q.consumers) > 0:
		return softError(codeAccessRefused, "%s in exclusive use", q.resource())
	}
	return nil
}

func (q *queue) resource() string { return q.vhost.resource("queue", q.name) }

// addConsumer lets a consumer in.
func (q *queue) addConsumer(c *consumer) {
	q.hadConsumer = true
	if !q.revive(c) {
		q.nextAge++
		c.seq = q.nextAge
		q.consumers = append(q.consumers, c)
	}
	if c.exclusive && q.kind == classic {
		q.exclusive = c
	}
	if q.broker().tracer.on {
		q.traceConsumer(c, EventConsumerAdded, "")
	}
	if q.log == nil {
		if q.opts.singleActive {
			q.activate()
		} else {
			c.enlist()
		}
	}
	q.wake()
}

// revive has a consumer of a quorum queue take over what an earlier one of the
// same channel and tag holds, which was cancelled. RabbitMQ takes them for the
// same.
func (q *queue) revive(c *consumer) bool {
	at := slices.IndexFunc(q.lingering, func(old *consumer) bool { return old.ch == c.ch && old.tag == c.tag })
	if at < 0 {
		return false
	}
	old := q.lingering[at]
	q.lingering = slices.Delete(q.lingering, at, at+1)
	c.seq, c.unacked, c.late, c.out = old.seq, old.unacked, old.late, old.out
	held := c.ch.unacked.all()
	for _, s := range c.ch.settling {
		held = append(held, s.deliveries...)
	}
	for _, d := range held {
		if d.consumer == old {
			d.consumer = c
		}
	}
	q.consumers = append(q.consumers, c)
	slices.SortFunc(q.consumers, func(a, b *consumer) int { return int(a.seq) - int(b.seq) })
	return true
}

func (ch *channel) basicCancel(m *wire.BasicCancel) *amqpError {
	c := ch.consumers[m.ConsumerTag]
	delete(ch.consumers, m.ConsumerTag)
	ch.reply(m.NoWait, &wire.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	if c != nil {
		c.queue.removeConsumer(c, "client")
	}
	return nil
}

// removeConsumer lets a consumer go; what it holds unacked it keeps. An
// auto-delete queue goes with its last one. The caller has taken it off its
// channel. why is for the trace: client, channel or broker.
func (q *queue) removeConsumer(c *consumer, why string) {
	q.forgetConsumer(c, why)
	if q.autoDeleteIfUnused() {
		return
	}
	if q.log == nil && q.opts.singleActive {
		q.activate()
	}
	if q.kind == classic && !q.version().atLeast40() {
		// 3.10 does not look at the queue here: if another single active
		// consumer takes over, it gets nothing until something else happens.
		return
	}
	q.wake()
}

// forgetConsumer takes a consumer off the queue.
func (q *queue) forgetConsumer(c *consumer, why string) {
	if c.cancelled {
		return
	}
	c.cancelled = true
	same := func(other *consumer) bool { return other == c }
	q.consumers = slices.DeleteFunc(q.consumers, same)
	q.stalled = slices.DeleteFunc(q.stalled, same)
	q.service.remove(c)
	if q.exclusive == c {
		q.exclusive = nil
	}
	if q.active == c {
		q.active = nil
	}
	if q.log != nil {
		q.detachStream(c)
	}
	if q.kind == quorum && c.unacked > 0 {
		q.lingering = append(q.lingering, c)
	}
	if q.broker().tracer.on {
		q.traceConsumer(c, EventConsumerCancelled, why)
	}
	q.unused()
}

// autoDeleteIfUnused deletes an auto-delete queue that has lost its last
// consumer, and tells whether it did.
func (q *queue) autoDeleteIfUnused() bool {
	if !q.autoDelete || !q.hadConsumer || len(q.consumers) > 0 || q.kind != classic {
		return false
	}
	q.deleteSelf("auto-delete")
	return true
}

// deleteSelf deletes the queue for a reason of its own.
func (q *queue) deleteSelf(why string) {
	q.traceDeleted(nil, why)
	q.vhost.deleteQueue(q)
}

// traceDeleted notes that the queue is about to be deleted, on behalf of a
// channel or of none.
func (q *queue) traceDeleted(ch *channel, why string) {
	b := q.broker()
	if !b.tracer.on || q.deleted {
		return
	}
	e := Event{Kind: EventQueueDeleted, VHost: q.vhost.name, Queue: q.name, Reason: why, Count: q.len()}
	if ch != nil {
		e.Connection, e.Channel = ch.conn.id, ch.id
	}
	b.trace(e)
}

// cancelByBroker ends a consumer whose queue goes. The client is told if it
// understands that.
func (q *queue) cancelByBroker(c *consumer) {
	c.cancelled = true
	if q.log != nil {
		q.detachStream(c)
	}
	if c.ch.consumers[c.tag] == c {
		delete(c.ch.consumers, c.tag)
		q.broker().later(c.tellCancelled) // after the queue.delete-ok of its own channel
	}
	if q.broker().tracer.on {
		q.traceConsumer(c, EventConsumerCancelled, "broker")
	}
}

// cancelConsumers ends all consumers of a queue that stays. What they hold
// unacked they keep.
func (q *queue) cancelConsumers() {
	for _, c := range slices.Clone(q.consumers) {
		if c.ch.consumers[c.tag] == c {
			delete(c.ch.consumers, c.tag)
		}
		c.tellCancelled()
		q.removeConsumer(c, "broker")
	}
}

// forgetConsumers takes all consumers off a queue, and leaves their channels in the
// belief that they have them. What they hold unacked they keep.
func (q *queue) forgetConsumers() {
	for _, c := range slices.Clone(q.consumers) {
		q.removeConsumer(c, "fault")
	}
}

// tellCancelled sends basic.cancel, if the client understands it.
func (c *consumer) tellCancelled() {
	conn := c.ch.conn
	if conn.capabilities.consumerCancelNotify && !c.ch.gone && !c.ch.closing {
		conn.send(c.ch.id, &wire.BasicCancel{ConsumerTag: c.tag, NoWait: true})
	}
}

func (q *queue) traceConsumer(c *consumer, kind EventKind, why string) {
	q.broker().trace(Event{
		Kind: kind, VHost: q.vhost.name, Queue: q.name, Consumer: c.tag, Reason: why,
		Connection: c.ch.conn.id, Channel: c.ch.id,
	})
}
