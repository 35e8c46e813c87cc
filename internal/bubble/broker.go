package bubble

import (
	"context"
	"errors"
	"fmt"
	"net"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
)

// Operate does something over a connection of its own, called operator, as another
// program would.
func Operate(t TB, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	if err := Try(b, do); err != nil {
		t.Fatal(err)
	}
}

// Try is Operate where it may fail.
func Try(b *amqptest.Broker, do func(ch *amqp.Channel) error) (err error) {
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial:       func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
		Properties: amqp.Table{"connection_name": "operator"},
	})
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // what it was for is done, or has failed
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	return do(ch)
}

// Declare declares a durable queue.
func Declare(t TB, b *amqptest.Broker, queue string, args amqp.Table) {
	t.Helper()
	Operate(t, b, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, args)
		return err
	})
}

// Publish publishes persistent messages one after the other, each when the one before
// it is confirmed.
func Publish(t TB, b *amqptest.Broker, exchange, key string, all ...amqp.Publishing) {
	t.Helper()
	PublishTo(t, b, func(amqp.Publishing) (string, string) { return exchange, key }, all...)
}

// PublishTo is Publish to where route says.
func PublishTo(t TB, b *amqptest.Broker, route func(amqp.Publishing) (exchange, key string), all ...amqp.Publishing) {
	t.Helper()
	Operate(t, b, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, msg := range all {
			msg.DeliveryMode = amqp.Persistent
			exchange, key := route(msg)
			c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, msg)
			if err != nil {
				return err
			}
			if !c.Wait() {
				return fmt.Errorf("message %s was nacked", msg.MessageId)
			}
		}
		return nil
	})
}

// Inject injects a fault.
func Inject(t TB, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Connected counts the connections that were ever made.
func Connected(b *amqptest.Broker) int {
	return len(b.Trace(amqptest.OfKind(amqptest.EventConnectionOpened)))
}

// IDs are the message-ids, in order.
func IDs(all []amqptest.Message) []string {
	var out []string
	for _, m := range all {
		out = append(out, m.MessageID)
	}
	return out
}

// Numbers are from, from+1 and so on, without to: the message-ids of most tests.
func Numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// As is errors.As that ends the test when there is no such error.
func As[E error](t TB, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got %v, want a %T", err, want)
	}
	return want
}
