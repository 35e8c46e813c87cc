package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/telemetry"
)

const foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// sent publishes and gives the headers that the message has in the queue.
func (r *rig) sent(ctx context.Context, t *testing.T, h amqp.Table) map[string]any {
	t.Helper()
	if err := r.pub.Publish(ctx, "", "orders", amqp.Publishing{Headers: h}); err != nil {
		t.Fatal(err)
	}
	all := r.b.Messages("/", "orders")
	return all[len(all)-1].Headers
}

func TestParentOfAPublish(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ctx, request := r.spans.provider.Tracer("test").Start(soon(t), "request")
		of := request.SpanContext()
		inRequest := func(*testing.T) context.Context { return ctx }
		sameTrace := "00-" + of.TraceID().String() + "-00000000000000ff-01"
		for _, c := range []struct {
			name    string
			under   func(*testing.T) context.Context
			header  any
			trace   string
			parent  string
			linksTo string
		}{
			{"a root", soon, nil, "", "0000000000000000", ""},
			{"ctx's span", inRequest, nil, of.TraceID().String(), of.SpanID().String(), ""},
			{"the message's, of an outbox", soon, foreign, foreign[3:35], foreign[36:52], ""},
			{"the message's, of another trace than ctx's", inRequest, []byte(foreign), foreign[3:35], foreign[36:52], of.SpanID().String()},
			{"ctx's span, of the message's trace", inRequest, sameTrace, of.TraceID().String(), of.SpanID().String(), ""},
			{"garbage", inRequest, "00-nonsense", of.TraceID().String(), of.SpanID().String(), ""},
			{"a number", inRequest, int64(7), of.TraceID().String(), of.SpanID().String(), ""},
		} {
			r.spans.Reset()
			var h amqp.Table
			if c.header != nil {
				h = amqp.Table{"traceparent": c.header, "tracestate": "vendor=1"}
			}
			got := r.sent(c.under(t), t, h)
			s := r.spans.GetSpans()[0]
			if id := s.SpanContext.TraceID().String(); c.trace != "" && id != c.trace {
				t.Errorf("%s: trace %s", c.name, id)
			}
			if id := s.Parent.SpanID().String(); id != c.parent {
				t.Errorf("%s: parent %s", c.name, id)
			}
			links := ""
			for _, l := range s.Links {
				links += l.SpanContext.SpanID().String()
			}
			if links != c.linksTo {
				t.Errorf("%s: links to %q", c.name, links)
			}
			if want := "00-" + s.SpanContext.TraceID().String() + "-" + s.SpanContext.SpanID().String() + "-01"; got["traceparent"] != want {
				t.Errorf("%s: traceparent %v, want %s", c.name, got["traceparent"], want)
			}
			if state, there := got["tracestate"]; there != (c.trace == foreign[3:35]) {
				t.Errorf("%s: tracestate %v", c.name, state)
			}
		}
		request.End()
	})
}

func withBaggage(ctx context.Context, t *testing.T, value string) context.Context {
	t.Helper()
	m, err := baggage.NewMember("tenant", value)
	if err != nil {
		t.Fatal(err)
	}
	all, err := baggage.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return baggage.ContextWithBaggage(ctx, all)
}

// Baggage reaches the handler, over retries too; what is too long stays behind.
func TestBaggage(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ctx := withBaggage(soon(t), t, "x")
		if got := r.sent(ctx, t, nil); got["baggage"] != "tenant=x" {
			t.Errorf("sent %v", got)
		}
		if got := r.sent(ctx, t, amqp.Table{"traceparent": foreign, "baggage": "tenant=y"}); got["baggage"] != "tenant=y" {
			t.Errorf("of another trace: sent %v", got)
		}
		if got := r.sent(soon(t), t, amqp.Table{"baggage": "tenant=z"}); got["baggage"] != "tenant=z" {
			t.Errorf("of an outbox without a trace: sent %v", got)
		}
		if got := r.sent(withBaggage(soon(t), t, strings.Repeat("x", 5000)), t, nil); got["baggage"] != nil || got["traceparent"] == nil {
			t.Errorf("too long: sent %v", got)
		}
		var seen []string
		stop := r.run(t, r.w, func(ctx context.Context, d amqp.Delivery) error {
			seen = append(seen, baggage.FromContext(ctx).Member("tenant").Value())
			if len(seen) == 1 {
				return errBoom
			}
			return nil
		})
		r.empty(t, "orders")
		pass(time.Minute)
		stop()
		if got := strings.Join(seen, ","); got != "x,y,z,,x" {
			t.Errorf("handlers saw %q", got)
		}
	})
}

