package telemetry_test

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/telemetry"
)

type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// teller settles at once.
type teller struct{}

func (teller) Queue() string { return "orders" }
func (teller) OnSettled(_ uint64, f func(settlement.Result)) bool {
	f(settlement.Result{Method: "ack"})
	return true
}

// eachSetup runs a benchmark with each kind of telemetry.
func eachSetup(b *testing.B, bench func(b *testing.B, tel *telemetry.Telemetry)) {
	b.Helper()
	for _, name := range []string{"traces", "unsampled", "metrics", "both"} {
		b.Run(name, func(b *testing.B) {
			cfg := telemetry.Config{TracerProvider: noop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
			if name != "metrics" {
				sampler := sdktrace.AlwaysSample()
				if name == "unsampled" {
					sampler = sdktrace.NeverSample()
				}
				p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(discard{}))
				defer func() { _ = p.Shutdown(context.Background()) }()
				cfg.TracerProvider = p
			}
			if name == "metrics" || name == "both" {
				cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
			}
			tel, err := telemetry.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			bench(b, tel)
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	eachSetup(b, func(b *testing.B, tel *telemetry.Telemetry) {
		for b.Loop() {
			msg := amqp.Publishing{MessageId: "0190b2a0-0000-7000-8000-000000000000", Headers: make(amqp.Table, 1)}
			tel.Publish(b.Context(), "", "orders", &msg)(nil, 0)
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	eachSetup(b, func(b *testing.B, tel *telemetry.Telemetry) {
		ctx := settlement.With(b.Context(), teller{})
		handler := tel.Middleware()(func(context.Context, amqp.Delivery) error { return nil })
		d := amqp.Delivery{MessageId: "0190b2a0-0000-7000-8000-000000000000", RoutingKey: "orders", Headers: amqp.Table{"traceparent": foreign, "hareline-publish-id": int64(1)}}
		for b.Loop() {
			_ = handler(ctx, d)
		}
	})
}
