package consumer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
)

func requeued(b *amqptest.Broker) []amqptest.Event {
	return b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventRequeued })
}

// timedOut is what the broker took back or ended for its consumer timeout.
func timedOut(b *amqptest.Broker) []amqptest.Event {
	return append(brokenChannels(b), b.Trace(func(e amqptest.Event) bool {
		return e.Kind == amqptest.EventRequeued && e.Reason == "timeout" || e.Kind == amqptest.EventConsumerCancelled && e.Reason == "broker"
	})...)
}

func drained(t *testing.T, b *amqptest.Broker, queue string) {
	t.Helper()
	eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", queue); return q.Ready+q.Unacked == 0 })
}

var errWhy = errors.New("the warehouse moves")

// A pause while the subscription is refused does not count as a refusal.
func TestAPauseIsNoRefusal(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		var control consumer.Control
		r := run(t, l, consumer.Config{Queue: "q", Control: &control, Handler: func(context.Context, amqp.Delivery) error { return nil }})
		r.Becomes(t, consumer.Consuming)
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "q"})
		pass(30 * time.Second)
		resume := control.Pause(nil)
		pass(time.Hour)
		resume()
		pass(30 * time.Second) // of GiveUpAfter, 2 min
		declare(t, b, "q", quorum)
		r.Becomes(t, consumer.Consuming)
		r.Stopped(t)
	})
}

// A pause gives back what only waited, at once and in order, for others.
func TestPauseGivesBack(t *testing.T) {
	for kind, args := range map[string]amqp.Table{"quorum": quorum, "classic": classic} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", args)
				fill(t, b, "q", 20)
				var c calls
				var control consumer.Control
				r := run(t, l, consumer.Config{Queue: "q", Workers: 2, Prefetch: 10, Control: &control, Handler: func(_ context.Context, d amqp.Delivery) error {
					c.add(d)
					<-time.After(10 * time.Second)
					return nil
				}})
				pass(time.Second)
				resume := control.Pause(errWhy)
				pass(10 * time.Second)
				if c.distinct() != 2 {
					t.Errorf("%d handlers started", c.distinct())
				}
				left(t, b, "q", numbers(2, 20)...)
				pass(time.Minute)
				b.CutConnections() // nobody minds
				pass(time.Minute)
				resume()
				drained(t, b, "q")
				r.Stopped(t)
				c.once(t, 20)
				if told := r.Told(); told[consumer.Paused] != 1 || told[consumer.Consuming] != 2 {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}

// A paused consumer drains, and a Control pauses all that have it.
func TestPauseOfSeveralAndTheirEnd(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		var control consumer.Control
		var all []*bubble.Consumer
		for _, q := range []string{"a", "b"} {
			declare(t, b, q, quorum)
			all = append(all, run(t, l, consumer.Config{Queue: q, Control: &control, Handler: func(context.Context, amqp.Delivery) error { return nil }}))
			all[len(all)-1].Becomes(t, consumer.Consuming)
		}
		control.Pause(nil)
		for _, r := range all {
			if h := r.Becomes(t, consumer.Paused); h.Err == nil {
				t.Error("paused without a reason")
			}
		}
		pass(time.Minute)
		if now := b.Consumers("/"); len(now) != 0 {
			t.Errorf("paused: %+v", now)
		}
		began := time.Now()
		for _, r := range all {
			r.Stopped(t)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the drain of nothing took %v", took)
		}
	})
}

