package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/breaker"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// The warehouse is down for hours, longer than the policy has retries: without a
// breaker every message would be buried. With it few attempts are used up,
// nothing is buried or brought nearer to the delivery limit than its pauses
// need, and Health says why.
func TestBreakerPausesInsteadOfBurningRetries(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		const n = 60
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{DeliveryLimit: 20})
		fill(t, b, w.Queue, n)
		var control consumer.Control
		guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{Name: "warehouse", Timeout: 10 * time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		up := time.Now().Add(90 * time.Minute)
		var c, attempts calls
		var failed atomic.Int32
		h := guard(chain(copies, w, retry.Policy{BackOff: retry.Constant(time.Minute), MaxRetries: 12}, func(_ context.Context, d amqp.Delivery) error {
			attempts.add(d)
			<-time.After(time.Second)
			if time.Now().Before(up) {
				failed.Add(1)
				return retry.Transient(errWhy)
			}
			c.add(d)
			return nil
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Prefetch: 40, Handler: h, Control: &control})
		var open *breaker.OpenError
		if h := r.Becomes(t, consumer.Paused); !errors.As(h.Err, &open) || open.Name != "warehouse" || !errors.Is(h.Err, errWhy) {
			t.Errorf("told %v", h.Err)
		}
		drained(t, b, w.Queue)
		eventually(t, "all are handled", func() bool { return c.distinct() == n })
		r.Stopped(t)
		c.once(t, n)
		left(t, b, w.DeadLetterQueue)
		// Ten when it opens (6 in a row, and who ran then), then one for each
		// probe, every ten minutes.
		if got := failed.Load(); got > 24 {
			t.Errorf("%d attempts failed", got)
		}
		if got := timedOut(b); len(got) > 0 {
			t.Errorf("the broker took it back: %v", got)
		}
		if got := b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventRequeued && e.Reason == "nack" }); len(got) > 0 {
			t.Errorf("given back singly: %v", got)
		}
	})
}

// Half-open, as many are let through as the settings say, and the other workers
// wait; a malformed message is no evidence, and does not take the place of one.
func TestHalfOpen(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 30)
		var control consumer.Control
		var states []gobreaker.State
		guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{
			MaxRequests: 2, Timeout: time.Minute,
			ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 1 },
			OnStateChange: func(_ string, _, to gobreaker.State) { states = append(states, to) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		var down, malformed atomic.Bool
		var running, peak atomic.Int32
		var c calls
		down.Store(true)
		h := guard(chain(copies, w, retry.Policy{BackOff: retry.Constant(24 * time.Hour)}, func(_ context.Context, d amqp.Delivery) error {
			peak.Store(max(peak.Load(), running.Add(1)))
			defer running.Add(-1)
			<-time.After(10 * time.Second)
			switch {
			case malformed.Load():
				return &consumer.MalformedError{Problem: "bad"}
			case down.Load():
				return errWhy
			}
			c.add(d)
			return nil
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 8, Handler: h, Control: &control})
		pass(11 * time.Second) // 8 have failed; open
		peak.Store(0)
		malformed.Store(true)
		down.Store(false)
		pass(75 * time.Second) // half-open; two have been malformed
		if got := peak.Load(); got != 2 {
			t.Errorf("%d at once while half-open", got)
		}
		malformed.Store(false)
		drained(t, b, w.Queue)
		r.Stopped(t)
		if got := len(ids(b.Messages("/", w.DeadLetterQueue))); got < 10 || got > 12 || c.distinct() != 30-got {
			t.Errorf("%d buried, %d handled", got, c.distinct())
		}
		if len(states) != 3 || states[2] != gobreaker.StateClosed {
			t.Errorf("states %v", states)
		}
	})
}

