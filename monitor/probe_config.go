package monitor

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/topology"
)

// ProbeConfig describes a [Probe]. The zero value probes the shared default ladder.
type ProbeConfig struct {
	// Ladder to probe. It must have been declared.
	Ladder topology.Ladder
	// Every is the time between two probes. Default 1 min.
	Every time.Duration
	// Delay is what a probe waits on the ladder. Its bits in units of 100 ms are the levels
	// that are probed, at most four. Default 1.5 s, which are levels 3 to 0, or the longest
	// delay of a ladder that is shorter.
	Delay time.Duration
	// Limit is how much later than due a probe may come back before it counts as overdue. It
	// also bounds each answer of the broker that a round waits for. Messages that burst
	// onto the ladder delay each other, at some thousands a second. Default 10 s.
	Limit time.Duration
	// OnLag is told of every probe that comes back, of every one that becomes overdue, and
	// of every round that cannot be made, in order, from a goroutine of its own.
	OnLag func(LadderLag)
	// MeterProvider gets the gauge hareline.ladder.lag, in seconds, and the counter
	// hareline.ladder.probe.failures, both with the ladder and the delay, the counter with
	// the reason. Default OpenTelemetry's global one.
	MeterProvider metric.MeterProvider
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// probeDelay passes the four lowest levels, and so the most hops there are.
const probeDelay = 1500 * time.Millisecond

func (c ProbeConfig) withDefaults() ProbeConfig {
	c.Every = cmp.Or(c.Every, time.Minute)
	c.Delay = cmp.Or(c.Delay, min(probeDelay, c.Ladder.Max()))
	c.Limit = cmp.Or(c.Limit, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c ProbeConfig) validate() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Every", c.Every}, {"Delay", c.Delay}, {"Limit", c.Limit}} {
		if f.value < 0 {
			return &ProbeConfigError{Field: f.name, Problem: fmt.Sprintf("is negative (%s)", f.value), Fix: "leave it zero for the default"}
		}
	}
	if err := (topology.Topology{Ladders: []topology.Ladder{c.Ladder}}).Validate(); err != nil {
		return &ProbeConfigError{Field: "Ladder", Problem: "is none", Fix: err.Error(), Err: err}
	}
	if longest := c.Ladder.Max(); c.Delay > longest {
		return &ProbeConfigError{Field: "Delay", Problem: fmt.Sprintf("is %s, and the ladder reaches %s", c.Delay, longest), Fix: "shorten it"}
	}
	return nil
}

// ProbeConfigError names a field of [ProbeConfig] that cannot be used.
type ProbeConfigError struct {
	Field, Problem, Fix string
	// Err is the cause, where there is one.
	Err error
}

func (e *ProbeConfigError) Error() string {
	return fmt.Sprintf("monitor: ProbeConfig.%s %s: %s", e.Field, e.Problem, e.Fix)
}

// Unwrap returns the cause.
func (e *ProbeConfigError) Unwrap() error { return e.Err }
