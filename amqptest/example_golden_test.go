package amqptest_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
)

// The way of one message, as a golden file that a reviewer can read.
func TestExampleGolden(t *testing.T) {
	b := amqptest.New(t)
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	declare(ch, "failed", amqp.Table{"x-queue-type": "quorum"})
	declare(ch, "orders", amqp.Table{
		"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "failed",
	})
	deliveries, err := ch.Consume("orders", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Publish("", "orders", true, false, amqp.Publishing{MessageId: "order-1"}); err != nil {
		t.Fatal(err)
	}
	d := <-deliveries
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	// Acks have no answer: wait for what they do.
	dead := amqptest.OfKind(amqptest.EventDeadLettered)
	if _, err := b.WaitEvent(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if err := b.CompareTrace("testdata/trace/example.golden", amqptest.OnQueue("orders")); err != nil {
		t.Error(err)
	}
}
