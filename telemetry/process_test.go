package telemetry_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/telemetry"
)

// processed are the spans of attempts.
func (r *rig) processed() tracetest.SpanStubs {
	return slices.DeleteFunc(r.spans.GetSpans(), func(s tracetest.SpanStub) bool { return !strings.HasPrefix(s.Name, "process ") })
}

type hopeless bool

func (hopeless) Error() string  { return "no time mends it" }
func (h hopeless) Reject() bool { return bool(h) }

type again struct{}

func (again) Error() string               { return "not for now" }
func (again) Again(context.Context) error { return nil }

// The verdict says what the consumer does with what the chain has returned.
func TestVerdicts(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		for _, c := range []struct {
			verdict string
			class   string
			handler func(try int) error
		}{
			{"handled", "", func(int) error { return nil }},
			{"given-back", "*net.OpError", func(try int) error {
				if try == 1 {
					return &net.OpError{Op: "dial", Err: errors.New("refused")}
				}
				return nil
			}},
			{"postponed", "", func(try int) error {
				if try == 1 {
					return consumer.Postpone(time.Second, errors.New("not yet"))
				}
				return nil
			}},
			{"paused", "telemetry_test.again", func(int) error { return again{} }},
			{"rejected", "telemetry_test.hopeless", func(int) error { return hopeless(true) }},
			{"held-aside", "telemetry_test.hopeless", func(int) error { return hopeless(false) }},
			{"panicked", "panic", func(try int) error {
				if try == 1 {
					panic("secret")
				}
				return nil
			}},
			{"panicked", "panic", func(try int) error {
				if try == 1 {
					runtime.Goexit()
				}
				return nil
			}},
		} {
			r.spans.Reset()
			tries := 0
			stop := r.consume(t, consumer.Config{Queue: "orders", Handler: consumer.Chain(func(context.Context, amqp.Delivery) error {
				tries++
				return c.handler(tries)
			}, r.tel.Middleware())})
			r.publish(t, amqp.Publishing{MessageId: "1"})
			pass(time.Minute)
			stop()
			s := r.processed()[0]
			if value(s, "hareline.verdict") != c.verdict || value(s, "error.type") != c.class {
				t.Errorf("%s: %v", c.verdict, s.Attributes)
			}
			if failed := s.Status.Code == codes.Error; failed != (c.class != "") || failed != (len(s.Events) == 1) {
				t.Errorf("%s: status %v, events %v", c.verdict, s.Status, s.Events)
			}
			if strings.Contains(s.Status.Description, "secret") {
				t.Errorf("the panic's value is in the status: %s", s.Status.Description)
			}
			operate(t, b, func(ch *amqp.Channel) error {
				_, err := ch.QueuePurge("orders", false)
				return err
			})
		}
	})
}

// A handler that the drain interrupts has not failed.
func TestShutdownIsNoError(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		stop := r.consume(t, consumer.Config{Queue: "orders", DrainTimeout: time.Second, Handler: r.chain(r.w, func(ctx context.Context, _ amqp.Delivery) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})})
		r.publish(t, amqp.Publishing{MessageId: "1"})
		synctest.Wait()
		stop()
		s := r.processed()[0]
		if value(s, "hareline.verdict") != "given-back" || value(s, "error.type") != "" || s.Status.Code != codes.Unset {
			t.Errorf("%v %v", s.Attributes, s.Status)
		}
	})
}

// A handler that publishes does so under its attempt's span, and forwards headers and
// all into the same trace.
func TestPublishInAHandler(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		for _, links := range []bool{false, true} {
			r := newRig(t, b, telemetry.Config{Links: links})
			operate(t, b, func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclare("next", true, false, false, false, nil)
				return err
			})
			stop := r.run(t, r.w, func(ctx context.Context, d amqp.Delivery) error {
				if err := r.pub.Publish(ctx, "", "next", amqp.Publishing{MessageId: "new"}); err != nil {
					return err
				}
				return r.pub.Start(ctx, "", "next", amqp.Publishing{MessageId: "forwarded", Headers: d.Headers})
			})
			r.publish(t, amqp.Publishing{MessageId: "1"})
			r.empty(t, "orders")
			stop()
			spans := r.spans.GetSpans()
			connected(t, spans, links)
			if v := value(r.processed()[0], "hareline.verdict"); v != "forwarded" {
				t.Error(v)
			}
		}
	})
}

