package amqptest

import (
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// replyToQueue is the name, and the beginning of names, of pseudo-queues for
// direct replies.
const replyToQueue = "amq.rabbitmq.reply-to"

func (ch *channel) queueDeclare(m *wire.QueueDeclare) *amqpError {
	ok, err := ch.declareQueue(m)
	if err != nil {
		return err
	}
	ch.lastQueue = ok.Queue
	ch.reply(m.NoWait, ok)
	return nil
}

func (ch *channel) declareQueue(m *wire.QueueDeclare) (*wire.QueueDeclareOk, *amqpError) {
	name := stripped(m.Queue)
	switch {
	case strings.HasPrefix(name, replyToQueue):
		return ch.findReplyQueue(name)
	case m.Passive:
		return ch.findQueue(name, m.NoWait)
	}
	vh := ch.conn.vhost
	args := vh.broker.augment(m.Arguments)
	name, err := vh.newQueueName(name, args)
	if err != nil {
		return nil, err
	}
	if err := ch.may(configure, "queue", name); err != nil {
		return nil, err
	}
	p := queueProperties{durable: m.Durable && !m.Exclusive, autoDelete: m.AutoDelete, exclusive: m.Exclusive}
	var owner *conn
	if m.Exclusive {
		owner = ch.conn
	}
	if q, ok := vh.queues[name]; ok {
		if err := q.checkEquivalent(owner, p, args); err != nil {
			return nil, err
		}
		return q.declareOk(m.NoWait), nil
	}
	if err := ch.addQueue(name, owner, p, args); err != nil {
		return nil, err
	}
	return &wire.QueueDeclareOk{Queue: name}, nil
}

// augment adds the default type of queues to arguments without one, as later
// releases do.
func (b *Broker) augment(args wire.Table) wire.Table {
	if _, ok := args.Get(argQueueType); ok || !b.cfg.Version.atLeast40() {
		return args
	}
	return args.Set(argQueueType, string(classic)).Sorted()
}

// newQueueName is the name of a queue that is declared. Queues without a name
// get one, if they are classic.
func (vh *vhost) newQueueName(name string, args wire.Table) (string, *amqpError) {
	if name != "" {
		return name, checkNewName("queue", name)
	}
	a := queueArguments{version: vh.broker.cfg.Version, table: args}
	kind, err := a.kind()
	if err != nil {
		return "", a.unknownKind()
	}
	if kind != classic {
		return "", softError(codePreconditionFailed, "Cannot declare a server-named queue for type %s", kind.module())
	}
	return generatedQueueName(), nil
}

// unknownKind is what becomes of a queue without a name that has a type which
// is none.
func (a queueArguments) unknownKind() *amqpError {
	if s, ok := a.text(argQueueType); ok && a.version.atLeast43() {
		return softError(codePreconditionFailed, "unknown queue type '%s'", plainText(a.version, s))
	}
	return crashError()
}

func (ch *channel) addQueue(name string, owner *conn, p queueProperties, args wire.Table) *amqpError {
	vh := ch.conn.vhost
	resource := vh.resource("queue", name)
	if v, ok := args.Get(argDLX); ok {
		dlx, isText := v.(string)
		if !isText {
			return softError(codePreconditionFailed, "invalid type '%s' for arg '%s' in %s", string(fieldType(v)), argDLX, resource)
		}
		if err := ch.may(read, "queue", name); err != nil {
			return err
		}
		if err := ch.may(write, "exchange", dlx); err != nil {
			return err
		}
	}
	kind, options, err := readQueueArguments(vh.broker.cfg.Version, resource, p, args)
	if err != nil {
		return err
	}
	q := newQueue(vh, name, kind, p.durable, p.autoDelete, owner, args, options)
	if kind == stream {
		q.log = newStreamLog(options)
	}
	vh.queues[name] = q
	if owner != nil {
		if owner.exclusive == nil {
			owner.exclusive = make(map[string]*queue)
		}
		owner.exclusive[name] = q
	}
	if vh.broker.tracer.on {
		vh.broker.trace(Event{
			Kind: EventQueueDeclared, Connection: ch.conn.id, Channel: ch.id, VHost: vh.name, Queue: name, Type: string(kind),
		})
	}
	return nil
}

// findQueue is a passive declaration.
func (ch *channel) findQueue(name string, noWait bool) (*wire.QueueDeclareOk, *amqpError) {
	if ch.conn.broker.cfg.Version.atLeast43() {
		if err := ch.conn.mayAny("queue", name); err != nil {
			return nil, err
		}
	}
	q, err := ch.queueOf(name)
	if err != nil {
		return nil, err
	}
	return q.declareOk(noWait), nil
}

// findReplyQueue: declarations of pseudo-queues are passive, whatever they say.
// The queue that all clients name is always there, and so are those of reply
// consumers, each with one consumer.
func (ch *channel) findReplyQueue(name string) (*wire.QueueDeclareOk, *amqpError) {
	b := ch.conn.broker
	if name == replyToQueue || b.replies[name] != nil {
		return &wire.QueueDeclareOk{Queue: name, ConsumerCount: 1}, nil
	}
	if b.cfg.Version.atLeast43() && !b.madeReplyName(name) || !b.cfg.Version.atLeast43() && b.failsOverReplyName(name) {
		return nil, crashError() // over a name that it did not make
	}
	return nil, ch.conn.vhost.notFound("queue", name)
}

// declareOk is the answer to the declaration of a queue that is there. It
// counts as use of a classic queue, but not if nobody waits for the answer.
func (q *queue) declareOk(noWait bool) *wire.QueueDeclareOk {
	if noWait {
		return &wire.QueueDeclareOk{Queue: q.name}
	}
	if q.kind == classic {
		q.touch()
	}
	return &wire.QueueDeclareOk{Queue: q.name, MessageCount: uint32(q.len()), ConsumerCount: uint32(q.consumerCount())}
}

func (ch *channel) queueDelete(m *wire.QueueDelete) *amqpError {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	name = stripped(name)
	vh := ch.conn.vhost
	if err := ch.may(configure, "queue", name); err != nil {
		return err
	}
	ok := &wire.QueueDeleteOk{}
	if q, found := vh.queues[name]; found {
		if err := q.accessible(ch.conn); err != nil {
			return err
		}
		if err := q.checkDelete(m); err != nil {
			return err
		}
		if q.kind != stream {
			ok.MessageCount = uint32(q.len())
		}
		q.traceDeleted(ch, "client")
		vh.deleteQueue(q)
	}
	ch.reply(m.NoWait, ok)
	return nil
}

// checkDelete refuses to delete a queue under conditions that do not hold, or
// that its type does not know. A stream is deleted under any.
func (q *queue) checkDelete(m *wire.QueueDelete) *amqpError {
	resource := q.vhost.resource("queue", q.name)
	switch {
	case q.kind == quorum && m.IfUnused:
		return hardError(codeNotImplemented,
			"cannot delete %s. queue.delete operations with if-unused flag set are not supported by quorum queues", resource)
	case q.kind == quorum && m.IfEmpty:
		return hardError(codeNotImplemented,
			"cannot delete %s. queue.delete operations with if-empty flag set are not supported by quorum queues", resource)
	case q.kind != classic:
		return nil
	case m.IfEmpty && q.len() > 0:
		return softError(codePreconditionFailed, "%s not empty", resource)
	case m.IfUnused && len(q.consumers) > 0:
		return softError(codePreconditionFailed, "%s in use", resource)
	}
	return nil
}

func (ch *channel) queuePurge(m *wire.QueuePurge) *amqpError {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if err := ch.may(read, "queue", name); err != nil {
		return err
	}
	if ch.isReplyQueue(name) {
		ch.reply(m.NoWait, &wire.QueuePurgeOk{})
		return nil
	}
	q, err := ch.queueOf(name)
	if err != nil {
		return err
	}
	if q.kind == stream {
		return hardError(codeNotImplemented, "queue.purge not supported by stream queues %s", q.vhost.resource("queue", name))
	}
	n := q.purge()
	if b := q.broker(); b.tracer.on {
		b.trace(Event{
			Kind: EventQueuePurged, Connection: ch.conn.id, Channel: ch.id, VHost: q.vhost.name, Queue: q.name, Count: n,
		})
	}
	ch.reply(m.NoWait, &wire.QueuePurgeOk{MessageCount: uint32(n)})
	return nil
}
