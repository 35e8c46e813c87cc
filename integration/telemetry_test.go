package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// tracing is a Telemetry that keeps its spans.
func tracing(t *testing.T, cfg telemetry.Config) (*telemetry.Telemetry, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	cfg.TracerProvider, cfg.MeterProvider = provider, noop.NewMeterProvider()
	tel, err := telemetry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tel, spans
}

// outline is the tree of all spans, by parents: name, verdict or outcome, links.
func outline(spans tracetest.SpanStubs) string {
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.Name, b.Name))
	})
	names := map[trace.SpanID]string{}
	below := map[trace.SpanID][]tracetest.SpanStub{}
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
		below[s.Parent.SpanID()] = append(below[s.Parent.SpanID()], s)
	}
	var out strings.Builder
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		for _, s := range below[parent] {
			fmt.Fprint(&out, indent, s.Name)
			for _, a := range s.Attributes {
				if a.Key == "hareline.outcome" || a.Key == "hareline.verdict" {
					fmt.Fprint(&out, " ", a.Value.AsString())
				}
			}
			for _, l := range s.Links {
				fmt.Fprint(&out, " ~> ", names[l.SpanContext.SpanID()])
			}
			fmt.Fprintln(&out)
			write(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return out.String()
}

// becomes waits until the outline is as wanted: the spans of settlements come late.
func becomes(t *testing.T, spans *tracetest.InMemoryExporter, want string) {
	t.Helper()
	brokertest.Eventually(t, patience, func() error {
		if got := outline(spans.GetSpans()); got != want {
			return fmt.Errorf("the trace is\n%s\nwant\n%s", got, want)
		}
		return nil
	})
}

// whole is the life of a message that fails twice, is buried, replayed and succeeds.
func whole(t *testing.T, b *brokertest.Broker, tel *telemetry.Telemetry) {
	t.Helper()
	l := open(t, link.Config{URLs: []string{b.URL}})
	w := work(t, l, "traced", topology.WorkConfig{})
	pub, copies := publisher(t, l, confirm.Config{Tracer: tel}), publisher(t, l, confirm.Config{Tracer: tel})
	handled := make(chan int, 3)
	tries := 0
	r := run(t, l, consumer.Config{Queue: w.Queue, Handler: consumer.Chain(
		reliable(copies, w, retry.Policy{MaxRetries: 1, BackOff: retry.Constant(200 * time.Millisecond)}, func(context.Context, amqp.Delivery) error {
			tries++
			handled <- tries
			if tries < 3 {
				return retry.Transient(errors.New("not yet"))
			}
			return nil
		}), tel.Middleware())})
	if err := pub.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: "1"}); err != nil {
		t.Fatal(err)
	}
	wait(t, handled, "the first attempt")
	wait(t, handled, "the second attempt")
	b.AwaitDepth(t, w.DeadLetterQueue, 1, patience)
	report, err := dlq.Open(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Replay(deadline(t), copies, dlq.ReplayConfig{})
	if err != nil || report.Replayed != 1 {
		t.Fatal(err, report)
	}
	wait(t, handled, "the attempt after the replay")
	if err := r.stopped(t); err != nil {
		t.Error(err)
	}
}

// On every broker the trace of a message that fails twice, is buried, replayed and
// succeeds is one tree.
func TestOneTrace(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		tel, spans := tracing(t, telemetry.Config{})
		whole(t, b, tel)
		becomes(t, spans, `send traced confirmed
  process traced parked
    park traced confirmed
      delay traced
      process traced buried
        bury traced.dlq confirmed
          receive traced.dlq
            replay traced confirmed
              process traced handled
                ack traced
        ack traced
    ack traced
`)
		all := spans.GetSpans()
		for _, s := range all {
			if s.SpanContext.TraceID() != all[0].SpanContext.TraceID() {
				t.Errorf("%s is of another trace", s.Name)
			}
			if s.EndTime.Before(s.StartTime) {
				t.Errorf("%s ends before it begins", s.Name)
			}
			if took := s.EndTime.Sub(s.StartTime); strings.HasPrefix(s.Name, "delay") && took < 200*time.Millisecond {
				t.Errorf("a delay of %v", took)
			}
		}
	})
}

func TestTracesWithLinks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		tel, spans := tracing(t, telemetry.Config{Links: true})
		whole(t, b, tel)
		becomes(t, spans, `send traced confirmed
  park traced confirmed ~> process traced
    delay traced
    bury traced.dlq confirmed ~> process traced
      receive traced.dlq
        replay traced confirmed
process traced parked ~> send traced
  ack traced
process traced buried ~> park traced
  ack traced
process traced handled ~> replay traced
  ack traced
`)
	})
}

// A program in another language, with another client, reads the context as W3C has it,
// and what it sends in turn is read here.
func TestForeignConsumerSeesTheTrace(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		tel, spans := tracing(t, telemetry.Config{})
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "foreign", nil)
		declareQueue(t, l, "back", nil)
		tenant, err := baggage.NewMemberRaw("tenant", "a b")
		if err != nil {
			t.Fatal(err)
		}
		bag, err := baggage.New(tenant)
		if err != nil {
			t.Fatal(err)
		}
		pub := publisher(t, l, confirm.Config{Tracer: tel})
		msg := amqp.Publishing{Body: body, Headers: amqp.Table{"n": int64(1), "list": []any{"a", int64(2)}, "when": time.Now(), "table": amqp.Table{"x": true}}}
		if err := pub.Publish(baggage.ContextWithBaggage(deadline(t), bag), "", "foreign", msg); err != nil {
			t.Fatal(err)
		}

		uri, err := amqp.ParseURI(b.URL)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(deadline(t), "perl", "testdata/foreign_consumer.pl",
			uri.Host, strconv.Itoa(uri.Port), uri.Vhost, uri.Username, uri.Password, "foreign", "back").CombinedOutput()
		if err != nil {
			t.Fatalf("perl: %v: %s", err, out)
		}
		sent := spans.GetSpans()[0].SpanContext
		want := fmt.Sprintf("traceparent S 00-%s-%s-01\nbaggage S tenant=a%%20b\nsent 00-%[1]s-00f067aa0ba902b7-01\n", sent.TraceID(), sent.SpanID())
		if string(out) != want {
			t.Errorf("it saw\n%s\nwant\n%s", out, want)
		}

		handled := make(chan trace.SpanContext, 1)
		run(t, l, consumer.Config{Queue: "back", Handler: consumer.Chain(func(ctx context.Context, _ amqp.Delivery) error {
			handled <- trace.SpanContextFromContext(ctx)
			return nil
		}, tel.Middleware())})
		if got := wait(t, handled, "the message that it sent"); got.TraceID() != sent.TraceID() {
			t.Errorf("handled in trace %s, want %s", got.TraceID(), sent.TraceID())
		}
		eventually(t, func() bool {
			return slices.ContainsFunc(spans.GetSpans(), func(s tracetest.SpanStub) bool {
				return s.Name == "process back" && s.Parent.SpanID().String() == "00f067aa0ba902b7"
			})
		})
	})
}
