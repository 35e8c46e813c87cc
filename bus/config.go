package bus

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Unrouted says what Publish makes of an event that no group subscribes to.
type Unrouted uint8

// On a bus, an event without subscribers can be normal. It can also be a typo in
// the key, or a subscriber that was not started yet, so that is the default (R 26).
const (
	Fail   Unrouted = iota // Publish returns a *confirm.ReturnedError
	Ignore                 // Publish returns nil; the event is gone
)

// Config of a [Bus]. The zero value is useful; it applies to all groups.
type Config struct {
	// Exchange is the name of the topic exchange. Default "events".
	Exchange string
	// Unrouted is what becomes of events without subscribers. Default Fail. A
	// request without responders always fails.
	Unrouted Unrouted

	// Format is how events, requests and replies are written. Default Envelope. All
	// formats are read.
	Format Format
	// Source is the source of CloudEvents: a URI reference that names this program,
	// such as "/orders". Required where Format is one of theirs.
	Source string
	// Versions of event types that handlers get in the newest version alone. What is
	// not named here comes as it was published.
	Versions []Versions
	// RequestTimeout is the deadline of a Request whose ctx has none. Default 30 s.
	RequestTimeout time.Duration

	// Workers is how many handlers of a group run at once in this process.
	// Default 1. Prefetch is how many events it may hold. Default 100 or twice
	// Workers, whichever is more.
	Workers, Prefetch int
	// DrainTimeout is how long handlers may go on once Run's ctx has ended.
	// Default 30 s.
	DrainTimeout time.Duration
	// ConsumerTimeout is the broker's consumer_timeout. Default 30 min, as
	// RabbitMQ's.
	ConsumerTimeout time.Duration

	// Policy says how often and how late a failed event is tried again. Its
	// Redact and Logger default to those given here.
	Policy retry.Policy
	// Ladder is where events wait for their retry. The zero value is the ladder
	// that all programs on the broker share by default.
	Ladder topology.Ladder

	// Middleware wraps the handlers of all groups, outside of burial and
	// retries: an error it sees is final for this attempt, or pending while a
	// copy is under way. The first is the outermost.
	Middleware []consumer.Middleware
	// Control, if set, pauses the consumers of all groups, and changes their
	// prefetch, while they run. Package breaker needs it.
	Control *consumer.Control
	// Watchdog watches the consumers of all groups. It is on by default. OnEvent may
	// be called for different groups at once.
	Watchdog consumer.WatchdogConfig
	// Tracer, if set, follows all messages of the bus, copies too, from publish to
	// outcome; the attempts to handle them are for a Middleware. Package telemetry
	// has both.
	Tracer confirm.Tracer
	// Redact cleans error texts before they go into headers and logs.
	Redact func(string) string
	// OnHealth is told of every change of a group's consumer. Calls for
	// different groups may come at once.
	OnHealth func(consumer.Health)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Exchange = cmp.Or(c.Exchange, "events")
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 30*time.Second)
	c.Workers = cmp.Or(c.Workers, 1)
	c.Prefetch = cmp.Or(c.Prefetch, max(100, 2*c.Workers))
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Policy.Logger = cmp.Or(c.Policy.Logger, c.Logger)
	if c.Policy.Redact == nil {
		c.Policy.Redact = c.Redact
	}
	if c.Redact == nil {
		c.Redact = c.Policy.Redact
	}
	return c
}

func (c Config) validate() error {
	const maxPrefetch = 65535 // basic.qos has 16 bits
	switch {
	case c.Unrouted > Ignore:
		return &ConfigError{Field: "Unrouted", Problem: fmt.Sprintf("is %d", c.Unrouted), Fix: "use bus.Fail or bus.Ignore"}
	case c.Workers < 1:
		return &ConfigError{Field: "Workers", Problem: fmt.Sprintf("is %d", c.Workers), Fix: "use at least 1, or 0 for the default"}
	case c.Prefetch < c.Workers || c.Prefetch > maxPrefetch:
		return &ConfigError{Field: "Prefetch", Problem: fmt.Sprintf("is %d", c.Prefetch), Fix: fmt.Sprintf("use Workers (%d) to %d, or 0 for the default", c.Workers, maxPrefetch)}
	case c.Format > CloudEventsStructured:
		return &ConfigError{Field: "Format", Problem: fmt.Sprintf("is %d", c.Format), Fix: "use bus.Envelope, bus.CloudEventsBinary or bus.CloudEventsStructured"}
	case c.RequestTimeout < 0:
		return &ConfigError{Field: "RequestTimeout", Problem: "is negative", Fix: "leave it zero for the default"}
	case c.DrainTimeout < 0:
		return &ConfigError{Field: "DrainTimeout", Problem: "is negative", Fix: "leave it zero for the default"}
	case c.ConsumerTimeout < 0:
		return &ConfigError{Field: "ConsumerTimeout", Problem: "is negative", Fix: "leave it zero for the default"}
	}
	var policy *retry.ConfigError
	if err := c.Policy.Validate(); errors.As(err, &policy) {
		return &ConfigError{Field: "Policy." + policy.Field, Problem: policy.Problem, Fix: policy.Fix}
	} else if err != nil {
		return fmt.Errorf("bus: Config.Policy: %w", err)
	}
	var watchdog *consumer.ConfigError
	if errors.As(c.Watchdog.Validate(), &watchdog) {
		return &ConfigError{Field: watchdog.Field, Problem: watchdog.Problem, Fix: watchdog.Fix}
	}
	if problem := sourceProblem(c.Source); problem != "" && c.Format != Envelope {
		return &ConfigError{Field: "Source", Problem: problem, Fix: "name this program by a URI reference"}
	}
	return c.validateVersions()
}

func (c Config) validateVersions() error {
	known := make(map[string]bool)
	for _, v := range c.Versions {
		if problem, fix := v.validate(); problem != "" {
			return &ConfigError{Field: "Versions", Problem: problem, Fix: fix}
		}
		if known[v.Type] {
			return &ConfigError{Field: "Versions", Problem: fmt.Sprintf("have %q twice", v.Type), Fix: "give all its steps in one"}
		}
		known[v.Type] = true
	}
	return nil
}

// ConfigError names what was given to the bus and cannot be used: a field of
// [Config], or an argument of [Bus.Subscribe] or [Bus.Respond].
type ConfigError struct {
	Field, Problem, Fix string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("bus: %s %s: %s", e.Field, e.Problem, e.Fix)
}
