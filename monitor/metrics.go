package monitor

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/internal/management"
)

// scope is the instrumentation scope of what the monitor measures.
const scope = "github.com/hareline/hareline/monitor"

// The keys of attributes. Their values are bounded by Config: queues, ladders and kinds.
// Those of the server and its virtual host tell several monitors of a process apart, which
// would overwrite each other's gauges.
const (
	serverKey   = attribute.Key("server.address")
	portKey     = attribute.Key("server.port")
	vhostKey    = attribute.Key("hareline.vhost")
	queueKey    = attribute.Key("messaging.destination.name")
	ladderKey   = attribute.Key("hareline.ladder.name")
	kindKey     = attribute.Key("hareline.alarm.kind")
	severityKey = attribute.Key("hareline.alarm.severity")
	errorKey    = attribute.Key("error.type")
)

// metrics are the instruments of a monitor. What is unknown is not observed.
type metrics struct {
	meter    metric.Meter
	watched  []attribute.KeyValue // of every series
	duration metric.Float64Histogram
	failures metric.Int64Counter
	alarm    metric.Int64ObservableGauge
	queues   []gauge[QueueReport]
	ladders  []gauge[LadderReport]
}

// gauge is one number of a report.
type gauge[R any] struct {
	name, unit, text string
	of               func(R) Number
	instrument       metric.Float64ObservableGauge
}

func newMetrics(provider metric.MeterProvider, of management.Client) (*metrics, error) {
	m := &metrics{meter: provider.Meter(scope), watched: watched(of), queues: queueGauges(), ladders: ladderGauges()}
	var err error
	m.duration, err = m.meter.Float64Histogram("hareline.monitor.round.duration", metric.WithUnit("s"),
		metric.WithDescription("How long a round over the management API took."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, instrumentError("hareline.monitor.round.duration", err)
	}
	m.failures, err = m.meter.Int64Counter("hareline.monitor.round.failures", metric.WithUnit("{round}"),
		metric.WithDescription("Rounds in which the management API gave an answer that could not be used, or none."))
	if err != nil {
		return nil, instrumentError("hareline.monitor.round.failures", err)
	}
	m.alarm, err = m.meter.Int64ObservableGauge("hareline.monitor.alarm", metric.WithUnit("{alarm}"),
		metric.WithDescription("1 while the alarm stands, else 0. Absent of what was not seen yet."))
	if err != nil {
		return nil, instrumentError("hareline.monitor.alarm", err)
	}
	if err := create(m.meter, m.queues); err != nil {
		return nil, err
	}
	if err := create(m.meter, m.ladders); err != nil {
		return nil, err
	}
	return m, nil
}

// watched says whose API it is, without user and password.
func watched(c management.Client) []attribute.KeyValue {
	attrs := []attribute.KeyValue{vhostKey.String(c.VHost)}
	u, err := url.Parse(c.URL)
	if err != nil { // it was validated
		return attrs
	}
	attrs = append(attrs, serverKey.String(u.Hostname()))
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, portKey.Int(port))
	}
	return attrs
}

// with are the attributes of one series.
func (m *metrics) with(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(slices.Concat(m.watched, attrs)...)
}

func instrumentError(name string, err error) error { return fmt.Errorf("monitor: %s: %w", name, err) }

func create[R any](meter metric.Meter, gauges []gauge[R]) error {
	for i, g := range gauges {
		var err error
		gauges[i].instrument, err = meter.Float64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.text))
		if err != nil {
			return instrumentError(g.name, err)
		}
	}
	return nil
}

