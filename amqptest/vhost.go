package amqptest

import "github.com/hareline/hareline/internal/wire"

// vhost is one virtual host.
type vhost struct {
	broker    *Broker
	name      string
	exchanges map[string]*exchange
	queues    map[string]*queue
	// past counts what happened on channels that are gone.
	past        messageCounts
	description string
	tags        []string
	// routing is what a message under way takes with it, kept for the next one.
	routing routing
}

// newVHost makes a virtual host with the exchanges that each has.
func newVHost(b *Broker, name string) *vhost {
	vh := &vhost{
		broker:    b,
		name:      name,
		exchanges: make(map[string]*exchange),
		queues:    make(map[string]*queue),
	}
	for _, x := range []struct{ name, kind string }{
		{"", kindDirect},
		{"amq.direct", kindDirect},
		{"amq.fanout", kindFanout},
		{"amq.topic", kindTopic},
		{"amq.headers", kindHeaders},
		{"amq.match", kindHeaders},
	} {
		vh.addExchange(&exchange{name: x.name, kind: x.kind, durable: true})
	}
	vh.addExchange(&exchange{name: "amq.rabbitmq.trace", kind: kindTopic, durable: true, internal: true})
	if name == "/" && b.cfg.Version.atLeast43() {
		vh.addExchange(&exchange{name: "amq.rabbitmq.log", kind: kindTopic, durable: true, internal: true})
	}
	return vh
}

// addExchange puts a new exchange into the virtual host.
func (vh *vhost) addExchange(x *exchange) {
	x.vhost = vh
	x.router = newRouter(x)
	x.index = make(map[bindingID]*binding)
	if v, ok := x.args.Get("alternate-exchange"); ok {
		x.alternate, _ = v.(string)
	}
	vh.exchanges[x.name] = x
}

// deleteQueue removes a queue with its bindings. Exchanges that are deleted
// with their last binding go, too. Its messages are not dead-lettered. A queue
// that is gone already is left alone.
func (vh *vhost) deleteQueue(q *queue) {
	if vh.queues[q.name] != q {
		return
	}
	delete(vh.queues, q.name)
	if q.owner != nil {
		delete(q.owner.exclusive, q.name)
	}
	vh.dropBindings(q.into)
	q.into = nil
	q.shut()
}

// deleteExchange removes an exchange with the bindings from it and to it, and
// with them the exchanges that are deleted with their last binding.
func (vh *vhost) deleteExchange(x *exchange) {
	if vh.exchanges[x.name] != x {
		return
	}
	delete(vh.exchanges, x.name)
	for _, b := range x.bindings {
		b.forget()
	}
	x.bindings, x.index = nil, nil
	x.router = newRouter(x)
	into := x.into
	x.into = nil
	vh.dropBindings(into)
	if vh.broker.tracer.on {
		vh.broker.trace(Event{Kind: EventExchangeDeleted, VHost: vh.name, Exchange: x.name})
	}
}

// dropBindings removes bindings whose destination is gone.
func (vh *vhost) dropBindings(gone []*binding) {
	for _, b := range gone {
		b.source.drop(b)
	}
	for _, b := range gone {
		b.source.autoDeleteIfUnused()
	}
}

// queueOf is the queue that a client names, as far as the client may use it.
func (ch *channel) queueOf(name string) (*queue, *amqpError) {
	vh := ch.conn.vhost
	q, ok := vh.queues[name]
	if !ok {
		return nil, vh.notFound("queue", name)
	}
	if err := q.accessible(ch.conn); err != nil {
		return nil, err
	}
	return q, nil
}

// accessible says whether the client may use the queue: an exclusive queue is
// there for the connection that declared it.
func (q *queue) accessible(c *conn) *amqpError {
	if q.owner == nil || q.owner == c {
		return nil
	}
	return q.locked()
}

func (q *queue) locked() *amqpError {
	return softError(codeResourceLocked, "cannot obtain exclusive access to locked %s. It could be originally "+
		"declared on another connection or the exclusive property value does not match that of the original declaration.",
		q.vhost.resource("queue", q.name))
}

// resource names a queue or an exchange as RabbitMQ's texts do.
func (vh *vhost) resource(kind, name string) string {
	return kind + " '" + name + "' in vhost '" + vh.name + "'"
}

func (vh *vhost) notFound(kind, name string) *amqpError {
	return softError(codeNotFound, "no %s", vh.resource(kind, name))
}

// queueName is the queue that a method means: the one declared last on the
// channel where it names none.
func (ch *channel) queueName(name string) (string, *amqpError) {
	if name != "" {
		return name, nil
	}
	if ch.lastQueue == "" {
		return "", softError(codeNotFound, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

// mayAny is whether the user has any right on a queue or an exchange. The error
// is that for the configure permission, as of a declaration.
func (c *conn) mayAny(kind, name string) *amqpError {
	if c.may(read, kind, name) == nil || c.may(write, kind, name) == nil {
		return nil
	}
	return c.may(configure, kind, name)
}

// canonical is a table by which equal ones are equal strings, whatever the
// order of their fields.
func canonical(t wire.Table) string {
	if len(t) == 0 {
		return ""
	}
	return string(wire.AppendTable(nil, t.Sorted()))
}
