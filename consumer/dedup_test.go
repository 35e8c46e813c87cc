package consumer_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/dedup"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func unique(t *testing.T, cfg dedup.Config) consumer.Middleware {
	t.Helper()
	cfg.Logger = quiet
	m, err := dedup.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// R 12: three transient failures, burial and replay come under one message-id.
// None of them is taken for a duplicate; whatever comes after the success is.
func TestDedupLetsRetriesAndReplaysPass(t *testing.T) {
	for where, each := range map[string]func(*testing.T, func(*testing.T, *amqptest.Broker)){"outermost": each, "innermost": on40} {
		t.Run(where, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w, copies := work(t, l, topology.WorkConfig{})
				fill(t, b, w.Queue, 5)
				var c calls
				handler := func(_ context.Context, d amqp.Delivery) error {
					if n := c.add(d); d.MessageId == "2" && n <= 4 {
						return retry.Transient(errWhy)
					}
					return nil
				}
				policy := retry.Policy{BackOff: retry.Constant(time.Second), MaxRetries: 3}
				drop := unique(t, dedup.Config{Queue: w.Queue})
				h := drop(chain(copies, w, policy, handler))
				if where == "innermost" {
					h = chain(copies, w, policy, drop(handler))
				}
				r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 2, Handler: h})
				eventually(t, "a letter", func() bool { return len(b.Messages("/", w.DeadLetterQueue)) == 1 })
				left(t, b, w.DeadLetterQueue, "2")
				if got := c.all()["2"]; got != 4 {
					t.Errorf("%d attempts before burial", got)
				}
				report, err := dlq.Open(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Logger: quiet}).Replay(soon(t), copies, dlq.ReplayConfig{})
				if err != nil || report.Replayed != 1 {
					t.Fatalf("%+v %v", report, err)
				}
				eventually(t, "the replay is handled", func() bool { return c.all()["2"] == 5 })
				fill(t, b, w.Queue, 5) // the publisher repeats itself
				drained(t, b, w.Queue)
				r.Stopped(t)
				for id, want := range map[string]int{"0": 1, "1": 1, "2": 5, "3": 1, "4": 1} {
					if got := c.all()[id]; got != want {
						t.Errorf("message %s was handled %d times, want %d", id, got, want)
					}
				}
				left(t, b, w.DeadLetterQueue)
			})
		})
	}
}

// A second copy while the first is being handled is neither acked nor handled: it
// waits for what becomes of the first. When that fails for good, it is handled.
func TestDedupOfTwoLiveCopies(t *testing.T) {
	for name, fails := range map[string]bool{"succeeds": false, "fails": true} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w, copies := work(t, l, topology.WorkConfig{})
				fill(t, b, w.Queue, 1)
				fill(t, b, w.Queue, 1)
				var c calls
				var running, peak atomic.Int32
				h := unique(t, dedup.Config{Queue: w.Queue})(chain(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
					peak.Store(max(peak.Load(), running.Add(1)))
					defer running.Add(-1)
					<-time.After(time.Minute)
					if c.add(d) == 1 && fails {
						return retry.Permanent(errWhy)
					}
					return nil
				}))
				r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: h})
				pass(59 * time.Second)
				if got := unacked(b, w.Queue); got != 2 {
					t.Errorf("%d unacked while the first is handled", got)
				}
				drained(t, b, w.Queue)
				r.Stopped(t)
				want, letters := 1, []string(nil)
				if fails {
					want, letters = 2, []string{"0"}
				}
				if got := c.all()["0"]; got != want || peak.Load() != 1 {
					t.Errorf("handled %d times, %d at once", got, peak.Load())
				}
				left(t, b, w.DeadLetterQueue, letters...)
				if got := requeued(b); len(got) > 0 {
					t.Errorf("given back: %v", got)
				}
			})
		})
	}
}

// What was handled, and whose ack was lost with the link, is dropped when it
// comes again.
func TestDedupOfALostAck(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 10)
		var c calls
		handled := make(chan struct{})
		r := run(t, l, consumer.Config{Queue: "q", Handler: unique(t, dedup.Config{Queue: "q"})(func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) == 1 && d.MessageId == "4" {
				close(handled)
				<-time.After(time.Minute)
			}
			return nil
		})})
		wait(t, handled, "the fifth")
		b.CutConnections()
		drained(t, b, "q")
		r.Stopped(t)
		c.once(t, 10)
	})
}

