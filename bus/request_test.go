package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/dedup"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

func respond(t *testing.T, b *bus.Bus, pattern, group string, r bus.Responder) {
	t.Helper()
	if err := b.Respond(soon(t), pattern, group, r); err != nil {
		t.Fatal(err)
	}
}

// within is a ctx with a deadline, in the time of the bubble.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

type price struct {
	Film  string
	Cents int
}

// Requests find their replies, many at a time, in each format; mere listeners do
// not see them, and nothing is left behind.
func TestRequest(t *testing.T) {
	for name, format := range map[string]bus.Format{"envelope": bus.Envelope, "binary": bus.CloudEventsBinary, "structured": bus.CloudEventsStructured} {
		t.Run(name, func(t *testing.T) {
			run := on40
			if format == bus.Envelope {
				run = each
			}
			run(t, func(t *testing.T, br *amqptest.Broker) {
				cfg := bus.Config{Workers: 8, Format: format, Source: "/prices"}
				caller, responder := openBus(t, br, cfg), openBus(t, br, cfg)
				if err := bus.Respond(soon(t), responder, "price.*", "prices", func(_ context.Context, film string, e bus.Received) (price, error) {
					if e.Type != "price.of" || e.Attempt != 1 {
						t.Errorf("%+v", e)
					}
					return price{film, len(film)}, nil
				}); err != nil {
					t.Fatal(err)
				}
				heard, h := collector()
				subscribe(t, responder, "#", "audit", h)
				runBus(responder)
				var all sync.WaitGroup
				for n := range 15 {
					all.Go(func() {
						film := strings.Repeat("x", n)
						r, err := caller.Request(soon(t), bus.Event{Type: "price.of", Payload: film})
						var p price
						if err != nil || r.Decode(&p) != nil || p.Cents != n || p.Film != film || r.Type != "price.of.reply" {
							t.Errorf("%v, %+v, %+v", err, r, p)
						}
					})
				}
				all.Wait()
				synctest.Wait()
				if len(heard) != 0 || caller.LateReplies() != 0 {
					t.Errorf("%d heard, %d late", len(heard), caller.LateReplies())
				}
				empty(t, br, "prices")
			})
		})
	}
}

// What is on the wire, for programs in other languages, and that they can answer.
func TestRequestOnTheWire(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		respond(t, b, "price.*", "prices", func(context.Context, bus.Received) (any, error) { return nil, nil }) // does not run
		asked := time.Now()
		answer := make(chan error, 1)
		go func() {
			r, err := b.Request(within(t, 10*time.Second), bus.Event{Type: "price.of", MessageID: "m1", Payload: "x"})
			if err == nil && (r.Type != "answer" || string(r.Payload) != "5") {
				t.Errorf("%+v", r)
			}
			answer <- err
		}()
		synctest.Wait()
		operate(t, br, func(ch *amqp.Channel) error {
			d, ok, err := ch.Get("prices", true)
			if err != nil || !ok {
				return fmt.Errorf("no request: %w", err)
			}
			by, err := time.Parse(time.RFC3339Nano, d.Headers[bus.HeaderReplyBy].(string))
			if err != nil || by.Sub(asked).Abs() > 10*time.Second || d.Expiration != "10000" || d.MessageId != "m1" || d.Exchange != "events.requests" {
				t.Errorf("%v: reply by %v; %+v", err, by, d)
			}
			return ch.Publish("", d.ReplyTo, true, false, amqp.Publishing{CorrelationId: d.CorrelationId, Body: []byte(`{"event_type":"answer","payload":5}`)})
		})
		if err := wait(t, answer, "the answer"); err != nil {
			t.Error(err)
		}
	})
}