// Tracing fails no message, however near its headers are to their limit.
func TestTracingFitsIntoHeaders(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ctx := withBaggage(soon(t), t, strings.Repeat("x", 4000))
		for _, limit := range []int{1 << 10, 32 << 10, 100 << 10, 110 << 10, 120 << 10} {
			tel := r.publisher(t, confirm.Config{MaxHeaderBytes: limit})
			fits := limit - 50 // names, types, and the publish-id
			err := tel.Publish(ctx, "", "orders", amqp.Publishing{Headers: amqp.Table{"mine": strings.Repeat("x", fits)}})
			if err != nil {
				t.Errorf("MaxHeaderBytes %d: %v", limit, err)
			}
		}
	})
}

func TestOutcomes(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }})
		check := func(err error, name, outcome, text string) {
			t.Helper()
			s := r.spans.GetSpans()[0]
			r.spans.Reset()
			if err == nil {
				t.Error("no error")
			}
			if s.Name != name || value(s, "hareline.outcome") != outcome || value(s, "error.type") != outcome {
				t.Errorf("%s: %v", s.Name, s.Attributes)
			}
			if s.Status.Code != codes.Error || !strings.Contains(s.Status.Description, text) || len(s.Events) != 1 {
				t.Errorf("status %v, events %v", s.Status, s.Events)
			}
		}
		check(r.pub.Publish(soon(t), "", "secret", amqp.Publishing{}), "send secret", "returned", `key "***"`)
		check(r.pub.Publish(soon(t), "", "orders", amqp.Publishing{Expiration: "never"}), "send orders", "refused", "before sending")
		check(r.pub.Publish(soon(t), "nowhere", "x", amqp.Publishing{}), "send nowhere", "refused", "404")
		inject(t, b, amqptest.Fault{Do: amqptest.Nack})
		check(r.pub.Publish(soon(t), "", "orders", amqp.Publishing{}), "send orders", "nacked", "back off")
		over, cancel := context.WithCancelCause(soon(t))
		cancel(errors.New("changed my mind"))
		check(r.pub.Publish(over, "", "orders", amqp.Publishing{}), "send orders", "unsent", "changed my mind")
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: time.Hour})
		brief, cancelBrief := context.WithTimeout(soon(t), time.Second)
		defer cancelBrief()
		check(r.pub.Publish(brief, "", "orders", amqp.Publishing{}), "send orders", "unknown", "outcome unknown")
	})
}

// What came over the wire may be no UTF-8, and an exporter would choke on it.
func TestTextsAreUTF8(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		_ = r.pub.Publish(soon(t), "", "no\xff", amqp.Publishing{MessageId: "\xff", CorrelationId: "\xff", ReplyTo: "q"})
		s := r.spans.GetSpans()[0]
		if s.Name != "send no\uFFFD" || value(s, "messaging.message.id") != "\uFFFD" || value(s, "messaging.message.conversation_id") != "\uFFFD" ||
			value(s, "messaging.destination.name") != "no\uFFFD" || strings.ToValidUTF8(s.Status.Description, "!") != s.Status.Description {
			t.Errorf("%q %v %q", s.Name, s.Attributes, s.Status.Description)
		}
	})
}

// What is not sampled is not recorded, but carries its context on.
func TestUnsampled(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		r.spans = record(t, sdktrace.WithSampler(sdktrace.NeverSample()))
		r.tel = traced(t, r.spans, telemetry.Config{})
		r.pub, r.copies = r.publisher(t, confirm.Config{}), r.publisher(t, confirm.Config{})
		var seen trace.SpanContext
		stop := r.run(t, r.w, func(ctx context.Context, d amqp.Delivery) error {
			seen = trace.SpanContextFromContext(ctx)
			if header, _ := d.Headers["traceparent"].(string); len(header) != 55 || header[3:35] != seen.TraceID().String() || header[53:] != "00" {
				t.Errorf("header %q, span %s", header, seen.TraceID())
			}
			return nil
		})
		r.publish(t, amqp.Publishing{})
		r.empty(t, "orders")
		stop()
		if !seen.IsValid() || seen.IsSampled() || len(r.spans.GetSpans()) > 0 {
			t.Errorf("handler's span %v, recorded %d", seen, len(r.spans.GetSpans()))
		}
	})
}

// picky samples by the attributes that it is given, as a program may.
type picky struct {
	mu    sync.Mutex
	asked map[string]int
}