func TestPrefetchAtRunTime(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 200)
		var c calls
		var control consumer.Control
		if err := control.SetPrefetch(5); err != nil {
			t.Fatal(err)
		}
		r := run(t, l, consumer.Config{Queue: "q", Workers: 2, Prefetch: 10, Control: &control, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			<-time.After(time.Second)
			return nil
		}})
		for _, want := range []int{5, 50, 1, 20} {
			if err := control.SetPrefetch(want); err != nil {
				t.Fatal(err)
			}
			pass(5500 * time.Millisecond)
			if now := b.Consumers("/"); len(now) != 1 || now[0].Prefetch != want || unacked(b, "q") != want {
				t.Errorf("prefetch %d, %d unacked: %+v", want, unacked(b, "q"), now)
			}
		}
		drained(t, b, "q")
		r.Stopped(t)
		c.once(t, 200)
		for _, bad := range []int{-1, 0, 65536} {
			var wrong *consumer.ConfigError
			if err := control.SetPrefetch(bad); !errors.As(err, &wrong) {
				t.Errorf("prefetch %d: %v", bad, err)
			}
		}
	})
}

// On a queue with single active consumer a hold keeps the turn, and a pause
// hands it over; the order stays through both (R 8) with one prefetch (F 31).
func TestControlOfASingleActiveConsumer(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "sac", amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": int64(1000)})
		fill(t, b, "sac", 60)
		var mu sync.Mutex
		var order, by []string
		start := func(name string, control *consumer.Control) *bubble.Consumer {
			return run(t, l, consumer.Config{Queue: "sac", Prefetch: 7, Control: control, Handler: func(_ context.Context, d amqp.Delivery) error {
				mu.Lock()
				order, by = append(order, d.MessageId), append(by, name)
				mu.Unlock()
				<-time.After(time.Second)
				return nil
			}})
		}
		var first, second consumer.Control
		a := start("a", &first)
		a.Becomes(t, consumer.Consuming)
		z := start("z", &second)
		pass(5500 * time.Millisecond)
		release := first.Hold(nil)
		pass(time.Minute)
		release()
		pass(5 * time.Second)
		mu.Lock()
		if slices.Contains(by, "z") {
			t.Error("the hold handed over")
		}
		mu.Unlock()
		resume := first.Pause(nil)
		pass(10500 * time.Millisecond)
		mu.Lock()
		if by[len(by)-1] != "z" {
			t.Error("the pause did not hand over")
		}
		mu.Unlock()
		resume()
		pass(500 * time.Millisecond)
		resume = second.Pause(nil) // a takes its turn again
		pass(3500 * time.Millisecond)
		mu.Lock()
		if by[len(by)-1] != "a" {
			t.Error("the second pause did not hand over")
		}
		mu.Unlock()
		resume()
		drained(t, b, "sac")
		a.Stopped(t)
		z.Stopped(t)
		if !slices.Equal(order, numbers(0, 60)) {
			t.Errorf("handled in the order %v", order)
		}
	})
}

// A pause without a session must not keep Run when its link is closed.
func TestAPausedConsumerNoticesAClosedLink(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		var control consumer.Control
		defer control.Pause(nil)()
		r := run(t, l, consumer.Config{Queue: "q", Control: &control, Handler: func(context.Context, amqp.Delivery) error { return nil }})
		r.Becomes(t, consumer.Paused)
		if err := l.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-r.Result:
			if !errors.Is(err, link.ErrClosed) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run goes on without its link")
		}
	})
}

// The same prefetch set again is set anew, where the consumer had lowered it.
func TestSetPrefetchAgain(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 40)
		var control consumer.Control
		r := run(t, l, consumer.Config{Queue: "q", Control: &control, DrainTimeout: 5 * time.Minute, Handler: func(context.Context, amqp.Delivery) error {
			<-time.After(2 * time.Minute)
			return nil
		}})
		if err := control.SetPrefetch(20); err != nil {
			t.Fatal(err)
		}
		pass(20 * time.Minute)
		if got := b.Consumers("/"); len(got) != 1 || got[0].Prefetch != 10 {
			t.Fatalf("not lowered: %+v", got)
		}
		if err := control.SetPrefetch(20); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		if got := b.Consumers("/"); len(got) != 1 || got[0].Prefetch != 20 {
			t.Errorf("not set anew: %+v", got)
		}
		r.Stopped(t)
	})
}