func queueGauges() []gauge[QueueReport] {
	return []gauge[QueueReport]{
		{name: "hareline.queue.ready", unit: "{message}", text: "Messages that a consumer can take.", of: func(q QueueReport) Number { return q.Ready }},
		{name: "hareline.queue.unacked", unit: "{message}", text: "Messages that consumers have and did not settle.", of: func(q QueueReport) Number { return q.Unacked }},
		{name: "hareline.queue.held", unit: "{message}", text: "Messages that at-least-once dead-lettering holds until their target took them.", of: func(q QueueReport) Number { return q.Held }},
		{name: "hareline.queue.consumers", unit: "{consumer}", text: "Consumers of the queue.", of: func(q QueueReport) Number { return q.Consumers }},
		{name: "hareline.queue.publish.rate", unit: "{message}/s", text: "Messages a second that clients publish into the queue.", of: func(q QueueReport) Number { return q.PublishRate }},
		{name: "hareline.queue.consume.rate", unit: "{message}/s", text: "Messages a second that consumers acked, or got without the need of an ack.", of: func(q QueueReport) Number { return q.ConsumeRate }},
		{name: "hareline.queue.oldest.age", unit: "s", text: "Age of the message at the head of a classic queue, by its property timestamp.", of: func(q QueueReport) Number { return q.OldestMessage }},
		{name: "hareline.queue.members", unit: "{node}", text: "Replicas of a quorum queue or stream.", of: func(q QueueReport) Number { return q.Members }},
		{name: "hareline.queue.members.online", unit: "{node}", text: "Replicas of a quorum queue or stream whose node is up.", of: func(q QueueReport) Number { return q.Online }},
	}
}

func ladderGauges() []gauge[LadderReport] {
	return []gauge[LadderReport]{
		{name: "hareline.ladder.messages", unit: "{message}", text: "Messages on all levels of the delay ladder.", of: func(l LadderReport) Number { return l.Messages }},
		{name: "hareline.ladder.held", unit: "{message}", text: "Messages of the delay ladder whose delay is over and that were not taken yet.", of: func(l LadderReport) Number { return l.Held }},
		{name: "hareline.ladder.enter.rate", unit: "{message}/s", text: "Messages a second that clients publish onto the delay ladder.", of: func(l LadderReport) Number { return l.EnterRate }},
		{name: "hareline.ladder.unclaimed", unit: "{message}", text: "Messages that came out of the delay ladder and had no queue to go to.", of: func(l LadderReport) Number { return l.Unclaimed }},
	}
}

// count records a round.
func (m *metrics) count(l look) {
	ctx := context.Background() // a round that was made is recorded
	m.duration.Record(ctx, l.took.Seconds(), m.with())
	if failed := l.failure(); failed != nil {
		m.failures.Add(ctx, 1, m.with(errorKey.String(string(apiKind(failed.Kind)))))
	}
}

// observe has the gauges read the last round until the function it returns is called.
func (m *metrics) observe(of *Monitor) (end func(), err error) {
	instruments := []metric.Observable{m.alarm}
	for _, g := range m.queues {
		instruments = append(instruments, g.instrument)
	}
	for _, g := range m.ladders {
		instruments = append(instruments, g.instrument)
	}
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.read(of, o)
		return nil
	}, instruments...)
	if err != nil {
		return nil, fmt.Errorf("monitor: observe metrics: %w", err)
	}
	return func() {
		if err := registration.Unregister(); err != nil {
			of.cfg.Logger.Warn("monitor: metrics are still observed", "error", err)
		}
	}, nil
}

func (m *metrics) read(of *Monitor, o metric.Observer) {
	of.mu.Lock()
	report, states := of.report, of.states // both are replaced, never changed
	of.mu.Unlock()
	for _, q := range report.Queues {
		observe(o, m.queues, q, m.with(queueKey.String(q.Queue)))
	}
	for _, l := range report.Ladders {
		observe(o, m.ladders, l, m.with(ladderKey.String(l.Ladder)))
	}
	for s, state := range states {
		if state.alarm.At.IsZero() {
			continue // it was never seen, neither well nor bad
		}
		attrs := []attribute.KeyValue{kindKey.String(string(s.kind)), severityKey.String(string(state.alarm.Severity))}
		if s.queue != "" {
			attrs = append(attrs, queueKey.String(s.queue))
		}
		if s.ladder != "" {
			attrs = append(attrs, ladderKey.String(s.ladder))
		}
		value := int64(0)
		if state.alarm.Raised {
			value = 1
		}
		o.ObserveInt64(m.alarm, value, m.with(attrs...))
	}
}

func observe[R any](o metric.Observer, gauges []gauge[R], of R, which metric.MeasurementOption) {
	for _, g := range gauges {
		if n := g.of(of); n.Known {
			o.ObserveFloat64(g.instrument, n.Value, which)
		}
	}
}
