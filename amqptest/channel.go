package amqptest

import (
	"cmp"
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// channel is one channel as the broker sees it.
type channel struct {
	conn *conn
	id   uint16

	consumers map[string]*consumer
	unacked   unackedSet
	// outstanding counts the unacked deliveries to consumers, which the
	// channel's limit is about; settling are acks of an open transaction;
	// timeout is the timer of the oldest delivery (before 4.3).
	outstanding int
	settling    []settlement
	timeout     *timer
	nextTag     uint64 // last delivery tag given
	// prefetch is for consumers to come (qos global=false), limit for the
	// whole channel (global=true); 0: none.
	prefetch, limit int
	flow            bool // false: the client asked for no deliveries
	lastQueue       string
	allowed         []allowed // oldest first

	confirming bool
	published  uint64 // last publish sequence number
	confirms   confirmSet
	tx         *transaction // nil: not transactional

	replies *replyConsumer // of direct reply-to; nil: none

	counts messageCounts // for the management API

	incoming content // the publish whose frames are arriving
	opened   bool    // channel.open was seen
	closing  bool    // channel.close is sent; all but its answer is ignored
	gone     bool    // closed: late work leaves it alone
}

// reply sends the answer to a method unless the client wants none.
func (ch *channel) reply(noWait bool, m wire.Method) {
	if !noWait && !ch.closing && !ch.gone {
		ch.conn.send(ch.id, m)
	}
}

// ready tells whether a method is to be done: not on a channel that is not
// open yet, nor on one that is closing.
func (ch *channel) ready(class, method uint16) bool {
	if ch.closing || ch.gone {
		return false
	}
	if !ch.opened {
		e := hardError(codeChannelError, "expected 'channel.open'")
		ch.failed(e, class, method)
		return false
	}
	return true
}

// method does one method, but basic.publish, and answers its error.
func (ch *channel) method(m wire.Method) {
	class, method := m.ID()
	switch m.(type) {
	case *wire.ChannelOpen:
		if ch.closing {
			return
		}
		if ch.opened {
			ch.failed(hardError(codeChannelError, "second 'channel.open' seen"), class, method)
			return
		}
		ch.opened = true
	case *wire.ChannelCloseOk:
		if ch.closing {
			ch.end()
			ch.forget()
			return
		}
	case *wire.ChannelClose:
		if ch.closing {
			ch.conn.send(ch.id, &wire.ChannelCloseOk{})
			return
		}
	}
	if !ch.ready(class, method) {
		return
	}
	if !ch.conn.broker.faults.on {
		ch.failed(ch.handle(m), class, method)
		return
	}
	ch.failed(ch.faulty(m), class, method)
}

// faulty does a method while faults are set.
func (ch *channel) faulty(m wire.Method) *amqpError {
	c := ch.conn
	effect := c.broker.fault(pointOf(c, ch, m))
	switch {
	case effect.cutBefore:
		c.cut()
		return nil
	case effect.err != nil:
		return effect.err
	case effect.cutAfter:
		c.sendConfirms()
		c.mute = true
		e := ch.handle(m)
		c.broker.later(c.cut)
		return e
	}
	return ch.handle(m)
}

// failed answers an error of a method; nil is fine.
func (ch *channel) failed(e *amqpError, class, method uint16) {
	if e == nil {
		return
	}
	if e.class == 0 && !e.crash {
		e.class, e.method = class, method
	}
	ch.fail(e)
}

// fail closes the channel or, when the error is hard, its connection. Nothing
// but the answer is taken from the client then.
//
// Until that answer is there, only the classic queues that the channel consumes
// from know that it ends. What it has of others stays out, and its consumers on
// them get more.
func (ch *channel) fail(e *amqpError) {
	c := ch.conn
	if ch.closing || ch.gone || c.gone || c.state == stateClosed {
		return
	}
	if e.hard || wire.IsHard(e.code) {
		_ = c.except(e)
		if e.drop {
			c.cut()
		}
		return
	}
	c.log().Error("channel closed with an error", "channel", ch.id, "code", e.code, "text", e.text)
	ch.rollbackSettles()
	ch.releaseSome(func(q *queue, consumes bool) bool { return q.kind == classic && consumes })
	ch.endSession()
	ch.closing = true
	c.send(ch.id, &wire.ChannelClose{ReplyCode: e.code, ReplyText: replyText(e.text), ClassID: e.class, MethodID: e.method})
	ch.traceClosed("broker", e.code, e.text)
}

// end releases what the channel holds: its consumers go, what it did not
// acknowledge goes back, a publish or a transaction under way is forgotten.
func (ch *channel) end() {
	if ch.gone {
		return
	}
	ch.release()
	if !ch.closing {
		ch.endSession()
	}
	ch.gone = true
}

// endSession ends what the channel has of its own.
func (ch *channel) endSession() {
	ch.conn.vhost.past.add(ch.counts)
	ch.endReplies()
	ch.incoming, ch.tx = content{}, nil
	ch.confirms = confirmSet{}
}

// forget makes the channel's number free.
func (ch *channel) forget() {
	ch.gone = true
	delete(ch.conn.channels, ch.id)
}

// closeByClient answers channel.close.
func (ch *channel) closeByClient(m *wire.ChannelClose) {
	ch.end()
	ch.forget()
	ch.conn.send(ch.id, &wire.ChannelCloseOk{})
	ch.traceClosed("client", m.ReplyCode, m.ReplyText)
}

func (ch *channel) traceClosed(by string, code uint16, text string) {
	if b := ch.conn.broker; b.tracer.on {
		b.trace(Event{
			Kind: EventChannelClosed, Connection: ch.conn.id, Channel: ch.id, VHost: ch.conn.vhostName(),
			Reason: by, Code: code, Text: text,
		})
	}
}

// consumersInOrder are the channel's consumers in the order they were made.
func (ch *channel) consumersInOrder() []*consumer {
	all := make([]*consumer, 0, len(ch.consumers))
	for _, c := range ch.consumers {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *consumer) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// handle does a method of an open channel.
func (ch *channel) handle(m wire.Method) *amqpError {
	if ch.confirming {
		ch.confirmBefore(m)
	}
	class, _ := m.ID()
	switch class {
	case wire.ClassChannel:
		return ch.channelMethod(m)
	case wire.ClassExchange:
		return ch.exchangeMethod(m)
	case wire.ClassQueue:
		return ch.queueMethod(m)
	case wire.ClassBasic:
		return ch.basicMethod(m)
	default:
		return ch.modeMethod(m)
	}
}

func unimplemented() *amqpError { return hardError(codeCommandInvalid, "unimplemented method") }

func (ch *channel) channelMethod(m wire.Method) *amqpError {
	switch m := m.(type) {
	case *wire.ChannelOpen:
		ch.flow = true
		ch.reply(false, &wire.ChannelOpenOk{})
		if b := ch.conn.broker; b.tracer.on {
			b.trace(Event{Kind: EventChannelOpened, Connection: ch.conn.id, Channel: ch.id, VHost: ch.conn.vhost.name})
		}
		return nil
	case *wire.ChannelClose:
		ch.closeByClient(m)
		return nil
	case *wire.ChannelFlow:
		if !m.Active {
			return hardError(codeNotImplemented, "active=false")
		}
		ch.reply(false, &wire.ChannelFlowOk{Active: true})
		return nil
	}
	return unimplemented()
}

func (ch *channel) exchangeMethod(m wire.Method) *amqpError {
	switch m := m.(type) {
	case *wire.ExchangeDeclare:
		return ch.exchangeDeclare(m)
	case *wire.ExchangeDelete:
		return ch.exchangeDelete(m)
	case *wire.ExchangeBind:
		return ch.exchangeBind(m)
	case *wire.ExchangeUnbind:
		return ch.exchangeUnbind(m)
	}
	return unimplemented()
}

func (ch *channel) queueMethod(m wire.Method) *amqpError {
	switch m := m.(type) {
	case *wire.QueueDeclare:
		return ch.queueDeclare(m)
	case *wire.QueueBind:
		return ch.queueBind(m)
	case *wire.QueueUnbind:
		return ch.queueUnbind(m)
	case *wire.QueueDelete:
		return ch.queueDelete(m)
	case *wire.QueuePurge:
		return ch.queuePurge(m)
	}
	return unimplemented()
}

func (ch *channel) basicMethod(m wire.Method) *amqpError {
	switch m := m.(type) {
	case *wire.BasicAck:
		return ch.basicAck(m)
	case *wire.BasicNack:
		return ch.basicNack(m)
	case *wire.BasicReject:
		return ch.basicReject(m)
	case *wire.BasicGet:
		return ch.basicGet(m)
	case *wire.BasicQos:
		return ch.basicQos(m)
	case *wire.BasicConsume:
		if m.Queue == replyToQueue {
			return ch.consumeReplies(m)
		}
		return ch.basicConsume(m)
	case *wire.BasicCancel:
		if ch.replies != nil && ch.replies.tag == m.ConsumerTag {
			return ch.cancelReplies(m)
		}
		return ch.basicCancel(m)
	case *wire.BasicRecover:
		return ch.basicRecover(m)
	case *wire.BasicRecoverAsync:
		return ch.basicRecoverAsync(m)
	}
	return unimplemented()
}

// modeMethod does the methods of the small classes.
func (ch *channel) modeMethod(m wire.Method) *amqpError {
	switch m := m.(type) {
	case *wire.ConfirmSelect:
		return ch.confirmSelect(m)
	case *wire.TxSelect:
		return ch.txSelect()
	case *wire.TxCommit:
		return ch.txCommit()
	case *wire.TxRollback:
		return ch.txRollback()
	case *wire.AccessRequest:
		ch.reply(false, &wire.AccessRequestOk{Ticket: 1})
		return nil
	}
	return unimplemented()
}
