package amqptest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestConfirmedIsKept: connections are cut, closed and the broker restarted
// while several publish and consume. What was confirmed is handled or there.
func TestConfirmedIsKept(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			b := New(t)
			run := chaos{t: t, b: b, kind: kind, handled: make(map[string]bool), confirmed: make(chan string)}
			run.declare()
			const publishers, each = 4, 100
			ctx, cancel := context.WithCancel(t.Context())
			var work, consumers sync.WaitGroup
			for p := range publishers {
				work.Go(func() { run.publish(p, each) })
			}
			for range 2 {
				consumers.Go(func() { run.consume(ctx) })
			}
			go func() {
				work.Wait()
				close(run.confirmed)
			}()
			var confirmed []string
			for id := range run.confirmed {
				confirmed = append(confirmed, id)
				switch len(confirmed) % 90 {
				case 30:
					b.CutConnections()
				case 60:
					b.CloseConnections("Kick")
				case 0:
					b.Restart()
				}
			}
			cancel()
			b.CutConnections()
			consumers.Wait()
			for _, m := range b.Messages("/", "q") {
				run.handled[string(m.Body)] = true
			}
			if len(confirmed) != publishers*each {
				t.Errorf("%d confirmed", len(confirmed))
			}
			for _, id := range confirmed {
				if !run.handled[id] {
					t.Errorf("%s was confirmed and is lost", id)
				}
			}
			if info, _ := b.Queue("/", "q"); info.Unacked != 0 || info.Consumers != 0 {
				t.Errorf("left behind: %+v", info)
			}
		})
	}
}

type chaos struct {
	t         *testing.T
	b         *Broker
	kind      string
	confirmed chan string
	mu        sync.Mutex
	handled   map[string]bool
}

// channel connects; it retries as often as it is cut.
func (r *chaos) channel() (*amqp.Connection, *amqp.Channel) {
	for {
		conn, err := amqp.DialConfig(r.b.PipeURL(), amqp.Config{
			Dial: func(network, addr string) (net.Conn, error) { return r.b.Dial(context.Background(), network, addr) },
		})
		if err != nil {
			continue
		}
		if ch, err := conn.Channel(); err == nil {
			return conn, ch
		}
		_ = conn.Close()
	}
}

func (r *chaos) declare() {
	conn, ch := r.channel()
	defer conn.Close()
	if _, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": r.kind}); err != nil {
		r.t.Error(err)
	}
}

// publish publishes until all are confirmed, one by one.
func (r *chaos) publish(p, n int) {
	for i := 0; i < n; {
		conn, ch := r.channel()
		if ch.Confirm(false) != nil {
			_ = conn.Close()
			continue
		}
		for ; i < n; i++ {
			id := fmt.Sprintf("%d-%d", p, i)
			d, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: []byte(id), DeliveryMode: amqp.Persistent})
			if err != nil || !d.Wait() {
				break
			}
			r.confirmed <- id
		}
		_ = conn.Close()
	}
}

// consume handles what comes until ctx ends.
func (r *chaos) consume(ctx context.Context) {
	for ctx.Err() == nil {
		conn, ch := r.channel()
		_ = ch.Qos(10, 0, false)
		deliveries, err := ch.Consume("q", "", false, false, false, false, nil)
		if err == nil {
			r.handle(ctx, deliveries)
		}
		_ = conn.Close()
	}
}

func (r *chaos) handle(ctx context.Context, deliveries <-chan amqp.Delivery) {
	for {
		select {
		case <-ctx.Done():
			return
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			r.mu.Lock()
			r.handled[string(d.Body)] = true
			r.mu.Unlock()
			_ = d.Ack(false)
		}
	}
}
