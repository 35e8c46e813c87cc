package amqptest

import (
	"slices"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestCutInTransaction: a connection that a fault cuts in the middle of a
// commit stores and settles nothing after that.
func TestCutInTransaction(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true})
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "work", Durable: true})
	r.publish("", "work", "taken")
	call[*wire.TxSelectOk](r, &wire.TxSelect{})
	r.send(1, &wire.BasicGet{Queue: "work"})
	m, _ := expectContent[*wire.BasicGetOk](r, 1)
	f := inject(t, b, Fault{Do: DropBefore, On: "basic.publish", Nth: 2})
	for _, body := range []string{"0", "1", "2", "3"} {
		r.publish("", "q", body)
	}
	r.send(1, &wire.BasicAck{DeliveryTag: m.DeliveryTag})
	r.send(1, &wire.TxCommit{})
	await(t, b, OfKind(EventConnectionClosed))
	if f.Hits() != 1 {
		t.Error("no hit")
	}
	var got []string
	for _, m := range b.Messages("/", "q") {
		got = append(got, string(m.Body))
	}
	if !slices.Equal(got, []string{"0"}) {
		t.Errorf("stored: %v", got)
	}
	if n := len(b.Messages("/", "work")); n != 1 {
		t.Errorf("%d messages are back, want 1: its ack was not committed", n)
	}
}
