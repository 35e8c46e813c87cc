package amqptest

import (
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestReplyTo(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		client, server := dialRaw(t, b), dialRaw(t, b)
		call[*wire.QueueDeclareOk](server, &wire.QueueDeclare{Queue: "rpc", Exclusive: true})
		tag := call[*wire.BasicConsumeOk](client, &wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true}).ConsumerTag
		props := wire.Properties{Flags: wire.FlagReplyTo, ReplyTo: "amq.rabbitmq.reply-to"}
		client.publishWith(&wire.BasicPublish{RoutingKey: "rpc", Mandatory: true}, props, "question")
		call[*wire.ChannelFlowOk](client, &wire.ChannelFlow{Active: true})

		server.send(1, &wire.BasicGet{Queue: "rpc", NoAck: true})
		_, question := expectContent[*wire.BasicGetOk](server, 1)
		if !strings.HasPrefix(question.props.ReplyTo, "amq.rabbitmq.reply-to.") {
			t.Fatalf("reply-to %q", question.props.ReplyTo)
		}
		server.publish("", question.props.ReplyTo, "answer")
		m, answer := expectContent[*wire.BasicDeliver](client, 1)
		if m.ConsumerTag != tag || m.Exchange != "" || m.RoutingKey != question.props.ReplyTo || answer.body != "answer" {
			t.Errorf("got %+v, %q", m, answer.body)
		}

		call[*wire.BasicCancelOk](client, &wire.BasicCancel{ConsumerTag: tag})
		server.publishWith(&wire.BasicPublish{RoutingKey: question.props.ReplyTo, Mandatory: true}, wire.Properties{}, "late")
		if !b.cfg.Version.atLeast43() { // which does not ask whether a reply's queue is still there
			expectContent[*wire.BasicReturn](server, 1)
		}
		call[*wire.ChannelFlowOk](server, &wire.ChannelFlow{Active: true})
	})
}

func TestReplyToRefused(t *testing.T) {
	r := dialRaw(t, New(t))
	r.send(1, &wire.BasicConsume{Queue: "amq.rabbitmq.reply-to"})
	r.expectClosed(1, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
	r.open(1)
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true, ConsumerTag: "a"})
	r.send(1, &wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true, ConsumerTag: "b"})
	r.expectClosed(1, 406, "PRECONDITION_FAILED - reply consumer already set")
}
