package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
)

// Close lets a running handler finish, settles its event and ends Run; after it
// nothing is taken any more.
func TestCloseDrains(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		subscribe(t, b, "slow", "slow", func(context.Context, bus.Received) error {
			<-time.After(20 * time.Second)
			return nil
		})
		ended := runBus(b)
		synctest.Wait()
		if err := b.Subscribe(soon(t), "a", "late", func(context.Context, bus.Received) error { return nil }); err == nil {
			t.Error("subscribed while Run runs")
		}
		publish(t, b, bus.Event{Type: "slow"})
		synctest.Wait() // the handler is at work
		began := time.Now()
		if err := b.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("Close took %v, the handler 20 s", took)
		}
		if err := wait(t, ended, "the end of Run"); err != nil {
			t.Error(err)
		}
		empty(t, br, "slow")
		if err := b.Subscribe(soon(t), "a", "a", func(context.Context, bus.Received) error { return nil }); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Subscribe after Close: %v", err)
		}
		if err := b.Run(soon(t)); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Run after Close: %v", err)
		}
		as[*confirm.UnsentError](t, b.Publish(soon(t), bus.Event{Type: "slow"}))
		if n := len(br.Channels()); n != 0 {
			t.Errorf("%d channels are left open", n)
		}
	})
}

// Close with a ctx that ends first says so, and the event comes back.
func TestCloseCutShort(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{DrainTimeout: time.Minute})
		subscribe(t, b, "slow", "slow", func(ctx context.Context, _ bus.Received) error { <-ctx.Done(); return ctx.Err() })
		ended := runBus(b)
		publish(t, b, bus.Event{Type: "slow"})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if err := wait(t, ended, "the end of Run"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if q, _ := br.Queue("/", "slow"); q.Ready != 1 {
			t.Errorf("%+v", q)
		}
		if n := len(br.Messages("/", "slow.dlq")); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}