// A responder's failure is told, with its reason, and is not buried.
func TestResponderFails(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }})
		var attempts atomic.Int32
		respond(t, b, "#", "failing", func(_ context.Context, e bus.Received) (any, error) {
			attempts.Add(1)
			switch e.Type {
			case "busy":
				return nil, retry.Transient(errors.New("busy"))
			case "once busy":
				if e.Attempt == 1 {
					return nil, retry.Transient(errors.New("busy"))
				}
				return e.Attempt, nil
			case "no":
				return nil, retry.Permanent(errors.New("no secret"))
			case "panic":
				panic("oh")
			case "not for JSON":
				return func() {}, nil
			}
			var n int
			return n, e.Decode(&n)
		})
		runBus(b)
		for _, c := range []struct {
			kind, reason, text string
			temporary          bool
			attempts           int32
		}{
			{"busy", story.ReasonExhausted, "busy", true, 4},
			{"no", story.ReasonPermanent, "no ***", false, 1},
			{"panic", story.ReasonUnexpected, "oh", false, 1},
			{"not for JSON", story.ReasonUnexpected, "does not encode to JSON", false, 1},
			{"other payload", story.ReasonMalformed, "does not decode", false, 1},
		} {
			attempts.Store(0)
			_, err := b.Request(soon(t), bus.Event{Type: c.kind, Payload: "x"})
			failed := as[*bus.ResponderError](t, err)
			if failed.Reason != c.reason || !strings.Contains(failed.Text, c.text) || failed.Temporary() != c.temporary || failed.Type != c.kind || attempts.Load() != c.attempts {
				t.Errorf("%+v after %d attempts; want %+v", failed, attempts.Load(), c)
			}
		}
		r, err := b.Request(soon(t), bus.Event{Type: "once busy"})
		if err != nil || string(r.Payload) != "2" {
			t.Errorf("%s, %v", r.Payload, err)
		}
		if dead := letters(t, b, "failing"); len(dead) != 0 {
			t.Errorf("%+v", dead)
		}
		empty(t, br, "failing")
	})
}

// A transient failure is not tried beyond the deadline: the caller hears of it before.
func TestRequestNotRetriedBeyondItsDeadline(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{}) // retries are a second apart
		var attempts atomic.Int32
		respond(t, b, "#", "busy", func(context.Context, bus.Received) (any, error) {
			attempts.Add(1)
			return nil, retry.Transient(errors.New("busy"))
		})
		ended := make(chan error, 1)
		go func() { _, err := b.Request(within(t, 2900*time.Millisecond), bus.Event{Type: "x"}); ended <- err }()
		pass(1500 * time.Millisecond) // in the queue, which counts
		runBus(b)
		if failed := as[*bus.ResponderError](t, wait(t, ended, "the answer")); failed.Reason != story.ReasonExpired || !failed.Temporary() || attempts.Load() != 2 {
			t.Errorf("%+v after %d attempts", failed, attempts.Load())
		}
	})
}

// A message without a reply queue is handled; where that fails it is buried.
func TestRequestWithoutReplyQueue(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		respond(t, b, "#", "group", func(_ context.Context, e bus.Received) (any, error) {
			if e.Type == "bad" {
				return nil, errors.New("a bug")
			}
			return 1, nil
		})
		runBus(b)
		operate(t, br, func(ch *amqp.Channel) error {
			for _, kind := range []string{"good", "bad"} {
				if err := ch.Publish("events.requests", "x", true, false, amqp.Publishing{MessageId: kind, Body: []byte(`{"event_type":"` + kind + `"}`)}); err != nil {
					return err
				}
			}
			return nil
		})
		pass(time.Minute)
		empty(t, br, "group")
		if dead := letters(t, b, "group"); len(dead) != 1 || dead["bad"].Reason != story.ReasonUnexpected {
			t.Errorf("%+v", dead)
		}
	})
}

// Middleware around a group of responders sees that a request failed, though its
// caller is told and it is released: a breaker must count it, dedup let its
// repetition through.
func TestMiddlewareSeesAFailedRequest(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		errDown := errors.New("the database is down")
		unique, err := dedup.New(dedup.Config{Queue: "prices", Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		var causes []error
		b := openBus(t, br, bus.Config{Middleware: []consumer.Middleware{unique, func(next consumer.Handler) consumer.Handler {
			return func(ctx context.Context, d amqp.Delivery) error {
				err := next(ctx, d)
				causes = append(causes, consumer.Cause(err))
				return err
			}
		}}})
		var calls atomic.Int32
		respond(t, b, "price.*", "prices", func(context.Context, bus.Received) (any, error) {
			if calls.Add(1) == 1 {
				return nil, errDown
			}
			return 5, nil
		})
		runBus(b)
		ask := bus.Event{Type: "price.of", MessageID: "m1"}
		_, err = b.Request(within(t, time.Minute), ask)
		as[*bus.ResponderError](t, err)
		if _, err := b.Request(within(t, time.Minute), ask); err != nil {
			t.Errorf("repeated: %v", err)
		}
		synctest.Wait()
		if len(causes) != 2 || !errors.Is(causes[0], errDown) || causes[1] != nil {
			t.Errorf("middleware sees %v", causes)
		}
		empty(t, br, "prices")
	})
}
