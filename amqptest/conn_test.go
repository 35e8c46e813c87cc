package amqptest

import (
	"context"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// dialClient connects with the client library over a pipe.
func dialClient(t testing.TB, b *Broker) *amqp.Connection {
	t.Helper()
	conn, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestClientPublishesAndConsumes(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) {
			b := Config{Version: v}.New(t)
			conn := dialClient(t, b)
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			q, err := ch.QueueDeclare("q", true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := ch.Confirm(false); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var last *amqp.DeferredConfirmation
			for range 1000 {
				last, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", q.Name, true, false, amqp.Publishing{Body: []byte("hello")})
				if err != nil {
					t.Fatal(err)
				}
			}
			if ok, err := last.WaitContext(ctx); err != nil || !ok {
				t.Fatal(ok, err)
			}
			deliveries, err := ch.ConsumeWithContext(ctx, q.Name, "", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				d := <-deliveries
				if string(d.Body) != "hello" {
					t.Fatalf("%q", d.Body)
				}
				if err := d.Ack(false); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
