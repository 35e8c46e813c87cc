package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// failing fails n times.
func failing(n int) func(context.Context, amqp.Delivery) error {
	return func(context.Context, amqp.Delivery) error {
		if n--; n >= 0 {
			return errBoom
		}
		return nil
	}
}

func (r *rig) publish(t *testing.T, msg amqp.Publishing) {
	t.Helper()
	if err := r.pub.Publish(soon(t), "", "orders", msg); err != nil {
		t.Fatal(err)
	}
}

// whole is the life of a message that fails twice, is buried, replayed and succeeds.
func (r *rig) whole(t *testing.T) {
	t.Helper()
	stop := r.run(t, r.w, failing(2))
	r.publish(t, amqp.Publishing{MessageId: "1"})
	r.buried(t, 1)
	r.replay(t)
	r.empty(t, r.w.DeadLetterQueue)
	r.empty(t, r.w.Queue)
	stop()
}

func TestOneTraceTellsTheWholeStory(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		r.whole(t)
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		golden(t, "whole.txt", tree(spans))
	})
}

// With Links the attempts have traces of their own; the message's tells of its copies.
func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{Links: true})
		r.whole(t)
		spans := r.spans.GetSpans()
		connected(t, spans, true)
		golden(t, "links.txt", tree(spans))
	})
}

func TestNoSettleSpans(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{NoSettleSpans: true})
		r.whole(t)
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		if text := tree(spans); strings.Contains(text, "ack ") {
			t.Errorf("a settle span: %s", text)
		}
	})
}

// A ladder that takes nothing for a while pauses the queue; each try is in the trace.
func TestTraceOfCopiesThatAreRepeated(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ladder, _, _ := r.w.Park(time.Second)
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Exchange: ladder, Times: 2})
		stop := r.run(t, r.w, failing(1))
		r.publish(t, amqp.Publishing{MessageId: "1"})
		pass(time.Minute)
		r.empty(t, r.w.Queue)
		stop()
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		// When a copy is repeated is up to chance.
		if got, want := outline(spans), `send orders confirmed
  process orders parked
    park orders nacked
    park orders nacked
    ack orders
    park orders confirmed
      delay orders
      process orders handled
        ack orders
`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// A session that is lost while the handler is at work: the message is handled again.
func TestTraceOfALostSession(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		first := true
		stop := r.run(t, r.w, func(context.Context, amqp.Delivery) error {
			if first {
				first = false
				inject(t, b, amqptest.Fault{On: amqptest.Now, Do: amqptest.CloseConnection, Code: 320})
				<-time.After(time.Second)
			}
			return nil
		})
		r.publish(t, amqp.Publishing{MessageId: "1"})
		pass(time.Minute)
		r.empty(t, r.w.Queue)
		stop()
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		golden(t, "lost.txt", tree(spans))
	})
}

