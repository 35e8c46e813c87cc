package monitor

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/topology"
)

// Config says what a [Monitor] watches, and whom it tells. Management.URL must be set; the
// zero value of every other field is useful: without queues and ladders, the API itself and
// the broker's memory and disk alarms are watched.
type Config struct {
	// Management is the API. The user needs the tag management, and any permission in the
	// virtual host.
	Management topology.Management
	// Queues to watch; see [Watch]. Each may be named once.
	Queues []Queue
	// Ladders to watch: that all their queues are there, what waits on them, what they
	// hold back, and that nothing is unclaimed; see also the function Ladders.
	Ladders []topology.Ladder
	// LadderMessages is how many messages may be on a ladder. Default 10,000; negative is
	// off.
	LadderMessages int
	// LadderHeld is how many messages of a ladder at-least-once dead-lettering may hold
	// back, beside as many as enter in a second: those are on their way. Default 0;
	// negative is off.
	LadderHeld int

	// Every is the time from one round to the next. Default 1 min. RabbitMQ's numbers are
	// up to 5 s old, and changes are measured over 10 s at least: with less, one burst is
	// seen in several rounds, and RaiseAfter should be larger.
	Every time.Duration
	// Timeout bounds a round: what has not been answered by then counts as no answer.
	// Default 10 s.
	Timeout time.Duration
	// RaiseAfter is in how many rounds in a row something must be seen before its alarm is
	// raised. ClearAfter is in how many it must be well again. Default 2 each.
	RaiseAfter, ClearAfter int
	// ClearAt is at which part of its threshold a number is well again: in between, an
	// alarm that stands stays, and none is raised. Default 0.8; at most 1.
	ClearAt float64

	// OnAlarm is told of each alarm that is raised or cleared, in order; OnReport of each
	// round, but for those that ended while it had not returned from an earlier one: of
	// these, of the last one. While Run runs, each has a goroutine of its own, so that a
	// slow one delays nothing but its own later calls. Without Run they are called by Check, and must not
	// call it.
	OnAlarm  func(Alarm)
	OnReport func(Report)
	// MeterProvider gets the metrics, whose names begin with hareline.monitor,
	// hareline.queue and hareline.ladder, while Run runs. Default OpenTelemetry's global
	// one. All have the attributes server.address, server.port and hareline.vhost, so that
	// monitors of several brokers or virtual hosts can share it.
	MeterProvider metric.MeterProvider
	// Logger gets alarms, critical ones as errors. Default slog.Default().
	Logger *slog.Logger
}

// ConfigError names a field of [Config] that cannot be used.
type ConfigError struct {
	Field, Problem, Fix string
	// Err is the cause, where there is one.
	Err error
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("monitor: Config.%s %s: %s", e.Field, e.Problem, e.Fix)
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

func (c Config) withDefaults() Config {
	c.LadderMessages = cmp.Or(c.LadderMessages, 10_000)
	c.Every = cmp.Or(c.Every, time.Minute)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.RaiseAfter = cmp.Or(c.RaiseAfter, 2)
	c.ClearAfter = cmp.Or(c.ClearAfter, 2)
	c.ClearAt = cmp.Or(c.ClearAt, 0.8)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	queues := make([]Queue, len(c.Queues))
	for i, q := range c.Queues {
		queues[i] = q.withDefaults()
	}
	c.Queues = queues
	var ladders []topology.Ladder
	seen := map[string]bool{}
	for _, l := range c.Ladders {
		if !seen[l.Due()] {
			seen[l.Due()] = true
			ladders = append(ladders, l)
		}
	}
	c.Ladders = ladders
	return c
}

func (c Config) validate() error {
	if err := client(c.Management).Validate(); err != nil {
		return &ConfigError{Field: "Management.URL", Problem: "cannot be used", Fix: err.Error(), Err: err}
	}
	for _, f := range []struct {
		field string
		bad   bool
		value any
		fix   string
	}{
		{"Every", c.Every < 0, c.Every, "leave it zero for the default"},
		{"Timeout", c.Timeout < 0, c.Timeout, "leave it zero for the default"},
		{"RaiseAfter", c.RaiseAfter < 0, c.RaiseAfter, "leave it zero for the default"},
		{"ClearAfter", c.ClearAfter < 0, c.ClearAfter, "leave it zero for the default"},
		{"ClearAt", !(c.ClearAt > 0 && c.ClearAt <= 1), c.ClearAt, "use more than 0 and at most 1, or 0 for the default"},
	} {
		if f.bad {
			return &ConfigError{Field: f.field, Problem: fmt.Sprintf("is %v", f.value), Fix: f.fix}
		}
	}
	return c.validateQueues()
}

func (c Config) validateQueues() error {
	named := map[string]string{}
	for i, l := range c.Ladders {
		field := fmt.Sprintf("Ladders[%d]", i)
		if err := (topology.Topology{Ladders: []topology.Ladder{l}}).Validate(); err != nil {
			return &ConfigError{Field: field, Problem: "is none", Fix: err.Error(), Err: err}
		}
		for _, q := range l.Topology().Queues {
			named[q.Name] = field
		}
	}
	for i, q := range c.Queues {
		field := fmt.Sprintf("Queues[%d]", i)
		switch {
		case q.Name == "":
			return &ConfigError{Field: field, Problem: "has no Name", Fix: "name the queue"}
		case named[q.Name] != "":
			return &ConfigError{Field: field, Problem: fmt.Sprintf("is %q, as in %s", q.Name, named[q.Name]), Fix: "name each queue once; those of a ladder come with it"}
		case math.IsNaN(q.BackingUp) || math.IsInf(q.BackingUp, 1):
			return &ConfigError{Field: field + ".BackingUp", Problem: fmt.Sprintf("is %v", q.BackingUp), Fix: "leave it zero for the default, or negative to turn it off"}
		}
		named[q.Name] = field
	}
	return nil
}
