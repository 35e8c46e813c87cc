package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// binding leads from an exchange to a queue or to another exchange: exactly
// one of queue and exchange is set.
type binding struct {
	source   *exchange
	queue    *queue
	exchange *exchange
	key      string
	args     wire.Table // sorted by key
	// headers is what a headers exchange compares.
	headers *headersPattern
}

// bindingID tells the bindings of one exchange apart.
type bindingID struct {
	queue     *queue
	exchange  *exchange
	key, args string
}

func (b *binding) id() bindingID {
	return bindingID{queue: b.queue, exchange: b.exchange, key: b.key, args: canonical(b.args)}
}

// forget removes the binding from its destination.
func (b *binding) forget() {
	if b.queue != nil {
		b.queue.into = without(b.queue.into, b)
		return
	}
	b.exchange.into = without(b.exchange.into, b)
}

func without(all []*binding, b *binding) []*binding {
	if i := slices.Index(all, b); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}

func (ch *channel) queueBind(m *wire.QueueBind) *amqpError {
	name, key, err := ch.bindingNames(m.Queue, m.RoutingKey)
	if err != nil {
		return err
	}
	if err := ch.bindOrUnbind(bindingRequest{true, m.Exchange, "queue", name, key, m.Arguments}); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.QueueBindOk{})
	return nil
}

func (ch *channel) queueUnbind(m *wire.QueueUnbind) *amqpError {
	name, key, err := ch.bindingNames(m.Queue, m.RoutingKey)
	if err != nil {
		return err
	}
	if err := ch.bindOrUnbind(bindingRequest{false, m.Exchange, "queue", name, key, m.Arguments}); err != nil {
		return err
	}
	ch.reply(false, &wire.QueueUnbindOk{})
	return nil
}

func (ch *channel) exchangeBind(m *wire.ExchangeBind) *amqpError {
	if err := ch.bindOrUnbind(bindingRequest{true, m.Source, "exchange", m.Destination, m.RoutingKey, m.Arguments}); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeBindOk{})
	return nil
}

func (ch *channel) exchangeUnbind(m *wire.ExchangeUnbind) *amqpError {
	if err := ch.bindOrUnbind(bindingRequest{false, m.Source, "exchange", m.Destination, m.RoutingKey, m.Arguments}); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeUnbindOk{})
	return nil
}

// bindingNames are the queue and the routing key that a client means: where it
// names no queue, the one declared last, and that is the key, too, where it
// gives none.
func (ch *channel) bindingNames(queue, key string) (string, string, *amqpError) {
	name, err := ch.queueName(queue)
	if err != nil {
		return "", "", err
	}
	if queue == "" && key == "" {
		key = ch.lastQueue
	}
	return name, key, nil
}

// bindingRequest asks for a binding to be added or removed.
type bindingRequest struct {
	add               bool
	source            string
	kind, destination string // kind is queue or exchange
	key               string
	args              wire.Table
}

func (ch *channel) bindOrUnbind(r bindingRequest) *amqpError {
	r.source, r.destination = stripped(r.source), stripped(r.destination)
	if err := ch.may(write, r.kind, r.destination); err != nil {
		return err
	}
	if r.source == "" || r.kind == "exchange" && r.destination == "" {
		return notOnTheDefaultExchange()
	}
	if err := ch.may(read, "exchange", r.source); err != nil {
		return err
	}
	if r.kind == "queue" && ch.isReplyQueue(r.destination) {
		return softError(codeAccessRefused, "cannot bind or unbind to a volatile (direct reply-to) queue")
	}
	vh := ch.conn.vhost
	x := vh.exchanges[r.source]
	b := &binding{source: x, key: r.key, args: r.args.Sorted()}
	if r.kind == "queue" {
		b.queue = vh.queues[r.destination]
	} else {
		b.exchange = vh.exchanges[r.destination]
	}
	if !r.add {
		return ch.unbind(x, b)
	}
	if x == nil {
		return vh.notFound("exchange", r.source)
	}
	if b.queue == nil && b.exchange == nil {
		return vh.notFound(r.kind, r.destination)
	}
	return ch.bind(x, b)
}

func (ch *channel) bind(x *exchange, b *binding) *amqpError {
	if err := x.checkBinding(b); err != nil {
		return err
	}
	if b.queue != nil {
		if err := b.queue.accessible(ch.conn); err != nil {
			return err
		}
	}
	if _, there := x.index[b.id()]; !there {
		ch.traceBinding(EventBound, b)
	}
	x.bind(b)
	return nil
}

func (ch *channel) traceBinding(kind EventKind, b *binding) {
	broker := ch.conn.broker
	if !broker.tracer.on {
		return
	}
	e := Event{
		Kind: kind, Connection: ch.conn.id, Channel: ch.id, VHost: b.source.vhost.name, Exchange: b.source.name, Key: b.key,
	}
	if b.queue != nil {
		e.Queue = b.queue.name
	} else {
		e.Destination = b.exchange.name
	}
	broker.trace(e)
}

// unbind removes the binding that equals b. It is fine if there is none, or no
// such exchange or queue.
func (ch *channel) unbind(x *exchange, b *binding) *amqpError {
	if x == nil || b.queue == nil && b.exchange == nil {
		return nil
	}
	old, ok := x.index[b.id()]
	if !ok {
		return nil
	}
	if old.queue != nil {
		if err := old.queue.accessible(ch.conn); err != nil {
			return err
		}
	}
	ch.traceBinding(EventUnbound, old)
	x.unbind(old)
	return nil
}

func notOnTheDefaultExchange() *amqpError {
	return softError(codeAccessRefused, "operation not permitted on the default exchange")
}
