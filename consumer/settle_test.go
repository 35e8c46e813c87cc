package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// R 7: give-backs among acks. The broker closes the channel on a multiple ack of
// a tag that it no longer knows, and undoes all acks below it.
func TestGiveBacksAmongAcks(t *testing.T) {
	for kind, args := range map[string]amqp.Table{"quorum": quorum, "classic": classic} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "mixed", args)
				const n = 200
				fill(t, b, "mixed", n)
				var c calls
				r := run(t, l, consumer.Config{Queue: "mixed", Workers: 8, Prefetch: 50, Handler: func(_ context.Context, d amqp.Delivery) error {
					if first := c.add(d) == 1; first && strings.HasSuffix(d.MessageId, "3") {
						return errors.New("give it back")
					}
					return nil
				}})
				eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "mixed"); return q.Ready+q.Unacked == 0 })
				r.Stopped(t)
				for id, got := range c.all() {
					if want := 1 + strings.Count(id[len(id)-1:], "3"); got != want {
						t.Errorf("message %s was handled %d times, want %d: its ack was undone", id, got, want)
					}
				}
				if broken := brokenChannels(b); len(broken) > 0 || c.distinct() != n {
					t.Errorf("%d handled; channels closed: %v", c.distinct(), broken)
				}
			})
		})
	}
}

// H 8.4: what is given back comes back after a pause that grows to half a
// minute, and ends with the first success.
func TestGiveBacksDoNotSpin(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 1)
		var at []time.Time
		r := run(t, l, consumer.Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error {
			if at = append(at, time.Now()); len(at) <= 12 {
				return errors.New("give it back")
			}
			return nil
		}})
		eventually(t, "it is acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		for i := range 12 {
			longest := 100 * time.Millisecond << i
			if i >= 8 {
				longest = 30 * time.Second
			}
			if wait := at[i+1].Sub(at[i]); wait < longest/2 || wait > longest {
				t.Errorf("pause %d: %v, want %v to %v", i+1, wait, longest/2, longest)
			}
		}
	})
}

// Acks go out for several deliveries at once, but never past one that is not
// finished: its handler is cut off by the consumer's end, and it alone is left.
func TestAcksStopAtTheUnfinished(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		const n, stuck = 201, "100"
		fill(t, b, "q", n)
		var c calls
		r := run(t, l, consumer.Config{
			Queue: "q", Workers: 11, Prefetch: 60, DrainTimeout: time.Minute,
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				c.add(d)
				if d.MessageId == stuck {
					<-ctx.Done()
					return ctx.Err()
				}
				<-time.After(time.Second) // so that ten results come together
				return nil
			},
		})
		eventually(t, "all but one are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 1 })
		if got := ids(b.Unacked("/", "q")); !slices.Equal(got, []string{stuck}) {
			t.Errorf("unacked: %v", got)
		}
		acks := map[time.Time]int{}
		for _, e := range b.Trace(amqptest.OfKind(amqptest.EventAcked)) {
			acks[e.At]++
		}
		if len(acks) > 25 {
			t.Errorf("the acks of %d messages came at %d moments", n-1, len(acks))
		}
		r.Stopped(t)
		left(t, b, "q", stuck)
		c.once(t, n)
	})
}

// An alarm stops who publishes. Whoever consumes and acks goes on (H 9.1).
func TestAcksGoOnUnderAnAlarm(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 50)
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm})
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Workers: 4, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			return nil
		}})
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		c.once(t, 50)
		if n := len(b.Trace(amqptest.OfKind(amqptest.EventAlarmCleared))); n != 0 {
			t.Error("the alarm is over: this tests nothing")
		}
		r.Stopped(t)
	})
}

// The broker does not read for a while: deliveries come up to the prefetch, then
// none do until it has read the acks. Nothing is handled twice.
func TestBrokerThatDoesNotRead(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 100)
		stalled := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.ack", Queue: "q", Nth: 3, Delay: 5 * time.Second})
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Prefetch: 10, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			<-time.After(10 * time.Millisecond)
			return nil
		}})
		if err := stalled.Wait(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Second)
		if n := c.distinct(); n > 15 {
			t.Errorf("%d handled under a stall, with a prefetch of 10", n)
		}
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		c.once(t, 100)
		r.Stopped(t)
		if n := r.Told(); n[consumer.Disconnected] != 0 {
			t.Errorf("told: %v", n)
		}
	})
}

// It never reads again: the drain ends all the same, and a moment later Run.
func TestBrokerThatNeverReadsAgain(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 10)
		stalled := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.ack", Queue: "q"})
		r := run(t, l, consumer.Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error { return nil }})
		if err := stalled.Wait(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("Run returned after %v", took)
		}
	})
}

// Panics outside Recover, of middleware too, leave the process alive and the
// message in the queue; three in a row are told, and so is their end.
func TestPanicsOutsideRecover(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "panics", quorum)
		fill(t, b, "panics", 3)
		var c calls
		r := run(t, l, consumer.Config{Queue: "panics", Handler: func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) <= 2 {
				panic("boom")
			}
			return nil
		}})
		var panicked *consumer.PanicError
		if h := r.Becomes(t, consumer.Panicking); !errors.As(h.Err, &panicked) || panicked.Value != "boom" {
			t.Errorf("told: %v", h.Err)
		}
		r.Becomes(t, consumer.Consuming)
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "panics"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		if got := c.all(); got["0"] != 3 || got["1"] != 3 || got["2"] != 3 {
			t.Errorf("handled: %v", got)
		}
	})
}

// A handler that ends its goroutine costs no worker and no message.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 5)
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Handler: func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) == 1 {
				runtime.Goexit()
			}
			return nil
		}})
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
	})
}

// R 6: a message that comes back again and again, each time with a dead channel,
// is told before the delivery limit takes it away.
func TestReturnsAreToldBeforeTheLimit(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(25)})
		fill(t, b, "q", 1)
		var log lines
		run(t, l, consumer.Config{
			Queue: "q", Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				b.CutConnections()
				<-ctx.Done()
				return ctx.Err()
			},
			Workers: 40, DrainTimeout: time.Second,
		})
		eventually(t, "the limit is reached", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		synctest.Wait()
		for _, n := range []int{10, 20} {
			if !strings.Contains(log.String(), fmt.Sprintf("delivery_count=%d", n)) {
				t.Errorf("no warning after %d returns:\n%s", n, log.String())
			}
		}
	})
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
