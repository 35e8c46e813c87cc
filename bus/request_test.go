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
	"github.com/hareline/hareline/confirm"
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

// Nobody responds; nobody responds in time; the bus is closed meanwhile.
func TestNoReply(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{RequestTimeout: 7 * time.Second, Unrouted: bus.Ignore})
		_, err := b.Request(soon(t), bus.Event{Type: "nobody"})
		as[*confirm.ReturnedError](t, err)

		other := openBus(t, br, bus.Config{})
		respond(t, other, "#", "asleep", func(context.Context, bus.Received) (any, error) { return 1, nil })
		began := time.Now()
		_, err = b.Request(context.Background(), bus.Event{Type: "x", MessageID: "m"})
		none := as[*bus.NoReplyError](t, err)
		if !none.Confirmed || none.MessageID != "m" || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 7*time.Second {
			t.Errorf("%+v after %v", none, time.Since(began))
		}
		pass(time.Second)
		empty(t, br, "asleep") // it expired
		if n := len(br.Messages("/", "asleep.dlq")); n != 0 {
			t.Errorf("%d letters", n)
		}

		ended := make(chan error, 1)
		go func() { _, err := b.Request(context.Background(), bus.Event{Type: "x"}); ended <- err }()
		synctest.Wait()
		if err := b.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if err := wait(t, ended, "the end of the request"); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%v", err)
		}
		if _, err := b.Request(soon(t), bus.Event{Type: "x"}); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		for _, q := range br.Queues("/") {
			if strings.HasPrefix(q.Name, "events.replies.") {
				t.Errorf("%s is left", q.Name)
			}
		}
	})
}

// A reply that comes too late, or a second one, is dropped and counted, and no other
// request gets it; a request that is late is not handled.
func TestLateReplies(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{Workers: 1})
		var handled atomic.Int32
		for _, group := range []string{"first", "second"} {
			respond(t, b, "#", group, func(ctx context.Context, e bus.Received) (any, error) {
				handled.Add(1)
				if e.Type == "slow" {
					if by, ok := ctx.Deadline(); !ok || time.Until(by) > 5*time.Second {
						t.Errorf("the handler's ctx ends at %v", by)
					}
					<-time.After(20 * time.Second) // whatever its ctx says
				}
				return e.Type, nil
			})
		}
		runBus(b)
		if _, err := b.Request(soon(t), bus.Event{Type: "two"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := b.LateReplies(); n != 1 {
			t.Errorf("%d late, want the second group's", n)
		}
		_, err := b.Request(within(t, 5*time.Second), bus.Event{Type: "slow"})
		as[*bus.NoReplyError](t, err)
		// In the prefetch behind the slow one: the broker cannot expire it.
		_, err = b.Request(within(t, 5*time.Second), bus.Event{Type: "behind"})
		as[*bus.NoReplyError](t, err)
		pass(time.Minute)
		if n := b.LateReplies(); n != 3 || handled.Load() != 4 {
			t.Errorf("%d late, want 3; %d handled, want 4", n, handled.Load())
		}
		r, err := b.Request(soon(t), bus.Event{Type: "next"})
		if err != nil || string(r.Payload) != `"next"` {
			t.Errorf("%s, %v", r.Payload, err)
		}
	})
}

// The caller is gone, and its reply queue: the request is done all the same.
func TestCallerGone(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		caller, b := openBus(t, br, bus.Config{}), openBus(t, br, bus.Config{})
		asked, answer := make(chan struct{}, 9), make(chan struct{})
		respond(t, b, "#", "slow", func(context.Context, bus.Received) (any, error) {
			asked <- struct{}{}
			<-answer
			return 1, nil
		})
		runBus(b)
		go caller.Request(context.Background(), bus.Event{Type: "x"}) // ends with the bus
		wait(t, asked, "the request")
		if err := caller.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		close(answer)
		pass(time.Minute)
		empty(t, br, "slow")
		if n := len(asked) + len(br.Messages("/", "slow.dlq")); n != 0 {
			t.Errorf("%d attempts or letters more", n)
		}
	})
}

// A request outlives the loss of links, its caller's and its responder's.
func TestRequestsOutliveLinks(t *testing.T) {
	for name, fault := range map[string]amqptest.Fault{
		"publish": {Do: amqptest.DropAfter, On: "basic.publish"},
		"before":  {Do: amqptest.DropBefore, On: "basic.publish"},
		"ack":     {Do: amqptest.DropBefore, On: "basic.ack"},
		"cancel":  {Do: amqptest.CancelConsumers, On: "basic.publish"},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, br *amqptest.Broker) {
				caller, responder := openBus(t, br, bus.Config{}), openBus(t, br, bus.Config{Workers: 4})
				respond(t, responder, "#", "group", func(_ context.Context, e bus.Received) (any, error) {
					<-time.After(time.Second)
					return e.Payload, nil
				})
				runBus(responder)
				fault := fault
				fault.Connection, fault.Nth, fault.Every, fault.Times = "hareline*", 3, 5, 4
				hit := inject(t, br, fault)
				var all sync.WaitGroup
				for n := range 15 {
					all.Go(func() {
						r, err := caller.Request(within(t, 5*time.Minute), bus.Event{Type: "x", Payload: n})
						if err != nil || string(r.Payload) != fmt.Sprint(n) {
							t.Errorf("request %d: %s, %v", n, r.Payload, err)
						}
					})
				}
				all.Wait()
				if hit.Hits() == 0 {
					t.Error("the fault never happened")
				}
				pass(time.Minute)
				empty(t, br, "group")
			})
		})
	}
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
