package amqptest_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
)

func TestExampleFirst(t *testing.T) {
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
	args := amqp.Table{"x-queue-type": "quorum", "x-message-ttl": 60000}
	if _, err := ch.QueueDeclare("orders", true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "orders", true, false, amqp.Publishing{Body: []byte("one")})
	if err != nil {
		t.Fatal(err)
	}
	if !confirm.Wait() {
		t.Fatal("not confirmed")
	}
	if m := b.Messages("/", "orders"); len(m) != 1 || string(m[0].Body) != "one" {
		t.Errorf("in the queue: %v", m)
	}
	b.Advance(time.Minute) // takes no time
	if m := b.Messages("/", "orders"); len(m) != 0 {
		t.Errorf("not expired: %v", m)
	}
}
