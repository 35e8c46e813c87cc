package consumer

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Config describes one consumer. Queue and Handler are required; the zero
// value of the rest is useful.
type Config struct {
	// Queue to consume; it must exist.
	Queue string
	// Handler is called for each delivery, by up to Workers goroutines.
	Handler Handler
	// Workers is how many handlers run at once. Default 1.
	Workers int
	// Prefetch is how many deliveries may be unsettled at once: waiting,
	// handled, or with a copy under way (basic.qos). Never unlimited: the
	// client would take the whole queue into memory (H 8.3). Default 100 or
	// twice Workers, whichever is more.
	Prefetch int
	// FixedPrefetch keeps the prefetch as it is, where the consumer or a Control
	// would lower it for a while. It is for queues with a single active consumer
	// whose order counts: what comes back to a quorum queue is put behind what came
	// back before and still lies there. So a consumer that asks for less than the
	// one before it, and ends in its turn, puts messages out of order.
	FixedPrefetch bool
	// Tag is the consumer tag shown in the broker's tools; a number is added
	// at each resubscription. Default "hareline".
	Tag string
	// Exclusive asks for a classic queue alone (basic.consume); a quorum queue
	// does not know it. While another consumer has it the broker refuses the
	// subscription: in a rolling deploy Run ends with a *SubscribeError. A queue
	// with single active consumer hands over instead.
	Exclusive bool
	// Arguments of basic.consume, such as x-priority.
	Arguments amqp.Table
	// DrainTimeout is how long running handlers may go on after Run's ctx has
	// ended, before their ctx ends too. Default 30 s.
	DrainTimeout time.Duration
	// ConsumerTimeout is the broker's consumer_timeout, which cannot be read
	// over AMQP: the longest a delivery may stay unsettled, counted from its
	// delivery. What has waited half of it without a handler starting is given
	// back, and the prefetch halved (R 19). Default 30 min, as RabbitMQ's.
	ConsumerTimeout time.Duration
	// GiveUpAfter is how long a subscription that once worked may be refused
	// by the broker (queue deleted, rights gone) before Run returns. A lost
	// link does not count: it is waited for. Default 2 min.
	GiveUpAfter time.Duration
	// Control, if set, pauses this consumer and changes its prefetch while it
	// runs. One Control may serve several consumers.
	Control *Control
	// Watchdog watches this consumer. It is on by default.
	Watchdog WatchdogConfig
	// Redact, if set, is applied to error texts before they are logged.
	Redact func(string) string
	// OnHealth is told of every change, in order, from a goroutine of its own.
	OnHealth func(Health)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, 1)
	c.Prefetch = cmp.Or(c.Prefetch, max(100, 2*c.Workers))
	c.Tag = cmp.Or(c.Tag, "hareline")
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	c.ConsumerTimeout = cmp.Or(c.ConsumerTimeout, 30*time.Minute)
	c.GiveUpAfter = cmp.Or(c.GiveUpAfter, 2*time.Minute)
	c.Logger = cmp.Or(c.Logger, slog.Default()).With("queue", c.Queue)
	c.Watchdog = c.Watchdog.withDefaults(c.ConsumerTimeout)
	if c.Watchdog.Consumers != nil {
		c.Tag = randomTag(c.Tag)
	}
	if c.Control == nil {
		c.Control = new(Control)
	}
	if c.Redact == nil {
		c.Redact = func(s string) string { return s }
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Queue == "":
		return &ConfigError{Field: "Queue", Problem: "is empty", Fix: "name the queue to consume"}
	case c.Handler == nil:
		return &ConfigError{Field: "Handler", Problem: "is nil", Fix: "give a handler, such as consumer.JSON(...)"}
	case c.Workers < 1:
		return &ConfigError{Field: "Workers", Problem: fmt.Sprintf("is %d", c.Workers), Fix: "use at least 1, or 0 for the default"}
	case c.Prefetch < 1 || c.Prefetch > math.MaxUint16:
		return &ConfigError{Field: "Prefetch", Problem: fmt.Sprintf("is %d", c.Prefetch), Fix: "use 1 to 65535, or 0 for the default"}
	case c.Prefetch < c.Workers:
		return &ConfigError{Field: "Prefetch", Problem: fmt.Sprintf("is %d, less than Workers (%d)", c.Prefetch, c.Workers), Fix: "workers beyond the prefetch would idle: raise the one or lower the other"}
	case c.DrainTimeout < 0, c.ConsumerTimeout < 0, c.GiveUpAfter < 0:
		return &ConfigError{Field: "DrainTimeout, ConsumerTimeout or GiveUpAfter", Problem: "is negative", Fix: "leave it zero for the default"}
	}
	return c.Watchdog.Validate()
}

// ConfigError names a field of [Config] that cannot be used.
type ConfigError struct {
	Field, Problem, Fix string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("consumer: Config.%s %s: %s", e.Field, e.Problem, e.Fix)
}
