package telemetry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/internal/verdict"
)

// Telemetry traces and counts messages. Its methods are safe for concurrent use.
// Nil is one that does nothing.
type Telemetry struct {
	cfg     Config
	tracer  trace.Tracer // nil: no traces
	counts  *instruments // nil: no metrics
	fields  []string     // of the propagator
	foreign bool         // it is the program's, and adds what it likes

	sends    names
	attempts names
	kept     keptDeliveries
}

// New makes a Telemetry of the providers as they are now. A provider that is none
// (OpenTelemetry's global one before a program has set one, or a noop one) costs
// nothing afterwards: publishers and consumers do what they do without.
//
// Errors: a Propagator without fields; those of the MeterProvider.
func New(cfg Config) (*Telemetry, error) {
	foreign := cfg.Propagator != nil
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	counts, err := newInstruments(cfg.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("telemetry: Config.MeterProvider: %w", err)
	}
	return &Telemetry{cfg: cfg, tracer: tracerOf(cfg.TracerProvider), counts: counts, fields: cfg.Propagator.Fields(), foreign: foreign}, nil
}

// tracerOf is nil where the provider is none: a span without an identity is nobody's.
// The one made here is not ended, so that nobody exports it.
func tracerOf(p trace.TracerProvider) trace.Tracer {
	t := p.Tracer(scope, trace.WithSchemaURL(schemaURL))
	if _, probe := t.Start(context.Background(), scope); !probe.SpanContext().IsValid() {
		return nil
	}
	return t
}

// off tells that there is nothing to do.
func (t *Telemetry) off() bool { return t == nil || t.tracer == nil && t.counts == nil }

// sending is one publish, as traces and counts see it.
type sending struct {
	op       string // operation name: "send", "park", ...
	exchange string
	batched  bool // one of a PublishBatch
	about    verdict.About
	began    time.Time
}

// sent is what became of it.
type sent struct {
	outcome string // "confirmed", "returned", "nacked", "refused", "unsent" or "unknown"
	ended   time.Time
	waited  time.Duration // for a place in the window
	unsent  bool          // the broker never had it
}

// failure is the error.type, "" for none.
func (s sent) failure() string {
	if s.outcome == outcomeConfirmed {
		return ""
	}
	return s.outcome
}

// attempt is one call of a handler, as traces and counts see it.
type attempt struct {
	queue       string
	exchange    string // to which it was published first
	number, of  int    // from 1; of is 0 in the first attempt
	redelivered bool
	replays     int
	kept        bool // a failed one is tried again in this process, as package ordered does

	began, ended time.Time
	verdict      string // one of the verdict constants
	failure      string // the error's class, "" for none
}
