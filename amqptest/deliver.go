package amqptest

import (
	"cmp"
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// deliver gives consumers what there is for them, then sees to the queue's
// bounds and to what has expired. It may be called at any time.
func (q *queue) deliver() {
	q.scheduled = false
	if q.deleted {
		return
	}
	q.unstall()
	switch q.kind {
	case stream:
		q.deliverStream()
		return
	case quorum:
		q.deliverBatches()
	default:
		q.deliverEach()
	}
	q.checkBounds()
	q.dropExpired()
	q.watchTTL()
}

// deliverEach sends one entry after the other, as classic queues do.
func (q *queue) deliverEach() {
	for q.ready.len() > 0 {
		c := q.nextConsumer()
		if c == nil {
			return
		}
		q.serve(c, q.ready.take())
		// A consumer keeps its turn even if it may get no more just now.
		if !q.opts.singleActive && !c.queued && !c.cancelled {
			q.service.push(c)
		}
		q.dropExpired()
	}
}

// deliverBatches hands out all that can be, then sends each consumer its share,
// as quorum queues do.
func (q *queue) deliverBatches() {
	for again := true; again; {
		var taking []*consumer
		taking, again = q.handOut()
		slices.SortFunc(taking, q.compareConsumers)
		for _, c := range taking {
			batch := c.batch
			c.batch = nil
			for _, e := range batch {
				q.serve(c, e)
			}
			if c.noAck && !q.opts.singleActive {
				c.enlist()
			}
		}
	}
}

// batchBytes is how much is handed out before it is sent.
const batchBytes = 128_000

// handOut shares what is ready among the consumers, up to batchBytes, and lists
// those that have something. again says that there may be more to hand out when
// they have it.
func (q *queue) handOut() (taking []*consumer, again bool) {
	for bytes := int64(0); bytes < batchBytes; {
		q.dropExpired()
		if q.ready.len() == 0 {
			return taking, false
		}
		c := q.nextConsumer()
		if c == nil {
			break
		}
		e := q.ready.take()
		if len(c.batch) == 0 {
			taking = append(taking, c)
		}
		c.batch = append(c.batch, e)
		bytes += e.size()
		if !q.opts.singleActive {
			c.enlist()
		}
	}
	return taking, len(taking) > 0
}

// compareConsumers is the order in which consumers are sent their shares.
func (q *queue) compareConsumers(a, b *consumer) int {
	if q.version().atLeast40() {
		return cmp.Compare(a.seq, b.seq)
	}
	return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.ch.conn.id, b.ch.conn.id), cmp.Compare(a.ch.id, b.ch.id))
}

// nextConsumer is the one whose turn it is; nil: nobody can take anything. It
// is out of the queue's service.
func (q *queue) nextConsumer() *consumer {
	if q.opts.singleActive {
		c := q.active
		if c == nil || !c.hasCredit() || c.limited() || !c.ch.conn.writable() {
			return nil
		}
		return c
	}
	for c := q.service.pop(); c != nil; c = q.service.pop() {
		switch {
		case c.cancelled:
		case c.limited() || !c.ch.conn.writable():
			c.stalled = true
			q.stalled = append(q.stalled, c)
		case c.hasCredit():
			return c
		}
		// Who has no credit comes back with the next ack.
	}
	return nil
}

// unstall has consumers served again that need not wait any more.
func (q *queue) unstall() {
	if len(q.stalled) == 0 {
		return
	}
	stalled := q.stalled
	q.stalled = nil
	for _, c := range stalled {
		switch {
		case c.cancelled:
		case c.limited() || !c.ch.conn.writable():
			q.stalled = append(q.stalled, c)
		default:
			c.stalled = false
			c.enlist()
		}
	}
}

// serve sends one entry to a consumer.
func (q *queue) serve(c *consumer, e *entry) {
	ch := c.ch
	ch.nextTag++
	ch.conn.sendContent(ch.id, q.deliverMethod(c, e), e.header(false), e.msg.body)
	if q.broker().tracer.on {
		q.trace(Event{Kind: EventDelivered, Consumer: c.tag, Tag: ch.nextTag, Redelivered: e.redelivered}, ch, e)
	}
	if e.redelivered {
		q.stats.redelivered++
		ch.counts.redelivery++
	}
	if c.noAck {
		q.stats.deliveredNoAck++
		ch.counts.deliverNoAck++
	} else {
		q.stats.delivered++
		ch.counts.deliver++
		c.unacked++
		ch.outstanding++
		q.hold(ch, c, e)
	}
	if q.broker().faults.on {
		q.broker().faultDelivered(ch, e)
	}
}

// deliverMethod is the basic.deliver of the delivery in hand, valid until the
// next one of the connection.
func (q *queue) deliverMethod(c *consumer, e *entry) *wire.BasicDeliver {
	m := &c.ch.conn.scratch.deliver
	*m = wire.BasicDeliver{
		ConsumerTag: c.tag, DeliveryTag: c.ch.nextTag, Redelivered: e.redelivered,
		Exchange: e.msg.exchange, RoutingKey: e.msg.key,
	}
	return m
}

// hold notes that an entry is out at a channel, under its last delivery tag.
func (q *queue) hold(ch *channel, c *consumer, e *entry) {
	d := &delivery{tag: ch.nextTag, entry: e, consumer: c, at: q.now(), channel: ch}
	ch.unacked.add(d)
	q.unacked++
	if c != nil {
		c.out.add(d)
	} else {
		q.getsOut++
		if q.quorum43() {
			q.gets.add(d)
		}
	}
	q.watchTimeout(d)
}

// trace notes an event about an entry of the queue. It is called if tracer.on.
func (q *queue) trace(about Event, ch *channel, e *entry) {
	about.VHost, about.Queue, about.MessageID = q.vhost.name, q.name, e.msg.props.MessageID
	if ch != nil {
		about.Connection, about.Channel = ch.conn.id, ch.id
	}
	q.broker().trace(about)
}