func (p *picky) ShouldSample(q sdktrace.SamplingParameters) sdktrace.SamplingResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !trace.SpanContextFromContext(q.ParentContext).IsValid() {
		p.asked[q.Name] = len(q.Attributes)
	}
	return sdktrace.AlwaysSample().ShouldSample(q)
}

func (*picky) Description() string { return "picky" }

// Whoever decides on a trace knows what it is about.
func TestSamplersGetAttributes(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		asked := map[string]int{}
		r.spans = record(t, sdktrace.WithSampler(&picky{asked: asked}))
		r.tel = traced(t, r.spans, telemetry.Config{Links: true})
		r.pub, r.copies = r.publisher(t, confirm.Config{}), r.publisher(t, confirm.Config{})
		stop := r.run(t, r.w, failing(0))
		r.publish(t, amqp.Publishing{})
		if err := r.pub.PublishBatch(soon(t), []confirm.Message{{Key: "orders"}}); err != nil {
			t.Fatal(err)
		}
		r.empty(t, "orders")
		stop()
		delete(asked, "github.com/hareline/hareline/telemetry") // by which New finds out that there is a provider
		if got := fmt.Sprint(asked); got != "map[create orders:4 process orders:5 send:3 send orders:4]" {
			t.Error(got)
		}
	})
}

// The span of a large batch does not grow with it.
func TestLinksOfABatchAreBounded(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		r.spans = record(t, sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{AttributeCountLimit: -1, LinkCountLimit: -1, EventCountLimit: -1, AttributeValueLengthLimit: -1, AttributePerLinkCountLimit: -1, AttributePerEventCountLimit: -1}))
		r.tel = traced(t, r.spans, telemetry.Config{})
		if err := r.publisher(t, confirm.Config{}).PublishBatch(soon(t), slices.Repeat([]confirm.Message{{Key: "orders"}}, 200)); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.spans.GetSpans() {
			if s.Name == "send orders" && len(s.Links) != 128 {
				t.Errorf("%d links", len(s.Links))
			}
		}
		if n := len(r.spans.GetSpans()); n != 201 {
			t.Errorf("%d spans", n)
		}
	})
}

type noFields struct{ propagation.TextMapPropagator }

func (noFields) Fields() []string { return nil }

func TestConfig(t *testing.T) {
	_, err := telemetry.New(telemetry.Config{Propagator: noFields{}})
	if err == nil || !strings.Contains(err.Error(), "Config.Propagator") {
		t.Error(err)
	}
}

// off are the ways to have no telemetry.
func off(t *testing.T) map[string]*telemetry.Telemetry {
	t.Helper()
	all := map[string]*telemetry.Telemetry{"nil": nil}
	for name, cfg := range map[string]telemetry.Config{
		"the global providers before any is set": {},
		"noop":                                   {TracerProvider: noop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()},
	} {
		tel, err := telemetry.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = tel
	}
	return all
}

// Without a provider nothing is done, and nothing allocated.
func TestOff(t *testing.T) {
	msg := &amqp.Publishing{Headers: amqp.Table{"traceparent": foreign}}
	d := amqp.Delivery{Headers: amqp.Table{"traceparent": foreign}}
	for name, tel := range off(t) {
		handler := tel.Middleware()(func(context.Context, amqp.Delivery) error { return nil })
		ctx := t.Context()
		if n := testing.AllocsPerRun(100, func() {
			if tel.Publish(ctx, "", "q", msg) != nil {
				t.Errorf("%s: a publish is followed", name)
			}
			if inner, ended := tel.Batch(ctx, 3); inner != ctx || ended != nil {
				t.Errorf("%s: a batch is followed", name)
			}
			_ = handler(ctx, d)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if msg.Headers["traceparent"] != foreign || len(msg.Headers) != 1 {
			t.Errorf("%s: headers %v", name, msg.Headers)
		}
	}
}

func BenchmarkOff(b *testing.B) {
	plain := func(context.Context, amqp.Delivery) error { return nil }
	tel, err := telemetry.New(telemetry.Config{})
	if err != nil {
		b.Fatal(err)
	}
	for name, handler := range map[string]func(context.Context, amqp.Delivery) error{"plain": plain, "telemetry": tel.Middleware()(plain)} {
		b.Run("consume/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = handler(b.Context(), amqp.Delivery{})
			}
		})
	}
	b.Run("publish/telemetry", func(b *testing.B) {
		b.ReportAllocs()
		msg := &amqp.Publishing{Headers: amqp.Table{}}
		for b.Loop() {
			_ = tel.Publish(b.Context(), "", "q", msg)
		}
	})
}
