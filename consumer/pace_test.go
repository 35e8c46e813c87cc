package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Deliveries that wait too long for a worker go back before the broker's
// consumer timeout of half an hour, and the prefetch shrinks until none does
// (R 19). Without that the broker would end the session again and again.
func TestPrefetchShrinksBeforeTheConsumerTimeout(t *testing.T) {
	for kind, args := range map[string]amqp.Table{"quorum": quorum, "classic": classic} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "slow", args)
				fill(t, b, "slow", 40)
				var c calls
				r := run(t, l, consumer.Config{Queue: "slow", Prefetch: 32, DrainTimeout: 3 * time.Minute, Handler: func(_ context.Context, d amqp.Delivery) error {
					c.add(d)
					<-time.After(2 * time.Minute)
					return nil
				}})
				pass(20 * time.Minute)
				if now := b.Consumers("/"); len(now) != 1 || now[0].Prefetch != 16 {
					t.Errorf("after 20 minutes: %+v, want a prefetch of 16", now)
				}
				eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "slow"); return q.Ready+q.Unacked == 0 })
				r.Stopped(t)
				c.once(t, 40)
				if broken := brokenChannels(b); len(broken) > 0 {
					t.Errorf("the broker ended sessions: %v", broken)
				}
				timedOut := func(e amqptest.Event) bool {
					return e.Kind == amqptest.EventRequeued && e.Reason == "timeout" || e.Kind == amqptest.EventConsumerCancelled && e.Reason == "broker"
				}
				if got := b.Trace(timedOut); len(got) > 0 {
					t.Errorf("the broker took deliveries back: %v", got)
				}
				if told := r.Told(); told[consumer.Consuming] < 2 {
					t.Errorf("told: %v", told)
				}
			})
		})
	}
}

// A handler is at work for longer than the consumer timeout: 3.10 and 4.0 close
// the channel, 4.3 cancels the consumer, and each gives the message to the next
// session. The old result is void; nothing is lost or acked twice.
func TestHandlerBeyondTheConsumerTimeout(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "slow", quorum)
		fill(t, b, "slow", 10)
		var c calls
		r := run(t, l, consumer.Config{Queue: "slow", Workers: 2, Prefetch: 2, Handler: func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) == 1 && d.MessageId == "0" {
				<-time.After(40 * time.Minute)
			}
			return nil
		}})
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "slow"); return q.Ready+q.Unacked == 0 })
		pass(time.Hour)
		r.Stopped(t)
		want := map[string]int{}
		for _, id := range numbers(0, 10) {
			want[id] = 1
		}
		want["0"] = 2
		if got := c.all(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("handled: %v", got)
		}
		if told := r.Told(); told[consumer.Disconnected] == 0 {
			t.Errorf("told: %v", told)
		}
	})
}

// chain is the one of the documentation around h.
func chain(copies *confirm.Publisher, w topology.Work, p retry.Policy, h consumer.Handler) consumer.Handler {
	p.Logger = quiet
	return consumer.Chain(h,
		dlq.Middleware(copies, w, dlq.Config{Logger: quiet}),
		retry.Middleware(copies, w, p),
		consumer.Recover())
}

func work(t *testing.T, l *link.Link, cfg topology.WorkConfig) (topology.Work, *confirm.Publisher) {
	t.Helper()
	w := topology.WorkQueue("work", cfg)
	if err := topology.Declare(soon(t), l, w.Topology); err != nil {
		t.Fatal(err)
	}
	return w, bubble.Publisher(t, l, confirm.Config{})
}

// F 2: a message that the Go client cannot read kills each session before its
// neighbours are seen. They must not be buried for it, unhandled.
func TestAnUnreadableMessageBuriesNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{DeliveryLimit: 5})
		var deep any = "x"
		for range 40 {
			deep = amqp.Table{"t": deep}
		}
		all := numbered(41)
		all[0].Headers = amqp.Table{"a": deep}
		publish(t, b, w.Queue, all...)
		var c calls
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: chain(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			return nil
		})})
		eventually(t, "the queue is empty", func() bool { q, _ := b.Queue("/", w.Queue); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		if c.distinct() != 40 {
			t.Errorf("%d of 40 good messages handled", c.distinct())
		}
		left(t, b, w.DeadLetterQueue, "0")
	})
}

type away struct{}

func (away) Start(context.Context, string, string, amqp.Publishing) error {
	return errors.New("the ladder is away")
}

// Copies cannot be stored for a long time: sessions are retired by age. What
// only waited in the prefetch must not reach the delivery limit by that.
func TestALongPauseBuriesNobody(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, _ := work(t, l, topology.WorkConfig{DeliveryLimit: 8})
		const n = 20
		fill(t, b, w.Queue, n)
		var c calls
		h := retry.Middleware(away{}, w, retry.Policy{Logger: quiet})(func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			return retry.Transient(errors.New("no"))
		})
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h, ConsumerTimeout: 2 * time.Minute})
		eventually(t, "a handler for each", func() bool { return c.distinct() == n }) // in n sessions, more than the limit
		r.Stopped(t)
		ready := ids(b.Messages("/", w.Queue))
		if slices.Sort(ready); len(ready) != n {
			t.Errorf("in the queue: %v", ready)
		}
		left(t, b, w.DeadLetterQueue)
		if told := r.Told(); told[consumer.Paused] == 0 {
			t.Errorf("told: %v", told)
		}
	})
}

// A session is retired by age while one handler is stuck: the other worker goes on.
func TestAStuckHandlerStopsNobodyElse(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 300)
		var stuck atomic.Bool
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Workers: 2, Prefetch: 200, Handler: func(ctx context.Context, d amqp.Delivery) error {
			if d.MessageId == "0" && stuck.CompareAndSwap(false, true) {
				<-ctx.Done()
				return ctx.Err()
			}
			<-time.After(10 * time.Second)
			c.add(d)
			return nil
		}})
		end := time.Now().Add(2 * time.Hour)
		for c.distinct() < 300 && time.Now().Before(end) {
			pass(time.Second)
		}
		if c.distinct() != 300 {
			t.Errorf("%d of 300 handled", c.distinct())
		}
		r.Stop()
		if err := r.Wait(t); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
