package ordered

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Config says what to handle and how. Partitions, Copies and Consumer.Handler are
// required; the zero value of the rest is useful.
type Config struct {
	// Partitions to consume, all of them: see topology.PartitionedQueue. They must be
	// declared.
	Partitions topology.Partitions

	// Consumer is what the consumers of all partitions have in common. Workers,
	// default 1, is how many keys of one partition are handled at once; Prefetch,
	// default 100 or four times Workers, whichever is more, how many messages of one
	// partition are here at once, held ones included. Queue must be empty. Handler
	// must not hold retry.Middleware or dlq.Middleware: what they do is done here.
	// ConsumerTimeout is the partitions' own by default, else 30 min. A Control that
	// pauses lets what is here already go on, Prefetch messages of a partition at
	// most; its SetPrefetch does nothing, for all processes must ask for the same
	// Prefetch, always (F 31).
	//
	// The ctx of a handler ends, other than that of package consumer, when its
	// session is lost: the message may be with another process already, and the
	// sooner this handler ends, the less the two overlap.
	Consumer consumer.Config

	// Copies publishes letters and nothing else, so that user code cannot hold them
	// up (R 18). A *confirm.Publisher is one.
	Copies dlq.Starter

	// Retry says what an error means, how often and after which delays an attempt is
	// repeated. The delays of one message must fit into half of the consumer
	// timeout, together; one that does not, because the handler asked for it with
	// retry.After, is cut.
	Retry retry.Policy

	// DeadLetters is how messages are buried.
	DeadLetters dlq.Config

	// Key of a delivery. Nil is the key that Partitions.Route put into the routing
	// key, or the whole routing key where that is another one. Messages of one key
	// must all lie in one partition. It must be pure, and must not panic.
	Key func(amqp.Delivery) string

	// MaxHeld bounds how many messages of one partition are held: those that failed
	// and are to be tried again, and those behind them. While it is reached the
	// partition waits: only keys that have failed are tried, so that a failure of
	// everything does not spread to all that is there. Default, and the most,
	// is Prefetch less Workers.
	MaxHeld int
}

func (c Config) withDefaults() Config {
	c.Consumer.Workers = cmp.Or(c.Consumer.Workers, 1)
	c.Consumer.Prefetch = cmp.Or(c.Consumer.Prefetch, max(100, 4*c.Consumer.Workers))
	c.MaxHeld = cmp.Or(c.MaxHeld, c.Consumer.Prefetch-c.Consumer.Workers)
	for _, q := range c.Partitions.Queues {
		c.Consumer.ConsumerTimeout = cmp.Or(c.Consumer.ConsumerTimeout, q.ConsumerTimeout)
	}
	c.Consumer.ConsumerTimeout = cmp.Or(c.Consumer.ConsumerTimeout, 30*time.Minute)
	c.Consumer.Logger = cmp.Or(c.Consumer.Logger, slog.Default())
	c.DeadLetters.Logger = cmp.Or(c.DeadLetters.Logger, c.Consumer.Logger)
	if c.DeadLetters.Redact == nil {
		c.DeadLetters.Redact = c.Consumer.Redact
	}
	if c.Retry.Redact == nil {
		c.Retry.Redact = c.Consumer.Redact
	}
	if c.Key == nil {
		p := c.Partitions
		c.Key = func(d amqp.Delivery) string { return p.Key(d.RoutingKey) }
	}
	return c
}

// text is an error for the log.
func (c Config) text(err error) string {
	switch {
	case err == nil:
		return ""
	case c.Consumer.Redact == nil:
		return err.Error()
	}
	return c.Consumer.Redact(err.Error())
}

// limit is how long a message may wait here.
func (c Config) limit() time.Duration { return c.Consumer.ConsumerTimeout / 2 }

func (c Config) validate() error {
	switch n := c.Consumer; {
	case c.Partitions.Count < 1 || c.Partitions.Name == "":
		return &ConfigError{Field: "Partitions", Problem: "is empty", Fix: "make it with topology.PartitionedQueue"}
	case c.Copies == nil:
		return &ConfigError{Field: "Copies", Problem: "is nil", Fix: "give a confirm.Publisher of its own"}
	case n.Queue != "":
		return &ConfigError{Field: "Consumer.Queue", Problem: fmt.Sprintf("is %q", n.Queue), Fix: "leave it empty: all queues of Partitions are consumed"}
	case n.Handler == nil:
		return &ConfigError{Field: "Consumer.Handler", Problem: "is nil", Fix: "give a handler, such as consumer.JSON(...)"}
	case n.Exclusive:
		return &ConfigError{Field: "Consumer.Exclusive", Problem: "is set", Fix: "leave it: partitions have a single active consumer, and the others wait"}
	case n.Arguments["x-priority"] != nil:
		return &ConfigError{Field: "Consumer.Arguments", Problem: "has x-priority", Fix: "leave it: with a single active consumer RabbitMQ 4.3 may stop delivering for ever"}
	case n.Workers < 1:
		return &ConfigError{Field: "Consumer.Workers", Problem: fmt.Sprintf("is %d", n.Workers), Fix: "use at least 1, or 0 for the default"}
	case n.Prefetch <= n.Workers:
		return &ConfigError{Field: "Consumer.Prefetch", Problem: fmt.Sprintf("is %d, not above Workers (%d)", n.Prefetch, n.Workers), Fix: "leave room for held messages: raise it, or leave it 0"}
	case c.MaxHeld < 1 || c.MaxHeld > n.Prefetch-n.Workers:
		return &ConfigError{Field: "MaxHeld", Problem: fmt.Sprintf("is %d", c.MaxHeld), Fix: fmt.Sprintf("use 1 to %d (Prefetch less Workers), or 0 for that", n.Prefetch-n.Workers)}
	case n.ConsumerTimeout < 0:
		return &ConfigError{Field: "Consumer.ConsumerTimeout", Problem: "is negative", Fix: "leave it zero for the default"}
	}
	if total := total(c.Retry, c.limit()); total > c.limit() {
		return &ConfigError{Field: "Retry", Problem: fmt.Sprintf("holds one message for %v or longer, and half of the consumer timeout is %v", total, c.limit()),
			Fix: "use fewer or shorter delays, or set MaxElapsed, or raise the consumer timeout here and on the broker"}
	}
	return c.Partitions.Validate()
}

// total is the sum of a policy's delays, or something above limit.
func total(p retry.Policy, limit time.Duration) time.Duration {
	const many = 1000 // without a delay that counts
	var sum time.Duration
	for n := 1; n <= many && sum <= limit; n++ {
		d, ok := p.Delay(n)
		if !ok {
			break
		}
		if sum += d; p.MaxElapsed > 0 && sum > p.MaxElapsed {
			return p.MaxElapsed
		}
	}
	return sum
}

// ConfigError names a field of [Config] that cannot be used.
type ConfigError struct {
	Field, Problem, Fix string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("ordered: Config.%s %s: %s", e.Field, e.Problem, e.Fix)
}
