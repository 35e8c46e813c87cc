package amqptest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

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
	id := fmt.Sprintf("amqptest.%d", b.nextReply)
	tag := m.ConsumerTag
	if tag == "" {
		tag = "amq.ctag-" + id
	}
	ch.replies = &replyConsumer{ch: ch, tag: tag, name: replyToQueue + "." + id}
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

// repliesTo are the reply consumers that a message is addressed to.
func (ch *channel) repliesTo(m *message) []*replyConsumer {
	b := ch.conn.broker
	if m.exchange != "" || len(b.replies) == 0 {
		return nil
	}
	var all []*replyConsumer
	for _, key := range append([]string{m.key}, m.extra...) {
		r := b.replies[key]
		if !strings.HasPrefix(key, replyToQueue) || r == nil || slices.Contains(all, r) {
			continue
		}
		all = append(all, r)
	}
	return all
}

// deliverReply sends a reply. Its delivery tag is that of the next delivery,
// which it does not use up: there is no ack.
func (r *replyConsumer) deliverReply(m *message) {
	r.ch.conn.sendContent(r.ch.id, &wire.BasicDeliver{
		ConsumerTag: r.tag, DeliveryTag: r.ch.nextTag + 1, Exchange: m.exchange, RoutingKey: m.key,
	}, m.encoded(), m.body)
}