// The span around Run is no message's parent: it would collect them all.
func TestAmbientSpan(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ctx, main := r.spans.provider.Tracer("test").Start(context.Background(), "main")
		ctx, cancel := context.WithCancel(ctx)
		ran := make(chan error, 1)
		go func() {
			ran <- consumer.Run(ctx, r.l, consumer.Config{Queue: "orders", Logger: quiet, Handler: r.chain(r.w, failing(0))})
		}()
		operate(t, b, func(ch *amqp.Channel) error {
			return errors.Join(ch.Publish("", "orders", false, false, amqp.Publishing{MessageId: "untraced"}),
				ch.Publish("", "orders", false, false, amqp.Publishing{MessageId: "garbage", Headers: amqp.Table{"traceparent": "00-garbage"}}),
				ch.Publish("", "orders", false, false, amqp.Publishing{MessageId: "traced", Headers: amqp.Table{"traceparent": foreign}}))
		})
		pass(time.Second)
		cancel()
		<-ran
		main.End()
		for _, s := range r.processed() {
			want := "00000000000000000000000000000000"
			if value(s, "messaging.message.id") == "traced" {
				want = foreign[3:35]
			}
			if s.Parent.TraceID().String() != want || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != main.SpanContext().SpanID() {
				t.Errorf("%v: parent %v, links %v", s.Attributes, s.Parent, s.Links)
			}
		}
	})
}

// The clock of whoever parked a message may be ahead: its delay is never negative. A
// header that is nonsense is none.
func TestDelayOfAnotherClock(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		stop := r.run(t, r.w, failing(0))
		defer stop()
		for _, c := range []struct {
			header any
			took   time.Duration
		}{
			{time.Now().Add(-time.Second).UnixMicro(), time.Second}, {time.Now().Add(time.Hour).UnixMicro(), 0},
			{int64(0), -1}, {"yesterday", -1}, {nil, -1}, {int64(-1 << 63), -1}, {int64(1<<63 - 1), 0},
		} {
			r.spans.Reset()
			operate(t, b, func(ch *amqp.Channel) error {
				return ch.Publish("", "orders", false, false, amqp.Publishing{Headers: amqp.Table{"traceparent": foreign, "hareline-parked-at": c.header}})
			})
			synctest.Wait()
			took := time.Duration(-1)
			for _, s := range r.spans.GetSpans() {
				if strings.HasPrefix(s.Name, "delay ") {
					took = s.EndTime.Sub(s.StartTime)
				}
			}
			if took != c.took {
				t.Errorf("%v: a delay of %v, want %v", c.header, took, c.took)
			}
		}
	})
}

// What was delivered before has not waited on the ladder all that time: its delay is
// told once.
func TestDelayIsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		tries := 0
		stop := r.run(t, r.w, func(context.Context, amqp.Delivery) error {
			if tries++; tries == 2 {
				inject(t, b, amqptest.Fault{On: amqptest.Now, Do: amqptest.CloseConnection, Code: 320})
				<-time.After(time.Second)
			}
			if tries < 3 {
				return errBoom
			}
			return nil
		})
		r.publish(t, amqp.Publishing{})
		pass(time.Minute)
		r.empty(t, "orders")
		stop()
		delays := 0
		for _, s := range r.spans.GetSpans() {
			if s.Name == "delay orders" {
				delays++
			}
		}
		if delays != 1 || tries != 3 {
			t.Errorf("%d delays in %d attempts", delays, tries)
		}
	})
}

// A delivery that waits for a breaker waited once on the ladder, and is settled once.
func TestPostponed(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		tries := 0
		stop := r.run(t, r.w, func(context.Context, amqp.Delivery) error {
			switch tries++; tries {
			case 1:
				return errBoom
			case 2, 3:
				return consumer.Postpone(time.Second, errors.New("a breaker is open"))
			}
			return nil
		})
		r.publish(t, amqp.Publishing{})
		pass(time.Minute)
		r.empty(t, "orders")
		stop()
		if got, want := outline(r.spans.GetSpans()), `send orders confirmed
  process orders parked
    ack orders
    park orders confirmed
      delay orders
      process orders postponed
      process orders postponed
      process orders handled
        ack orders
`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// Attempts in the queue that a message came from are none in this one.
func TestStoryOfAnotherQueue(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		stop := r.run(t, r.w, failing(0))
		told := story.Story{OriginQueue: "elsewhere", RetryCount: 3, RetryMax: 5}
		r.publish(t, amqp.Publishing{Headers: told.Table()})
		r.empty(t, "orders")
		stop()
		if s := r.processed()[0]; value(s, "hareline.attempt") != "1" || value(s, "hareline.attempts") != "" {
			t.Error(s.Attributes)
		}
	})
}

// Texts of errors are cleaned before they are shown.
func TestRedact(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }})
		stop := r.run(t, r.w, func(context.Context, amqp.Delivery) error {
			return retry.Permanent(errors.New("my secret\xff" + strings.Repeat("x", 9000)))
		})
		r.publish(t, amqp.Publishing{})
		r.buried(t, 1)
		stop()
		for _, s := range r.spans.GetSpans() {
			if strings.Contains(line(s, s.StartTime, nil), "secret") {
				t.Error(s.Status)
			}
		}
		if text := r.processed()[0].Status.Description; !strings.HasPrefix(text, "my ***\uFFFDx") || len(text) > 3000 {
			t.Errorf("%q", text)
		}
	})
}

// confirm.Config.Tracer is an interface that nothing else here checks.
var _ confirm.Tracer = (*telemetry.Telemetry)(nil)
