package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

func respond(t *testing.T, b *bus.Bus, pattern, group string, r bus.Responder) {
	t.Helper()
	if err := b.Respond(deadline(t), pattern, group, r); err != nil {
		t.Fatal(err)
	}
}

// Requests in flight, first attempts and second ones, find their replies while the
// connections of both sides are cut again and again; the reply queue is found again.
func TestRequestsOutliveCuts(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		callers, responders := br.Proxy(t), br.Proxy(t)
		caller := openBus(t, open(t, link.Config{URLs: []string{callers.URL()}}), bus.Config{})
		responder := openBus(t, open(t, link.Config{URLs: []string{responders.URL()}}), bus.Config{Workers: 8})
		var handled atomic.Int32
		respond(t, responder, "square.*", "squares", func(_ context.Context, e bus.Received) (any, error) {
			var n int
			if err := e.Decode(&n); err != nil {
				return nil, err
			}
			if handled.Add(1)%20 == 0 {
				callers.Cut()
			}
			if handled.Load()%33 == 0 {
				responders.Cut()
			}
			if e.Attempt == 1 && n%10 == 0 {
				return nil, retry.Transient(errors.New("busy"))
			}
			return n * n, nil
		})
		runBus(responder)
		var all sync.WaitGroup
		for worker := range 10 {
			all.Go(func() {
				for i := range 5 {
					n := 5*worker + i
					r, err := caller.Request(deadline(t), bus.Event{Type: "square.of", Payload: n})
					if err != nil || string(r.Payload) != fmt.Sprint(n*n) {
						t.Errorf("%d: %s, %v", n, r.Payload, err)
					}
				}
			})
		}
		all.Wait()
	})
}

// A request dies with its deadline, in the queue as in the handler, and leaves
// nothing behind; nor does a bus.
func TestRequestsExpire(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{RequestTimeout: 300 * time.Millisecond})
		_, err := b.Request(deadline(t), bus.Event{Type: "nobody"})
		var returned *confirm.ReturnedError
		if !errors.As(err, &returned) {
			t.Errorf("%v", err)
		}
		respond(t, b, "#", "asleep", func(_ context.Context, e bus.Received) (any, error) {
			t.Errorf("handled: %+v", e)
			return nil, nil
		})
		_, err = b.Request(context.Background(), bus.Event{Type: "x"})
		var none *bus.NoReplyError
		if !errors.As(err, &none) || !none.Confirmed || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		runBus(b)
		br.AwaitDepth(t, "asleep", 0, patience)
		br.AwaitDepth(t, "asleep.dlq", 0, patience)
	})
}

// The reply queue lives as long as the bus, and no longer; and the broker takes its
// arguments.
func TestReplyQueueGoesWithItsBus(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		responder, caller := openBus(t, l, bus.Config{}), openBus(t, l, bus.Config{})
		respond(t, responder, "#", "group", func(_ context.Context, e bus.Received) (any, error) { return strings.Repeat("x", 17<<20), nil })
		do(t, l, func(ch *amqp.Channel) error { // another program among the responders
			if _, err := ch.QueueDeclare("other", true, false, false, false, nil); err != nil {
				return err
			}
			return ch.QueueBind("other", "#", "events.requests", false, nil)
		})
		runBus(responder)
		_, err := caller.Request(deadline(t), bus.Event{Type: "x"})
		var failed *bus.ResponderError
		if !errors.As(err, &failed) || failed.Reason != story.ReasonUnexpected || !strings.Contains(failed.Text, "the limit is") {
			t.Errorf("a reply that is too large: %v", err)
		}
		seen := take(t, l, "other")
		if len(seen) != 1 {
			t.Fatalf("%d requests", len(seen))
		}
		name := seen[0].ReplyTo
		do(t, l, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			return err
		})
		if err := caller.Close(deadline(t)); err != nil {
			t.Error(err)
		}
		s, err := l.Session(deadline(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Do(deadline(t), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			return err
		})
		var gone *amqp.Error
		if !errors.As(err, &gone) || gone.Code != amqp.NotFound {
			t.Errorf("after Close: %v", err)
		}
	})
}
