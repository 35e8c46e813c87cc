package telemetry_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// counted runs a test on a rig with metrics, with and without traces, and compares
// what was measured, without times.
func counted(t *testing.T, want string, test func(t *testing.T, r *rig)) {
	t.Helper()
	each(t, func(t *testing.T, b *amqptest.Broker) {
		for name, traces := range map[string]trace.TracerProvider{"traced": record(t).provider, "untraced": noop.NewTracerProvider()} {
			reader := metric.NewManualReader()
			tel, err := telemetry.New(telemetry.Config{TracerProvider: traces, MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{b: b, l: open(t, b), tel: tel, w: topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Levels: 6}})}
			if err := topology.Declare(soon(t), r.l, r.w.Topology); err != nil {
				t.Fatal(err)
			}
			r.pub, r.copies = r.publisher(t, confirm.Config{Window: 1}), r.publisher(t, confirm.Config{})
			test(t, r)
			var all metricdata.ResourceMetrics
			if err := reader.Collect(context.Background(), &all); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range telemetry.Lines(t, all) {
				if strings.HasPrefix(l, "messaging.client.operation.duration") || strings.HasPrefix(l, "hareline.settle.latency") {
					l, _, _ = strings.Cut(l, " of ") // that long it took
				}
				got = append(got, l)
			}
			if g, w := strings.Join(got, "\n"), strings.TrimSpace(want); g != w {
				t.Errorf("%s: got\n%s\nwant\n%s", name, g, w)
			}
		}
	})
}

func TestMetricsOfTheWholeStory(t *testing.T) {
	counted(t, `
hareline.buried.messages{reason=exhausted destination.name=orders} 1
hareline.parked.delay{destination.name=orders} 1 of 1
hareline.process.attempts{verdict=buried destination.name=orders} 1 of 2
hareline.process.attempts{verdict=handled destination.name=orders} 1 of 1
hareline.publish.outcomes{outcome=confirmed destination.name=amq.default operation.name=bury} 1
hareline.publish.outcomes{outcome=confirmed destination.name=amq.default operation.name=replay} 1
hareline.publish.outcomes{outcome=confirmed destination.name=amq.default operation.name=send} 1
hareline.publish.outcomes{outcome=confirmed destination.name=hareline.v1.100ms.6.default.level.03 operation.name=park} 1
hareline.replayed.messages{source=orders.dlq destination.name=orders operation.name=replay} 1
hareline.settle.latency{destination.name=orders operation.name=ack} 3
messaging.client.consumed.messages{destination.name=orders operation.name=process} 3
messaging.client.consumed.messages{destination.name=orders.dlq operation.name=receive} 1
messaging.client.operation.duration{destination.name=amq.default operation.name=bury operation.type=send} 1
messaging.client.operation.duration{destination.name=amq.default operation.name=replay operation.type=send} 1
messaging.client.operation.duration{destination.name=amq.default operation.name=send operation.type=send} 1
messaging.client.operation.duration{destination.name=hareline.v1.100ms.6.default.level.03 operation.name=park operation.type=send} 1
messaging.client.operation.duration{destination.name=orders operation.name=ack operation.type=settle} 3
messaging.client.sent.messages{destination.name=amq.default operation.name=bury} 1
messaging.client.sent.messages{destination.name=amq.default operation.name=replay} 1
messaging.client.sent.messages{destination.name=amq.default operation.name=send} 1
messaging.client.sent.messages{destination.name=hareline.v1.100ms.6.default.level.03 operation.name=park} 1
messaging.process.duration{error.type=error verdict=buried destination.name=orders operation.name=process} 1 of 0
messaging.process.duration{error.type=error verdict=parked destination.name=orders operation.name=process} 1 of 0
messaging.process.duration{verdict=handled destination.name=orders operation.name=process} 1 of 0
`, func(t *testing.T, r *rig) { r.whole(t) })
}

// A batch waits for places, half of its messages go nowhere.
func TestMetricsOfABatch(t *testing.T) {
	counted(t, `
hareline.publish.outcomes{outcome=confirmed destination.name=amq.default operation.name=send} 2
hareline.publish.outcomes{outcome=returned destination.name=amq.default operation.name=send} 2
hareline.publish.wait{destination.name=amq.default operation.name=send} 1 of 1
messaging.client.operation.duration{destination.name=amq.default operation.name=send operation.type=send} 2
messaging.client.operation.duration{error.type=returned destination.name=amq.default operation.name=send operation.type=send} 2
messaging.client.sent.messages{destination.name=amq.default operation.name=send} 2
messaging.client.sent.messages{error.type=returned destination.name=amq.default operation.name=send} 2
`, func(t *testing.T, r *rig) {
		inject(t, r.b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: time.Second, Times: 1})
		err := r.pub.PublishBatch(soon(t), slices.Repeat([]confirm.Message{{Key: "orders"}, {Key: "nowhere"}}, 2))
		if err == nil {
			t.Error("all were confirmed")
		}
	})
}

// A session that is lost settles nothing: what it had is delivered, and counted, again.
func TestMetricsOfALostSession(t *testing.T) {
	counted(t, `
hareline.process.attempts{verdict=handled destination.name=orders} 2 of 2
hareline.process.redelivered{destination.name=orders} 1
hareline.publish.outcomes{outcome=confirmed destination.name=amq.default operation.name=send} 1
hareline.settle.latency{destination.name=orders operation.name=ack} 1
hareline.settle.lost{destination.name=orders} 1
messaging.client.consumed.messages{destination.name=orders operation.name=process} 2
messaging.client.operation.duration{destination.name=amq.default operation.name=send operation.type=send} 1
messaging.client.operation.duration{destination.name=orders operation.name=ack operation.type=settle} 1
messaging.client.sent.messages{destination.name=amq.default operation.name=send} 1
messaging.process.duration{verdict=handled destination.name=orders operation.name=process} 2 of 1
`, func(t *testing.T, r *rig) {
		first := true
		stop := r.run(t, r.w, func(context.Context, amqp.Delivery) error {
			if first {
				first = false
				r.b.CutConnections()
				<-time.After(time.Second)
			}
			return nil
		})
		r.publish(t, amqp.Publishing{MessageId: "1"})
		pass(time.Minute)
		r.empty(t, "orders")
		stop()
	})
}
