package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestModesExcludeEachOther(t *testing.T) {
	r := dialRaw(t, New(t))
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	r.send(1, &wire.ConfirmSelect{})
	r.expectClosed(1, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
	r.open(1)
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	r.send(1, &wire.TxSelect{})
	r.expectClosed(1, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
	for _, m := range []wire.Method{&wire.TxCommit{}, &wire.TxRollback{}} {
		r.open(1)
		r.send(1, m)
		r.expectClosed(1, 406, "PRECONDITION_FAILED - channel is not transactional")
	}
}

func TestTransaction(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	count := func(ready, unacked int) {
		t.Helper()
		if info, _ := b.Queue("/", "q"); info.Ready != ready || info.Unacked != unacked {
			t.Errorf("%d ready, %d unacked, want %d, %d", info.Ready, info.Unacked, ready, unacked)
		}
	}
	r.publish("", "q", "rolled back")
	call[*wire.TxRollbackOk](r, &wire.TxRollback{})
	count(0, 0)

	r.publish("", "q", "a")
	r.publish("", "q", "b")
	call[*wire.ChannelFlowOk](r, &wire.ChannelFlow{Active: true}) // the publishes are done
	count(0, 0)
	call[*wire.TxCommitOk](r, &wire.TxCommit{})
	count(2, 0)

	get := func() uint64 {
		t.Helper()
		r.send(1, &wire.BasicGet{Queue: "q"})
		m, _ := expectContent[*wire.BasicGetOk](r, 1)
		return m.DeliveryTag
	}
	tag := get()
	r.send(1, &wire.BasicAck{DeliveryTag: tag})
	call[*wire.TxRollbackOk](r, &wire.TxRollback{})
	count(1, 1)
	r.send(1, &wire.BasicAck{DeliveryTag: tag})
	call[*wire.TxCommitOk](r, &wire.TxCommit{})
	count(1, 0)

	// What is not committed is undone with the channel.
	tag = get()
	r.send(1, &wire.BasicAck{DeliveryTag: tag})
	r.publish("", "q", "c")
	call[*wire.ChannelCloseOk](r, &wire.ChannelClose{ReplyCode: 200})
	count(1, 0)
}

func TestCommitIntoAFullQueue(t *testing.T) {
	r := dialRaw(t, New(t))
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "full", Arguments: wire.Table{
		{Key: "x-max-length", Value: int32(1)}, {Key: "x-overflow", Value: "reject-publish"},
	}})
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	r.publish("", "full", "x")
	r.publish("", "full", "x")
	r.send(1, &wire.TxCommit{})
	r.expectClosed(1, 406, "PRECONDITION_FAILED - partial tx completion")
}

func TestReturnsWaitForTheCommit(t *testing.T) {
	r := dialRaw(t, New(t))
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	r.publishWith(&wire.BasicPublish{RoutingKey: "nobody", Mandatory: true}, wire.Properties{}, "x")
	call[*wire.ChannelFlowOk](r, &wire.ChannelFlow{Active: true})
	r.send(1, &wire.TxCommit{})
	expectContent[*wire.BasicReturn](r, 1)
	expect[*wire.TxCommitOk](r, 1)
}

// What a channel is delivered of its own transaction comes after what it gets
// returned, and what its acks make room for after the answer.
func TestCommitToItself(t *testing.T) {
	r := dialRaw(t, New(t))
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: 1})
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
	r.publish("", "q", "a")
	r.publish("", "q", "b")
	r.publishWith(&wire.BasicPublish{RoutingKey: "nowhere", Mandatory: true}, wire.Properties{}, "c")
	r.send(1, &wire.TxCommit{})
	expectContent[*wire.BasicReturn](r, 1)
	first, _ := expectContent[*wire.BasicDeliver](r, 1)
	expect[*wire.TxCommitOk](r, 1)

	r.send(1, &wire.BasicAck{DeliveryTag: first.DeliveryTag})
	r.send(1, &wire.TxCommit{})
	expect[*wire.TxCommitOk](r, 1)
	if _, second := expectContent[*wire.BasicDeliver](r, 1); second.body != "b" {
		t.Errorf("got %q", second.body)
	}
}
