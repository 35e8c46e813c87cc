package consumer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// What is finished during the drain is acked, nothing more is started, and what
// only waited goes back with the channel: in order, without a cancel or a nack
// before, which would shuffle it (R 8).
func TestDrain(t *testing.T) {
	for kind, args := range map[string]amqp.Table{"quorum": quorum, "classic": classic} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", args)
				fill(t, b, "q", 20)
				var c calls
				r := run(t, l, consumer.Config{Queue: "q", Workers: 4, Prefetch: 10, Handler: func(_ context.Context, d amqp.Delivery) error {
					c.add(d)
					<-time.After(10 * time.Second)
					return nil
				}})
				pass(time.Second)
				began := time.Now()
				r.Stopped(t)
				if took := time.Since(began); took != 9*time.Second {
					t.Errorf("the drain took %v, the handlers 9 s", took)
				}
				if c.distinct() != 4 {
					t.Errorf("%d handlers were started", c.distinct())
				}
				left(t, b, "q", numbers(4, 20)...)
				shuffles := func(e amqptest.Event) bool {
					return e.Kind == amqptest.EventConsumerCancelled && e.Reason == "client" ||
						e.Kind == amqptest.EventRequeued && e.Reason != "channel"
				}
				if got := b.Trace(shuffles); len(got) > 0 {
					t.Errorf("before the channel was closed: %v", got)
				}
			})
		})
	}
}

// R 8 with a single active consumer: the next one gets the rest in order.
func TestHandOverKeepsTheOrder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "sac", amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": int64(1000)})
		fill(t, b, "sac", 30)
		var mu sync.Mutex
		var order []string
		handler := func(_ context.Context, d amqp.Delivery) error {
			mu.Lock()
			order = append(order, d.MessageId)
			mu.Unlock()
			<-time.After(time.Second)
			return nil
		}
		first := run(t, l, consumer.Config{Queue: "sac", Prefetch: 7, Handler: handler})
		first.Becomes(t, consumer.Consuming)
		second := run(t, l, consumer.Config{Queue: "sac", Prefetch: 7, Handler: handler})
		pass(5500 * time.Millisecond)
		first.Stopped(t)
		pass(5 * time.Second)
		b.Restart() // the second one loses its session with one handler at work
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "sac"); return q.Ready+q.Unacked == 0 })
		second.Stopped(t)
		mu.Lock()
		defer mu.Unlock()
		if got := slices.Compact(order); !slices.Equal(got, numbers(0, 30)) {
			t.Errorf("handled in the order %v", got)
		}
	})
}

// R 1: the end of Run is no verdict. Handlers have DrainTimeout, then their ctx
// ends with a cause that says so; their messages are there, uncounted.
func TestShutdownIsNoVerdict(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 8)
		causes := make(chan error, 8)
		r := run(t, l, consumer.Config{Queue: "q", Workers: 8, DrainTimeout: time.Minute, Handler: func(ctx context.Context, _ amqp.Delivery) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		}})
		pass(time.Second)
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the drain took %v, DrainTimeout is a minute", took)
		}
		left(t, b, "q", numbers(0, 8)...)
		for range 8 {
			var shutdown interface{ Shutdown() bool }
			if cause := <-causes; !errors.As(cause, &shutdown) || !shutdown.Shutdown() {
				t.Errorf("cause %v", cause)
			}
		}
		for _, m := range b.Messages("/", "q") {
			if len(m.Headers) > 0 && m.Headers["x-delivery-count"] == nil && m.Headers["x-acquired-count"] == nil {
				t.Errorf("headers %v", m.Headers)
			}
		}
	})
}

// A handler that does not look at its ctx is told, by number, and Run returns.
func TestDrainTellsWhoIsStuck(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "stuck", quorum)
		fill(t, b, "stuck", 3)
		release := make(chan struct{})
		r := run(t, l, consumer.Config{
			Queue: "stuck", Workers: 2, DrainTimeout: time.Second,
			Handler: func(context.Context, amqp.Delivery) error { <-release; return nil },
		})
		pass(time.Second)
		began := time.Now()
		r.Stop()
		var stuck *consumer.DrainError
		if err := r.Wait(t); !errors.As(err, &stuck) || stuck.Running != 2 {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run returned after %v", took)
		}
		close(release)
		left(t, b, "stuck", numbers(0, 3)...)
	})
}

// The link is lost in the middle of a drain: the handlers' deadline stays, and
// what they finish is void.
func TestALostLinkDoesNotProlongTheDrain(t *testing.T) {
	for name, lose := range map[string]func(*amqptest.Broker){
		"cut": func(b *amqptest.Broker) { b.CutConnections() }, "restart": (*amqptest.Broker).Restart,
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", quorum)
				fill(t, b, "q", 2)
				var mu sync.Mutex
				var ended []time.Duration
				var began time.Time
				r := run(t, l, consumer.Config{Queue: "q", Workers: 2, DrainTimeout: 10 * time.Second, Handler: func(ctx context.Context, d amqp.Delivery) error {
					if d.MessageId == "0" {
						<-time.After(9 * time.Second)
						return nil
					}
					<-ctx.Done()
					mu.Lock()
					defer mu.Unlock()
					ended = append(ended, time.Since(began))
					return ctx.Err()
				}})
				pass(time.Second)
				mu.Lock()
				began = time.Now()
				mu.Unlock()
				r.Stop()
				pass(7500 * time.Millisecond)
				lose(b)
				if err := r.Wait(t); err != nil {
					t.Error(err)
				}
				if len(ended) != 1 || ended[0] != 10*time.Second {
					t.Errorf("the handler's ctx ended after %v, DrainTimeout is 10 s", ended)
				}
				left(t, b, "q", "0", "1")
			})
		})
	}
}

// Nothing is there to drain: Run returns at once, connected or not.
func TestStopOfAnIdleConsumer(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		idle := consumer.Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error { return nil }}
		connected := run(t, l, idle)
		connected.Becomes(t, consumer.Consuming)
		began := time.Now()
		connected.Stopped(t)
		lost := run(t, l, idle)
		lost.Becomes(t, consumer.Consuming)
		inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
		b.CutConnections()
		lost.Becomes(t, consumer.Disconnected)
		lost.Stopped(t)
		if took := time.Since(began); took > time.Second {
			t.Errorf("both stopped after %v", took)
		}
		synctest.Wait()
		if n := len(b.Consumers("/")); n != 0 {
			t.Errorf("%d consumers", n)
		}
	})
}

// One of several consumers fails: the others are drained, and the error is told.
func TestRunAllEndsTogether(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "a", quorum)
		fill(t, b, "a", 1)
		finished := false
		err := consumer.RunAll(soon(t), l,
			consumer.Config{Queue: "a", Logger: quiet, Handler: func(context.Context, amqp.Delivery) error {
				<-time.After(10 * time.Second)
				finished = true
				return nil
			}},
			consumer.Config{Queue: "missing", Logger: quiet, Handler: func(context.Context, amqp.Delivery) error { return nil }})
		var refused *consumer.SubscribeError
		if !errors.As(err, &refused) || refused.Queue != "missing" {
			t.Errorf("error %v", err)
		}
		if q, _ := b.Queue("/", "a"); finished && q.Ready+q.Unacked != 0 {
			t.Errorf("left: %+v", q)
		}
	})
}
