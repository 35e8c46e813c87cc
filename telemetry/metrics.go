package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are the metrics of one Telemetry. A nil *instruments, and every
// series that it gives, records nothing.
//
// What happens to each message is counted in atomic integers of our own, which are
// read when metrics are collected: that costs a message less than a synchronous
// counter does. Histograms have no such form.
type instruments struct {
	took     metric.Float64Histogram // messaging.client.operation.duration
	handled  metric.Float64Histogram // messaging.process.duration
	waited   metric.Float64Histogram
	attempts metric.Int64Histogram
	delay    metric.Float64Histogram
	settle   metric.Float64Histogram

	// What names may come from outside, and is bounded here.
	exchanges, queues, classes, reasons, states values

	publishes family[publishKey, publishSeries]
	processes family[string, processSeries]
	buried    family[buriedKey, counter]
	replayed  family[replayedKey, counter]
	received  family[string, counter]
	links     links
	consumers consumers

	observables []metric.Observable
	reads       []func(metric.Observer)
}

// newInstruments makes the instruments; nil where the provider records nothing.
func newInstruments(provider metric.MeterProvider) (*instruments, error) {
	meter := provider.Meter(scope, metric.WithSchemaURL(schemaURL))
	in := &instruments{}
	in.publishes.init(in.newPublishSeries)
	in.processes.init(in.newProcessSeries)
	in.buried.init(in.newBuried)
	in.replayed.init(in.newReplayed)
	in.received.init(in.newReceived)
	in.consumers.states.init(in.newState)
	in.consumers.findings.init(in.newFinding)
	in.links.init()
	on, err := in.histograms(meter)
	if err == nil && !on {
		return nil, nil //nolint:nilnil // nil instruments are what records nothing
	}
	err = errors.Join(err, in.ofPublishes(meter), in.ofProcesses(meter), in.ofLinks(meter), in.ofConsumers(meter))
	if err == nil {
		_, err = meter.RegisterCallback(in.collect, in.observables...)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// seconds are the boundaries of the conventions for durations, with some below and
// above: a confirm may take a millisecond, a handler a minute.
var seconds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60}

// delays are the boundaries for what the delay ladder holds: 100 ms to 19 days.
var delays = []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86400, 7 * 86400}

// attempts are the boundaries for how often a message was handled.
var attempts = []float64{1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100}

// histograms makes those. on: the provider records something.
func (in *instruments) histograms(meter metric.Meter) (on bool, err error) {
	var errs []error
	of := func(name, text string, boundaries []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text),
			metric.WithExplicitBucketBoundaries(boundaries...))
		errs = append(errs, err)
		on = on || err == nil && h.Enabled(context.Background())
		return h
	}
	in.took = of(operationDuration.Name(), operationDuration.Description(), seconds)
	in.handled = of(processDuration.Name(), processDuration.Description(), seconds)
	in.waited = of("hareline.publish.wait", "How long publishes waited for a place in the publisher's window; those that did not wait are not counted.", seconds)
	in.delay = of("hareline.parked.delay", "Delay of the messages parked on the delay ladder for their next attempt.", delays)
	in.settle = of("hareline.settle.latency", "Time from the return of the handler to the acknowledgement on the wire; the confirm of a copy lies in between.", seconds)
	in.attempts, err = meter.Int64Histogram("hareline.process.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that a message took until it was handled, or buried."), metric.WithExplicitBucketBoundaries(attempts...))
	on = on || err == nil && in.attempts.Enabled(context.Background())
	errs = append(errs, err)
	// Nothing is counted in this one, so it is never exported: where a program drops
	// histograms, it tells whether there is anybody for the rest.
	probe, err := meter.Int64Counter("hareline.probe")
	on = on || err == nil && probe.Enabled(context.Background())
	return on, errors.Join(append(errs, err)...)
}

// put reports one value.
type put func(value int64, attributes metric.ObserveOption)

// count makes a counter that read reports.
func (in *instruments) count(meter metric.Meter, name, unit, text string, read func(put)) error {
	c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	in.observe(c, func(o metric.Observer) {
		read(func(value int64, attributes metric.ObserveOption) { o.ObserveInt64(c, value, attributes) })
	})
	return err
}

// level makes a counter that goes down too.
func (in *instruments) level(meter metric.Meter, name, unit, text string, read func(put)) error {
	c, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
	in.observe(c, func(o metric.Observer) {
		read(func(value int64, attributes metric.ObserveOption) { o.ObserveInt64(c, value, attributes) })
	})
	return err
}

func (in *instruments) observe(it metric.Observable, read func(metric.Observer)) {
	in.observables = append(in.observables, it)
	in.reads = append(in.reads, read)
}

// collect is called by the provider whenever metrics are collected.
func (in *instruments) collect(_ context.Context, o metric.Observer) error {
	for _, read := range in.reads {
		read(o)
	}
	return nil
}

// recorded is what a histogram is told attributes by, observed what is observed:
// both are made once, for a measurement must not allocate.
func recorded(set attribute.Set) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(set)}
}

func observed(attributes ...attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}