// The same event in two queues is two messages; without a message-id nothing
// is a duplicate.
func TestDedupKeys(t *testing.T) {
	store := dedup.Memory(10)
	var n int
	handler := func(context.Context, amqp.Delivery) error { n++; return nil }
	a := unique(t, dedup.Config{Queue: "a", Store: store})(handler)
	z := unique(t, dedup.Config{Queue: "z", Store: store})(handler)
	for _, h := range []consumer.Handler{a, z, a, z} {
		if err := h(t.Context(), amqp.Delivery{MessageId: "1"}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := a(t.Context(), amqp.Delivery{}); err != nil {
			t.Error(err)
		}
	}
	if n != 4 {
		t.Errorf("handled %d times", n)
	}
}

// A forwarded message is done when its copy is confirmed, and not before.
func TestDedupOfForwardedMessages(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		declare(t, b, "next", quorum)
		forward, err := confirm.Open(soon(t), l, confirm.Config{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close(soon(t))
		fill(t, b, w.Queue, 1)
		fill(t, b, w.Queue, 1)
		var c calls
		h := unique(t, dedup.Config{Queue: w.Queue})(chain(copies, w, retry.Policy{BackOff: retry.Constant(time.Second), Unknown: retry.VerdictTransient}, func(ctx context.Context, d amqp.Delivery) error {
			to := "next"
			if c.add(d) == 1 {
				to = "nowhere" // returned
			}
			return forward.Start(ctx, "", to, amqp.Publishing{MessageId: d.MessageId})
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 2, Handler: h})
		pass(time.Minute)
		drained(t, b, w.Queue)
		r.Stopped(t)
		left(t, b, "next", "0")
		if got := c.all()["0"]; got != 2 {
			t.Errorf("handled %d times", got)
		}
	})
}

// failing is a store that does not answer for a while.
type failing struct {
	dedup.Store
	down *atomic.Bool
}

func (f failing) Begin(ctx context.Context, key, owner string, lease time.Duration) (dedup.State, error) {
	if f.down.Load() {
		return dedup.Done, errors.New("no answer")
	}
	return f.Store.Begin(ctx, key, owner, lease)
}

func TestDedupWhenTheStoreFails(t *testing.T) {
	for name, open := range map[string]bool{"waits": false, "open": true} {
		t.Run(name, func(t *testing.T) { storeFails(t, open) })
	}
}

func storeFails(t *testing.T, pass0 bool) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 3)
		var down atomic.Bool
		down.Store(true)
		var c calls
		h := unique(t, dedup.Config{Queue: w.Queue, Store: failing{dedup.Memory(0), &down}, Open: pass0})(
			chain(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil }))
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
		pass(time.Minute)
		if got := c.distinct() == 3; got != pass0 {
			t.Errorf("%d handled while the store was down", c.distinct())
		}
		down.Store(false)
		drained(t, b, w.Queue)
		r.Stopped(t)
		c.once(t, 3)
		left(t, b, w.DeadLetterQueue)
	})
}

// A panic lets go of the message; so does the end of the lease, after a crash.
func TestDedupLetsGo(t *testing.T) {
	on40(t, func(t *testing.T, _ *amqptest.Broker) {
		store := dedup.Memory(0)
		n := 0
		h := unique(t, dedup.Config{Queue: "q", Store: store, Lease: time.Hour})(func(context.Context, amqp.Delivery) error {
			if n++; n == 1 {
				panic("bug")
			}
			return nil
		})
		if err := consumer.Recover()(h)(t.Context(), amqp.Delivery{MessageId: "1"}); err == nil {
			t.Error("no panic")
		}
		if err := h(t.Context(), amqp.Delivery{MessageId: "1"}); err != nil || n != 2 {
			t.Errorf("after a panic: %v", err)
		}
		var got []dedup.State
		for _, wait := range []time.Duration{0, 59 * time.Minute, time.Minute} {
			<-time.After(wait)
			state, _ := store.Begin(t.Context(), "k", wait.String(), time.Hour)
			got = append(got, state)
		}
		_ = store.Release(t.Context(), "k", "0s") // the crashed one, late: not its own any more
		state, _ := store.Begin(t.Context(), "k", "x", time.Hour)
		if got = append(got, state); !slices.Equal(got, []dedup.State{dedup.Fresh, dedup.Busy, dedup.Fresh, dedup.Busy}) {
			t.Errorf("states %v", got)
		}
	})
}
