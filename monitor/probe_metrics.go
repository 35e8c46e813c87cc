package monitor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/topology"
)

// probeScope is the instrumentation scope of what this package measures.
const probeScope = "github.com/hareline/hareline/monitor"

// probeMetrics are the instruments of one probe. Their attributes are bounded by the
// ladders and delays that the program probes.
type probeMetrics struct {
	meter    metric.Meter
	lag      metric.Float64ObservableGauge
	failures metric.Int64Counter
	which    attribute.Set
}

func newProbeMetrics(provider metric.MeterProvider, l topology.Ladder, delay time.Duration) (*probeMetrics, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := &probeMetrics{meter: provider.Meter(probeScope), which: attribute.NewSet(
		attribute.String("hareline.ladder.name", strings.TrimSuffix(l.Due(), ".due")),
		attribute.Float64("hareline.ladder.delay", delay.Seconds()),
	)}
	var err error
	m.lag, err = m.meter.Float64ObservableGauge("hareline.ladder.lag", metric.WithUnit("s"),
		metric.WithDescription("How much later than due the last probe came out of the delay ladder, or, while one is overdue, how late that one is so far. Absent while it is not known."))
	if err != nil {
		return nil, fmt.Errorf("monitor: gauge hareline.ladder.lag: %w", err)
	}
	m.failures, err = m.meter.Int64Counter("hareline.ladder.probe.failures", metric.WithUnit("{probe}"),
		metric.WithDescription("Probes of the delay ladder that measured nothing: overdue, or not sent, by reason."))
	if err != nil {
		return nil, fmt.Errorf("monitor: counter hareline.ladder.probe.failures: %w", err)
	}
	return m, nil
}

// observe has the gauge read lag until the function it returns is called.
func (m *probeMetrics) observe(lag func() LadderLag) (end func(), err error) {
	r, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if l := lag(); l.Known() {
			o.ObserveFloat64(m.lag, l.Lag.Seconds(), metric.WithAttributeSet(m.which))
		}
		return nil
	}, m.lag)
	if err != nil {
		return nil, fmt.Errorf("monitor: observe hareline.ladder.lag: %w", err)
	}
	return func() { _ = r.Unregister() }, nil
}

func (m *probeMetrics) failed(reason ProbeReason) {
	m.failures.Add(context.Background(), 1, metric.WithAttributeSet(m.which),
		metric.WithAttributes(attribute.String("hareline.probe.reason", string(reason))))
}
