package amqptest

import (
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// faultPoint is a place that the broker passes at which faults are looked for.
type faultPoint struct {
	conn    *conn    // nil if it is not known yet (pointConnect)
	channel *channel // nil for methods of a connection
	// class and method are those of the method about to be done, or of a
	// delivery just made (basic.deliver).
	class, method        uint16
	exchange, key, queue string
	hasExchange          bool // "" is the default exchange, not none
	// queues are those that a publish was routed to.
	queues []*queue
	// settle, if not nil, is the method whose deliveries tell the queue.
	settle wire.Method
}

// faultEffect is what is to go wrong at a faultPoint, as far as the caller has
// to see to it, in the order of the fields. The zero value: nothing.
type faultEffect struct {
	// cutBefore: leave the method undone and cut the connection: what was sent
	// before goes out, then the socket is closed without a word. At
	// pointConnect: close the socket.
	cutBefore bool
	// refuse: the method is connection.start-ok: refuse the credentials.
	refuse bool
	// err: leave the method undone and answer with this.
	err *amqpError
	// nack: the method is basic.publish: no queue gets it; nack it, or forget
	// it where nobody confirms.
	nack bool
	// cutAfter: do the method, keep its answer (the confirm, the -ok) back,
	// then cut the connection.
	cutAfter bool
	// confirm, if not nil, is called with what sends the publish's confirm (on
	// its own, at once, under Broker.mu; nothing if the channel is gone)
	// instead of that being called: it comes later, or never.
	confirm func(send func())
}

// prevents tells whether the method is not done as it was meant.
func (e *faultEffect) prevents() bool { return e.cutBefore || e.refuse || e.err != nil || e.nack }

// pointConnect is the faultPoint.method, with class 0, of a connection that
// was accepted and of which nothing was read.
const pointConnect = 1

// fault tells what is to go wrong here, and counts it. It is called, if
// b.faults.on,
//   - for a new socket (pointConnect),
//   - for each method of a client (see pointOf), before it is done; a publish
//     when it was checked and routed, before anything is stored or returned.
//
// A connection that is stalled has conn.stall set, which its reader looks at
// before each method.
func (b *Broker) fault(p faultPoint) faultEffect {
	var e faultEffect
	for _, n := range b.faults.list {
		if !n.takes(&p) {
			continue
		}
		n.hit(p)
		n.apply(p, &e)
		if e.prevents() {
			break
		}
	}
	return e
}

// pointOf is the faultPoint of a method that a client sent; ch is nil for
// methods of the connection. For basic.publish see publishPoint.
func pointOf(c *conn, ch *channel, m wire.Method) faultPoint {
	p := faultPoint{conn: c, channel: ch}
	p.class, p.method = m.ID()
	switch p.class {
	case wire.ClassExchange:
		p.hasExchange = true
		p.exchange, p.key = exchangeNames(m)
	case wire.ClassQueue:
		p.exchange, p.key, p.queue, p.hasExchange = queueNames(m)
		_, declares := m.(*wire.QueueDeclare)
		p.useLastQueue(!declares)
	case wire.ClassBasic:
		switch m := m.(type) {
		case *wire.BasicConsume:
			p.queue = m.Queue
			p.useLastQueue(true)
		case *wire.BasicGet:
			p.queue = m.Queue
			p.useLastQueue(true)
		case *wire.BasicCancel, *wire.BasicAck, *wire.BasicNack, *wire.BasicReject:
			p.settle = m
		}
	}
	return p
}

func exchangeNames(m wire.Method) (exchange, key string) {
	switch m := m.(type) {
	case *wire.ExchangeDeclare:
		return m.Exchange, ""
	case *wire.ExchangeDelete:
		return m.Exchange, ""
	case *wire.ExchangeBind:
		return m.Source, m.RoutingKey
	case *wire.ExchangeUnbind:
		return m.Source, m.RoutingKey
	}
	return "", ""
}

func queueNames(m wire.Method) (exchange, key, queue string, hasExchange bool) {
	switch m := m.(type) {
	case *wire.QueueDeclare:
		return "", "", m.Queue, false
	case *wire.QueueBind:
		return m.Exchange, m.RoutingKey, m.Queue, true
	case *wire.QueueUnbind:
		return m.Exchange, m.RoutingKey, m.Queue, true
	case *wire.QueuePurge:
		return "", "", m.Queue, false
	case *wire.QueueDelete:
		return "", "", m.Queue, false
	}
	return "", "", "", false
}

// useLastQueue takes the channel's last queue where the method names none.
func (p *faultPoint) useLastQueue(may bool) {
	if p.queue == "" && may {
		p.queue = p.channel.lastQueue
	}
}

// publishPoint is the faultPoint of a publish that was routed to queues.
func publishPoint(ch *channel, exchange, key string, queues []*queue) faultPoint {
	return faultPoint{
		conn: ch.conn, channel: ch, class: wire.ClassBasic, method: 40,
		exchange: exchange, key: key, hasExchange: true, queues: queues,
	}
}

// faultDelivered is called, if b.faults.on, when e was sent to a consumer by
// basic.deliver. What goes wrong is deferred (Broker.later).
func (b *Broker) faultDelivered(ch *channel, e *entry) {
	p := faultPoint{
		conn: ch.conn, channel: ch, class: wire.ClassBasic, method: 60,
		exchange: e.msg.exchange, key: e.msg.key, hasExchange: true, queue: e.queue.name,
	}
	effect := b.fault(p)
	switch {
	case effect.cutBefore || effect.cutAfter:
		b.later(ch.conn.cut)
	case effect.err != nil:
		b.later(func() { ch.fail(effect.err) })
	}
}

func (p *faultPoint) isConnect() bool  { return p.class == 0 && p.method == pointConnect }
func (p *faultPoint) isDelivery() bool { return p.class == wire.ClassBasic && p.method == 60 }
func (p *faultPoint) isPublish() bool  { return p.class == wire.ClassBasic && p.method == 40 }

// name is what Fault.On calls the point.
func (p *faultPoint) name() string {
	switch {
	case p.isConnect():
		return OnConnect
	case p.class == 0:
		return Now
	}
	return methodName(p.class, p.method)
}

// queueName is the queue that the method is about, or "".
func (p *faultPoint) queueName() string {
	if p.settle != nil {
		p.queue, p.settle = p.channel.settledQueue(p.settle), nil
	}
	return p.queue
}

// settledQueue is the queue of the first delivery that m settles, or of the
// consumer that it cancels.
func (ch *channel) settledQueue(m wire.Method) string {
	var tag uint64
	var multiple bool
	switch m := m.(type) {
	case *wire.BasicCancel:
		if c := ch.consumers[m.ConsumerTag]; c != nil {
			return c.queue.name
		}
		return ""
	case *wire.BasicAck:
		tag, multiple = m.DeliveryTag, m.Multiple
	case *wire.BasicNack:
		tag, multiple = m.DeliveryTag, m.Multiple
	case *wire.BasicReject:
		tag = m.DeliveryTag
	}
	for _, d := range ch.unackedEntries() {
		if d.tag == tag || multiple && (tag == 0 || d.tag < tag) {
			return d.entry.queue.name
		}
	}
	return ""
}

// theQueues are the queues that the point is about.
func (p *faultPoint) theQueues() []*queue {
	if p.isPublish() {
		return p.queues
	}
	if p.conn == nil || p.conn.vhost == nil {
		return nil
	}
	if q := p.conn.vhost.queues[p.queueName()]; q != nil {
		return []*queue{q}
	}
	return nil
}

func escapeSlash(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