// A program without telemetry that moves a message on, headers and all, leaves its
// trace whole, be it this library or another one.
func TestTraceOverAnUntracedHop(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		plain, err := confirm.Open(soon(t), r.l, confirm.Config{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close(soon(t))
		stop := r.consume(t, consumer.Config{Queue: r.w.Queue, Handler: consumer.Chain(failing(1),
			dlq.Middleware(plain, r.w, dlq.Config{Logger: quiet}),
			retry.Middleware(plain, r.w, retry.Policy{BackOff: retry.Constant(time.Second), Logger: quiet}))})
		r.publish(t, amqp.Publishing{MessageId: "1"})
		synctest.Wait()
		stop()
		stop = r.run(t, r.w, failing(1))
		pass(time.Second)
		r.buried(t, 1)
		stop()
		operate(t, b, func(ch *amqp.Channel) error {
			d, _, err := ch.Get(r.w.DeadLetterQueue, true)
			if err != nil {
				return err
			}
			return ch.Publish("", "orders", false, false, amqp.Publishing{MessageId: d.MessageId, Headers: d.Headers})
		})
		stop = r.run(t, r.w, failing(0))
		r.empty(t, r.w.Queue)
		stop()
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		if got, want := outline(spans), `send orders confirmed
  process orders buried
    ack orders
    bury orders.dlq confirmed
      process orders handled
        ack orders
`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// Each message of a batch begins a trace, to which the batch's span links.
func TestTraceOfABatch(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		stop := r.run(t, r.w, failing(0))
		err := r.pub.PublishBatch(soon(t), []confirm.Message{
			{Key: "orders", Publishing: amqp.Publishing{MessageId: "1"}}, {Key: "orders", Publishing: amqp.Publishing{MessageId: "2"}}, {Key: "nowhere", Publishing: amqp.Publishing{MessageId: "3"}},
		})
		if !errors.As(err, new(*confirm.BatchError)) {
			t.Fatal(err)
		}
		r.empty(t, r.w.Queue)
		stop()
		spans := r.spans.GetSpans()
		connected(t, spans, true)
		golden(t, "batch.txt", tree(spans))
	})
}

// Below a span of the caller's, all of a batch is in its trace.
func TestTraceOfABatchUnderASpan(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ctx, span := r.spans.provider.Tracer("test").Start(soon(t), "request")
		if err := r.pub.PublishBatch(ctx, []confirm.Message{{Key: "orders"}, {Key: "orders"}}); err != nil {
			t.Fatal(err)
		}
		span.End()
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		if got, want := outline(spans), "request\n  create orders confirmed\n  create orders confirmed\n  send orders\n"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// A message for later is one trace over its wait, and the headers that it arrives
// with are its own.
func TestTraceOfAMessageForLater(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		later := topology.WorkQueue("later", topology.WorkConfig{Ladder: topology.Ladder{Levels: 4}}) // reaches 1.5 s
		if err := topology.Declare(soon(t), r.l, later.Topology); err != nil {
			t.Fatal(err)
		}
		pub := r.publisher(t, confirm.Config{Later: later})
		r.run(t, later, pub.Forward)
		var got amqp.Table
		stop := r.run(t, r.w, func(_ context.Context, d amqp.Delivery) error { got = d.Headers; return nil })
		if err := pub.PublishLater(soon(t), 2*time.Second, "", "orders", amqp.Publishing{MessageId: "1", Headers: amqp.Table{"mine": "x"}}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		stop()
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		golden(t, "later.txt", tree(spans))
		if len(got) != 3 || got["mine"] != "x" || got["traceparent"] == nil || got[confirm.HeaderPublishID] == nil {
			t.Errorf("arrived with %v", got)
		}
	})
}

// openBus opens a bus with its telemetry.
func (r *rig) openBus(t *testing.T) *bus.Bus {
	t.Helper()
	e, err := bus.Open(soon(t), r.l, bus.Config{
		Tracer: r.tel, Middleware: []consumer.Middleware{r.tel.Middleware()}, Logger: quiet, Ladder: topology.Ladder{Levels: 4},
		Policy: retry.Policy{MaxRetries: 1, BackOff: retry.Constant(time.Second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(soon(t)) })
	return e
}

// An event has one trace with the attempts of all groups.
func TestTraceOfAnEvent(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		e := r.openBus(t)
		tries := 0
		for group, h := range map[string]bus.Handler{
			"mail":  func(context.Context, bus.Received) error { return nil },
			"stock": func(context.Context, bus.Received) error { tries++; return errOnce(tries) },
		} {
			if err := e.Subscribe(soon(t), "order.*", group, h); err != nil {
				t.Fatal(err)
			}
		}
		ran := make(chan error, 1)
		go func() { ran <- e.Run(t.Context()) }()
		if err := e.Publish(soon(t), bus.Event{Type: "order.created", MessageID: "1", Payload: 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		spans := r.spans.GetSpans()
		connected(t, spans, false)
		golden(t, "event.txt", tree(spans))
		_ = e.Close(soon(t))
		<-ran
	})
}

func errOnce(try int) error {
	if try == 1 {
		return errBoom
	}
	return nil
}

// A request, its attempts and its reply are one trace.
func TestTraceOfARequest(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		e := r.openBus(t)
		tries := 0
		if err := e.Respond(soon(t), "price.of", "prices", func(context.Context, bus.Received) (any, error) { tries++; return 7, errOnce(tries) }); err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- e.Run(t.Context()) }()
		if _, err := e.Request(soon(t), bus.Event{Type: "price.of", MessageID: "1", Payload: "tea"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		_, err := e.Request(soon(t), bus.Event{Type: "price.off", MessageID: "2", Payload: "tea"})
		if err == nil {
			t.Error("nobody prices that")
		}
		spans := r.spans.GetSpans()
		if got, want := outline(spans), `send events.requests confirmed
  process prices parked
    ack prices
    park prices confirmed
      delay prices
      process prices forwarded
        ack prices
        reply confirmed
send events.requests returned
`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		_ = e.Close(soon(t))
		<-ran
	})
}

// In package ordered the attempts of a message stay in one process, and are settled
// once.
func TestTraceInOrder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		p := topology.PartitionedQueue("accounts", topology.PartitionsConfig{Count: 1})
		if err := topology.Declare(soon(t), r.l, p.Topology); err != nil {
			t.Fatal(err)
		}
		fails := map[string]int{"1": 1, "2": 2}
		c, err := ordered.New(ordered.Config{
			Partitions: p, Copies: r.copies, DeadLetters: dlq.Config{Logger: quiet},
			Retry: retry.Policy{MaxRetries: 1, BackOff: retry.Constant(time.Second), Logger: quiet},
			Consumer: consumer.Config{Logger: quiet, Handler: consumer.Chain(func(_ context.Context, d amqp.Delivery) error {
				if fails[d.MessageId]--; fails[d.MessageId] >= 0 {
					return errBoom
				}
				return nil
			}, r.tel.Middleware())},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx, r.l) }()
		for _, id := range []string{"1", "2"} {
			exchange, key := p.Route("a")
			if err := r.pub.Publish(soon(t), exchange, key, amqp.Publishing{MessageId: id}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		spans := r.spans.GetSpans()
		golden(t, "ordered.txt", tree(spans))
	})
}

// outline is the tree without times: names, and what became of each.
func outline(spans tracetest.SpanStubs) string {
	var out strings.Builder
	for text := range strings.Lines(tree(spans)) {
		words := strings.Fields(text)
		end := 1
		for !strings.HasPrefix(words[end], "[") {
			end++
		}
		indent := len(text) - len(strings.TrimLeft(text, " "))
		fmt.Fprintf(&out, "%s%s", strings.Repeat(" ", indent), strings.Join(words[1:end], " "))
		for _, w := range words {
			for _, name := range []string{"outcome=", "verdict="} {
				if word, ok := strings.CutPrefix(w, name); ok {
					fmt.Fprint(&out, " ", word)
				}
			}
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}
