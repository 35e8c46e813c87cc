package amqptest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// replyNames begins the names of reply consumers; a number follows.
const replyNames = replyToQueue + ".amqptest."

// replyConsumer is a channel's consumer of direct reply-to: it gets, without a
// queue, what is published to its name.
type replyConsumer struct {
	ch   *channel
	tag  string
	name string // routing key on the default exchange
}

// consumeReplies does a basic.consume from amq.rabbitmq.reply-to.
func (ch *channel) consumeReplies(m *wire.BasicConsume) *amqpError {
	if _, taken := ch.consumers[m.ConsumerTag]; taken {
		return hardError(codeNotAllowed, "attempt to reuse consumer tag '%s'", m.ConsumerTag)
	}
	switch {
	case !m.NoAck:
		return softError(codePreconditionFailed, "reply consumer cannot acknowledge")
	case ch.replies != nil:
		return softError(codePreconditionFailed, "reply consumer already set")
	}
	b := ch.conn.broker
	b.nextReply++
	tag := m.ConsumerTag
	if tag == "" {
		tag = generatedConsumerTag()
	}
	ch.replies = &replyConsumer{ch: ch, tag: tag, name: replyNames + strconv.FormatUint(b.nextReply, 10)}
	if b.replies == nil {
		b.replies = make(map[string]*replyConsumer)
	}
	b.replies[ch.replies.name] = ch.replies
	ch.reply(m.NoWait, &wire.BasicConsumeOk{ConsumerTag: tag})
	return nil
}

func (ch *channel) cancelReplies(m *wire.BasicCancel) *amqpError {
	ch.endReplies()
	ch.reply(m.NoWait, &wire.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	return nil
}

func (ch *channel) endReplies() {
	if ch.replies != nil {
		delete(ch.conn.broker.replies, ch.replies.name)
		ch.replies = nil
	}
}

// setReplyTo gives a request with the reply-to amq.rabbitmq.reply-to the name
// of the channel's reply consumer instead.
func (ch *channel) setReplyTo(m *message) *amqpError {
	if m.props.ReplyTo != replyToQueue {
		return nil
	}
	if ch.replies == nil {
		return softError(codePreconditionFailed, "fast reply consumer does not exist")
	}
	m.props.ReplyTo = ch.replies.name
	m.header = nil
	return nil
}

// answer sends a message to the reply consumers that it is addressed to, and
// returns their names; those of consumers that are gone, too.
func (b *Broker) answer(m *message) (names []string) {
	if m.exchange != "" || b.nextReply == 0 {
		return nil
	}
	for i := -1; i < len(m.extra); i++ {
		name := m.key
		if i >= 0 {
			name = m.extra[i]
		}
		if !b.madeReplyName(name) || slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		if r := b.replies[name]; r != nil {
			r.deliverReply(m)
		}
	}
	return names
}

// answersAtOnce tells that answers do not wait for the end of a transaction:
// before 4.3 their consumers are no queues, and get them while the message is
// routed.
func (ch *channel) answersAtOnce() bool { return !ch.version().atLeast43() }

// madeReplyName tells whether name is that of a reply consumer, of now or
// before.
func (b *Broker) madeReplyName(name string) bool {
	number, ok := strings.CutPrefix(name, replyNames)
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return err == nil && n > 0 && n <= b.nextReply
}

// checkReplyNames: before 4.3, RabbitMQ fails over a reply consumer's name that
// it cannot read. One that it can is of two parts, neither of them empty; of
// these, this broker reads those that it made.
func (b *Broker) checkReplyNames(m *message) *amqpError {
	if m.exchange != "" || b.cfg.Version.atLeast43() {
		return nil
	}
	if b.failsOverReplyName(m.key) || slices.ContainsFunc(m.extra, b.failsOverReplyName) {
		return crashError()
	}
	return nil
}

func (b *Broker) failsOverReplyName(name string) bool {
	rest, ok := strings.CutPrefix(name, replyToQueue+".")
	if !ok || b.madeReplyName(name) {
		return false
	}
	parts := strings.FieldsFunc(rest, func(r rune) bool { return r == '.' })
	return len(parts) == 2
}

// isReplyQueue tells whether name is a reply consumer's, and so a queue's: of
// the type "volatile", which 4.3 has.
func (ch *channel) isReplyQueue(name string) bool {
	return !ch.answersAtOnce() && ch.conn.broker.madeReplyName(name)
}

// deliverReply sends a reply. Before 4.3 its delivery tag is that of the next
// delivery, which it does not use up: there is no ack.
func (r *replyConsumer) deliverReply(m *message) {
	tag := r.ch.nextTag + 1
	if r.ch.version().atLeast43() {
		r.ch.nextTag = tag
	}
	r.ch.conn.sendContent(r.ch.id, &wire.BasicDeliver{
		ConsumerTag: r.tag, DeliveryTag: tag, Exchange: m.exchange, RoutingKey: m.key,
	}, m.encoded(), m.body)
}
