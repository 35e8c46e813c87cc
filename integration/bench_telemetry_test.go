package integration

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/telemetry"
)

// discarded takes spans as a collector on the same machine would, and counts them.
type discarded struct{ n atomic.Int64 }

func (d *discarded) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	d.n.Add(int64(len(spans)))
	return nil
}

func (d *discarded) Shutdown(context.Context) error { return nil }

// setups are the arms: traces of every message, in batches to an exporter that discards
// them; without the spans of acks; with metrics too.
var setups = []string{"off", "traces", "no-settle-spans", "traces+metrics"}

func telemetries(b *testing.B) map[string]*telemetry.Telemetry {
	b.Helper()
	all := map[string]*telemetry.Telemetry{}
	for _, name := range setups {
		cfg := telemetry.Config{NoSettleSpans: name == "no-settle-spans", TracerProvider: noop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
		if name != "off" {
			exported := &discarded{}
			provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithBatcher(exported))
			b.Cleanup(func() {
				_ = provider.Shutdown(context.Background())
				b.Logf("%s: %d spans exported", name, exported.n.Load())
			})
			cfg.TracerProvider = provider
		}
		if name == "traces+metrics" {
			provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
			b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
			cfg.MeterProvider = provider
		}
		tel, err := telemetry.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		all[name] = tel
	}
	return all
}

// prepared is an arm that prepares and then works. It logs the processor time of this
// process too, which others on the machine do not lengthen.
func prepared(b *testing.B, name string, prepare, work func()) arm {
	b.Helper()
	var each []time.Duration
	b.Cleanup(func() {
		slices.Sort(each)
		b.Logf("%s: %v of this process's processor time a message", name, each[len(each)/2]/messages)
	})
	return arm{name, func() time.Duration {
		prepare()
		took := measured(b, work)
		each = append(each, took.cpu)
		return took.wall
	}}
}

// BenchmarkTelemetryPublish compares Publish from 256 goroutines with telemetry on and
// off.
func BenchmarkTelemetryPublish(b *testing.B) {
	eachQueue(b, func(b *testing.B, url, queue string, l *link.Link) {
		var arms []arm
		all := telemetries(b)
		for _, name := range slices.DeleteFunc(slices.Clone(setups), func(name string) bool { return name == "no-settle-spans" }) {
			p, err := confirm.Open(b.Context(), l, confirm.Config{Window: 1000, Tracer: all[name]})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close(context.Background())
			arms = append(arms, prepared(b, name, func() { purge(b, url, queue) }, func() {
				var each sync.WaitGroup
				for range 256 {
					each.Go(func() {
						for range messages / 256 {
							if err := p.Publish(b.Context(), "", queue, amqp.Publishing{Body: body}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				each.Wait()
			}))
		}
		compare(b, arms)
	})
}

// BenchmarkTelemetryConsume compares Run with telemetry on and off, over messages that
// carry a context.
func BenchmarkTelemetryConsume(b *testing.B) {
	eachQueue(b, func(b *testing.B, url, queue string, l *link.Link) {
		all := telemetries(b)
		fill, err := confirm.Open(b.Context(), l, confirm.Config{Window: 1000, Tracer: all["traces"]})
		if err != nil {
			b.Fatal(err)
		}
		defer fill.Close(context.Background())
		batch := make([]confirm.Message, messages)
		for i := range batch {
			batch[i] = confirm.Message{Key: queue, Publishing: amqp.Publishing{Body: body}}
		}
		var arms []arm
		for _, name := range setups {
			arms = append(arms, prepared(b, name, func() {
				purge(b, url, queue)
				if err := fill.PublishBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}, func() {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				var n atomic.Int32
				err := consumer.Run(ctx, l, consumer.Config{
					Queue: queue, Prefetch: 1000, Logger: slog.New(slog.DiscardHandler),
					Handler: consumer.Chain(func(context.Context, amqp.Delivery) error {
						if n.Add(1) == messages {
							cancel()
						}
						return nil
					}, all[name].Middleware()),
				})
				if err != nil {
					b.Fatal(fmt.Errorf("after %d: %w", n.Load(), err))
				}
			}))
		}
		compare(b, arms)
	})
}