// Half-open, the place of a message that is no evidence goes to one that waits.
func TestHalfOpenPlaceIsFreeAgain(t *testing.T) {
	on40(t, func(t *testing.T, _ *amqptest.Broker) {
		guard, err := breaker.New(breaker.Config{Control: new(consumer.Control), Settings: gobreaker.Settings{
			ReadyToTrip: func(gobreaker.Counts) bool { return true },
		}})
		if err != nil {
			t.Fatal(err)
		}
		h := guard(func(_ context.Context, d amqp.Delivery) error {
			<-time.After(time.Second)
			switch d.MessageId {
			case "down":
				return errWhy
			case "bad":
				return &consumer.MalformedError{}
			}
			return nil
		})
		_ = h(context.Background(), amqp.Delivery{MessageId: "down"})
		pass(61 * time.Second)
		done := make(chan error, 2)
		for _, id := range []string{"bad", "good"} {
			go func() { done <- h(context.Background(), amqp.Delivery{MessageId: id}) }()
			synctest.Wait()
		}
		pass(2 * time.Second)
		if len(done) != 2 {
			t.Error("the second one waits for ever")
			_ = h(context.Background(), amqp.Delivery{}) // frees it
		}
	})
}

// The drain of a consumer whose workers wait for a probe: they start nothing
// when that succeeds.
func TestDrainWhileHalfOpen(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 8)
		var control consumer.Control
		guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{
			Timeout: time.Minute, ReadyToTrip: func(gobreaker.Counts) bool { return true },
		}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r := run(t, l, consumer.Config{Queue: "q", Workers: 3, Handler: guard(func(_ context.Context, _ amqp.Delivery) error {
			if time.Since(start) < time.Minute {
				return errWhy
			}
			<-time.After(8 * time.Second)
			return nil
		}), Control: &control})
		pass(65 * time.Second)
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the drain took %v", took)
		}
		ready := b.Messages("/", "q")
		if len(ready) != 7 {
			t.Errorf("%d left", len(ready))
		}
	})
}

func TestBreakerNeedsAControl(t *testing.T) {
	if _, err := breaker.New(breaker.Config{}); err == nil {
		t.Error("no error")
	}
}

// half makes a breaker half-open: the handler fails for the message "down".
func half(t *testing.T, s gobreaker.Settings, h consumer.Handler) consumer.Handler {
	t.Helper()
	s.ReadyToTrip = func(gobreaker.Counts) bool { return true }
	guard, err := breaker.New(breaker.Config{Control: new(consumer.Control), Settings: s})
	if err != nil {
		t.Fatal(err)
	}
	h = guard(h)
	_ = h(context.Background(), amqp.Delivery{MessageId: "down"})
	pass(61 * time.Second)
	return h
}

// A probe that ends its goroutine, or panics, is a failure, and gives its place
// back.
func TestAProbeThatDoesNotReturn(t *testing.T) {
	on40(t, func(t *testing.T, _ *amqptest.Broker) {
		var states []gobreaker.State
		h := half(t, gobreaker.Settings{OnStateChange: func(_ string, _, to gobreaker.State) { states = append(states, to) }}, func(_ context.Context, d amqp.Delivery) error {
			switch d.MessageId {
			case "down":
				return errWhy
			case "goexit":
				runtime.Goexit()
			case "panic":
				panic("boom")
			}
			return nil
		})
		for _, id := range []string{"goexit", "panic"} {
			ended := make(chan any)
			go func() {
				defer func() {
					v := recover()
					ended <- v
				}()
				_ = h(context.Background(), amqp.Delivery{MessageId: id})
			}()
			if v := <-ended; (v != nil) != (id == "panic") {
				t.Errorf("%s: %v", id, v)
			}
			pass(61 * time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h(ctx, amqp.Delivery{MessageId: "good"}); err != nil {
			t.Errorf("no probe after: %v", err)
		}
		if states[len(states)-1] != gobreaker.StateClosed || len(states) != 7 {
			t.Errorf("states %v", states)
		}
	})
}

// The place of a probe whose failure Settings.IsExcluded leaves out goes to one
// that waits.
func TestThePlaceOfAnExcludedProbe(t *testing.T) {
	on40(t, func(t *testing.T, _ *amqptest.Broker) {
		errOther := errors.New("not found")
		h := half(t, gobreaker.Settings{IsExcluded: func(err error) bool { return errors.Is(err, errOther) }}, func(_ context.Context, d amqp.Delivery) error {
			<-time.After(time.Second)
			switch d.MessageId {
			case "down":
				return errWhy
			case "other":
				return errOther
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 2)
		for _, id := range []string{"other", "good"} {
			go func() { done <- h(ctx, amqp.Delivery{MessageId: id}) }()
			synctest.Wait()
		}
		<-done
		if err := <-done; err != nil {
			t.Errorf("the second one: %v", err)
		}
	})
}
