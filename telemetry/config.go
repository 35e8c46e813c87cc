package telemetry

import (
	"cmp"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Config of [New]. The zero value is useful.
type Config struct {
	// TracerProvider makes the spans. Nil is OpenTelemetry's global one, as it is when
	// New is called: set it before.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. Nil is the global one, likewise.
	MeterProvider metric.MeterProvider
	// Propagator writes the trace's context into headers and reads it. Nil is W3C's
	// traceparent, tracestate and baggage, whatever the global one is: what one
	// program writes the others must read.
	Propagator propagation.TextMapPropagator
	// Links begins a trace of its own with each attempt to handle a message, linked to
	// the message's, for those who want short traces. The trace that publish began then
	// holds what became of the message: parks, delays, burial, replays. Default: an
	// attempt is a child of the publish that brought it, all in one trace.
	Links bool
	// NoSettleSpans leaves out the spans of acks, nacks and rejects, which are one
	// for each message.
	NoSettleSpans bool
	// Redact cleans error texts before they go into spans. Nil leaves them as they are.
	Redact func(string) string
}

func (c Config) withDefaults() Config {
	c.TracerProvider = cmp.Or(c.TracerProvider, otel.GetTracerProvider())
	c.MeterProvider = cmp.Or(c.MeterProvider, otel.GetMeterProvider())
	if c.Propagator == nil {
		c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	if c.Redact == nil {
		c.Redact = func(s string) string { return s }
	}
	return c
}

var errNoFields = errors.New("telemetry: Config.Propagator names no fields, so that no header would carry the context: leave it nil for W3C's, or give one with Fields")

func (c Config) validate() error {
	if len(c.Propagator.Fields()) == 0 {
		return errNoFields
	}
	return nil
}
