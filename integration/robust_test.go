package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// A message that the Go client cannot read (here: of a publisher in another
// language) kills each session before its neighbours are seen. They must not be
// buried for it, unhandled.
func TestAnUnreadableMessageBuriesNobodyElse(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l, raw := open(t, link.Config{URLs: []string{b.URL}}), open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, raw, "unreadable", topology.WorkConfig{DeliveryLimit: 5})
		var deep any = "x"
		for range 40 {
			deep = amqp.Table{"t": deep}
		}
		const n = 40
		do(t, raw, func(ch *amqp.Channel) error {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			for i := range n + 1 {
				msg := amqp.Publishing{MessageId: fmt.Sprint(i), DeliveryMode: amqp.Persistent}
				if i == 0 {
					msg.Headers = amqp.Table{"a": deep}
				}
				c, err := ch.PublishWithDeferredConfirm("", w.Queue, true, false, msg)
				if err != nil {
					return err
				}
				c.Wait()
			}
			return nil
		})
		copies := publisher(t, l, confirm.Config{})
		handled := newTally()
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: reliable(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
			handled.add(d.MessageId)
			return nil
		})})
		eventually(t, func() bool { return handled.distinct()+depth(t, raw, w.DeadLetterQueue) >= n+1 })
		_ = r.stopped(t)
		if handled.distinct() != n {
			t.Errorf("%d of %d good messages handled, %d letters in the dead-letter queue", handled.distinct(), n, depth(t, raw, w.DeadLetterQueue))
		}
	})
}

type away struct{}

func (away) Start(context.Context, string, string, amqp.Publishing) error {
	return errors.New("the ladder is away")
}

// Copies cannot be stored for a long time: sessions are retired by age. What only
// waited in the prefetch must not reach the delivery limit by that.
func TestALongPauseBuriesNobody(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "paused", topology.WorkConfig{DeliveryLimit: 8})
		p := publisher(t, l, confirm.Config{})
		const n = 20
		for i := range n {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		calls := newTally()
		h := retry.Middleware(away{}, w, retry.Policy{Logger: logger()})(func(_ context.Context, d amqp.Delivery) error {
			calls.add(d.MessageId)
			return retry.Transient(errors.New("no"))
		})
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h, ConsumerTimeout: time.Second})
		calls.until(t, "a handler for each", func() bool { return calls.distinct() == n }) // in n sessions, more than the limit
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		eventually(t, func() bool { return depth(t, l, w.Queue)+depth(t, l, w.DeadLetterQueue) == n })
		if buried := depth(t, l, w.DeadLetterQueue); buried > 0 {
			t.Errorf("%d of %d messages buried that hardly any handler saw", buried, n)
		}
	})
}

// A session is retired by age while one handler is stuck: the other worker goes on.
func TestAStuckHandlerStopsNobodyElse(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "stuck", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		for i := range 30 {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		handled := newTally()
		var stuck atomic.Bool
		run(t, l, consumer.Config{
			Queue: w.Queue, Workers: 2, Prefetch: 20, ConsumerTimeout: 2 * time.Second, DrainTimeout: time.Second,
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				if d.MessageId == "0" && stuck.CompareAndSwap(false, true) {
					<-ctx.Done()
					return ctx.Err()
				}
				select {
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				handled.add(d.MessageId)
				return nil
			},
		})
		handled.until(t, "all messages", func() bool { return handled.distinct() == 30 })
	})
}

// The link is lost in the middle of a drain: the handlers' deadline stays.
func TestALostLinkDoesNotProlongTheDrain(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		direct := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, direct, "prolonged", quorum)
		p := publisher(t, direct, confirm.Config{})
		if err := p.Publish(deadline(t), "", "prolonged", amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}})
		started, ended := make(chan struct{}), make(chan time.Time, 1)
		const drain = 4 * time.Second
		r := run(t, l, consumer.Config{Queue: "prolonged", DrainTimeout: drain, Handler: func(ctx context.Context, _ amqp.Delivery) error {
			close(started)
			<-ctx.Done()
			ended <- time.Now()
			return ctx.Err()
		}})
		wait(t, started, "the handler")
		began := time.Now()
		r.stop()
		<-time.After(drain * 3 / 4)
		proxy.Cut()
		if took := wait(t, ended, "the end of the handler's ctx").Sub(began); took > drain*5/4 {
			t.Errorf("the handler's ctx ended after %v, DrainTimeout is %v", took, drain)
		}
		_ = r.wait(t)
	})
}

// A handler that panics with a copy under way has failed.
func TestAPanicWithACopyIsNoSuccess(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "panicking", topology.WorkConfig{})
		declareQueue(t, l, "elsewhere", quorum)
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: "m"}); err != nil {
			t.Fatal(err)
		}
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{}, func(ctx context.Context, _ amqp.Delivery) error {
			if err := p.Start(ctx, "", "elsewhere", amqp.Publishing{}); err != nil {
				panic(err) // must(...): the rest of the handler does not run
			}
			return nil
		})})
		eventually(t, func() bool {
			return state(t, b, w.Queue).Ready+state(t, b, w.Queue).Unacked == 0 && depth(t, l, "elsewhere") == 1
		})
		if n := depth(t, l, w.DeadLetterQueue); n != 1 {
			t.Errorf("%d letters: the message was acked though its handler panicked", n)
		}
	})
}

// One message that the broker cannot parse must not stop its neighbours.
func TestNaNIsRefused(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "nan", quorum)
		p := publisher(t, l, confirm.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		bad := p.Send(ctx, "", "nan", amqp.Publishing{Headers: amqp.Table{"ratio": math.NaN()}})
		if err := p.Publish(ctx, "", "nan", amqp.Publishing{}); err != nil {
			t.Errorf("its neighbour: %v", err)
		}
		var refused *confirm.RefusedError
		if err := bad.Wait(ctx); !errors.As(err, &refused) {
			t.Errorf("NaN: %v", err)
		}
	})
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestBusRedactsEverywhere(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		var out syncBuffer
		paused := make(chan struct{}, 10)
		eb, err := bus.Open(deadline(t), l, bus.Config{
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
			Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") },
			OnHealth: func(h consumer.Health) {
				if h.Status == consumer.Paused {
					paused <- struct{}{}
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = eb.Close(context.Background()) })
		subscribe(t, eb, "x", "redacted", func(context.Context, bus.Received) error { return errors.New("login with hunter2 failed") })
		if err := b.API().DeleteQueue(deadline(t), "redacted.dlq"); err != nil {
			t.Fatal(err)
		}
		runBus(eb)
		if err := eb.Publish(deadline(t), bus.Event{Type: "x"}); err != nil {
			t.Fatal(err)
		}
		wait(t, paused, "the pause")
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("a secret in the log:\n%s", out.String())
		}
	})
}
