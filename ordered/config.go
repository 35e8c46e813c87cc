package ordered

import (
	"cmp"
	"errors"
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
	// Partitions to consume, all of them, as topology.PartitionedQueue made them. They
	// must be declared.
	Partitions topology.Partitions

	// Consumer is what the consumers of all partitions have in common. Workers,
	// default 1, is how many keys of one partition are handled at once; Prefetch,
	// default 100 or four times Workers, whichever is more, how many messages of one
	// partition are here at once, held ones included. All processes must ask for the
	// same Prefetch, always (F 31), so give it where some have more than 25 Workers; how
	// to change it stands in docs/guarantees.md. Queue must be empty. Handler must not hold retry.Middleware or
	// dlq.Middleware: what they do is done here; and it must leave Body and Headers of
	// the delivery as they are, which the next attempt and the letter are made of.
	// ConsumerTimeout is the partitions' own by default, else 30 min.
	//
	// Control.Pause works as for any consumer. A Control.Hold, which a circuit breaker
	// uses, lets what is here already go on, Prefetch messages of a partition at most.
	// Control.SetPrefetch does nothing.
	//
	// The ctx of a handler ends, other than that of package consumer, when its
	// session is lost: the message may be with another process already, and the
	// sooner this handler ends, the less the two overlap.
	Consumer consumer.Config

	// Copies publishes letters and nothing else, so that user code cannot hold them
	// up (R 18). A *confirm.Publisher is one.
	Copies dlq.Starter

	// Retry says what an error means, how often and after which delays an attempt is
	// repeated. The delays of one message, of whatever class its errors are, must fit
	// into half of the consumer timeout, together (retry.Policy.Total); one that does
	// not, because the handler asked for it with retry.After, is cut. Immediate must be
	// zero: retry.Schedule(0, ...) is a retry at once. CopyTimeout is not used; the one
	// of letters is that of DeadLetters.
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
	c.Consumer.DrainTimeout = cmp.Or(c.Consumer.DrainTimeout, 30*time.Second)
	c.Consumer.Logger = cmp.Or(c.Consumer.Logger, slog.Default())
	c.DeadLetters.Logger = cmp.Or(c.DeadLetters.Logger, c.Consumer.Logger)
	c.Retry.Logger = cmp.Or(c.Retry.Logger, c.Consumer.Logger)
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

// tick is how often ages are looked at.
func (c Config) tick() time.Duration { return max(c.limit()/8, time.Millisecond) }

// latest is how long a message may be here with a handler, such that its session
// can still end before the consumer timeout.
func (c Config) latest() time.Duration {
	return max(c.limit(), c.Consumer.ConsumerTimeout-c.Consumer.DrainTimeout-2*c.tick())
}

func (c Config) validate() error {
	for _, check := range []func() error{c.checkPartitions, c.checkConsumer, c.checkRetry} {
		if err := check(); err != nil {
			return err
		}
	}
	return c.Partitions.Validate()
}

// checkPartitions looks for what the order and the burial rest on.
func (c Config) checkPartitions() error {
	const fix = "make it with topology.PartitionedQueue, and leave it as it is"
	p := c.Partitions
	if p.Count < 1 || p.Name == "" {
		return &ConfigError{Field: "Partitions", Problem: "is empty", Fix: fix}
	}
	if p.DeadLetterQueue == "" {
		return &ConfigError{Field: "Partitions", Problem: "has no dead-letter queue", Fix: fix}
	}
	single := map[string]bool{}
	for _, q := range p.Queues {
		single[q.Name] = q.SingleActive
	}
	for i := range p.Count {
		if name := p.Queue(i); !single[name] || !p.Work(i).Backstop() {
			return &ConfigError{Field: "Partitions", Problem: fmt.Sprintf("has no quorum queue %q with single active consumer and dead letters at-least-once", name), Fix: fix}
		}
	}
	return nil
}

func (c Config) checkConsumer() error {
	switch n := c.Consumer; {
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
	return nil
}

func (c Config) checkRetry() error {
	var wrong *retry.ConfigError
	if errors.As(c.Retry.Validate(), &wrong) {
		return &ConfigError{Field: "Retry." + wrong.Field, Problem: wrong.Problem, Fix: wrong.Fix}
	}
	atOnce := map[string]int{"Retry.Immediate": c.Retry.Immediate}
	for i, class := range c.Retry.Classes {
		atOnce[fmt.Sprintf("Retry.Classes[%d].Immediate", i)] = class.Immediate
	}
	for field, n := range atOnce {
		if n > 0 {
			return &ConfigError{Field: field, Problem: fmt.Sprintf("is %d, and there is no other kind of retry here than one in this process", n),
				Fix: "leave it 0, and begin the delays with a zero for each retry at once: retry.Schedule(0, time.Second)"}
		}
	}
	if total := c.Retry.Total(); total > c.limit() {
		return &ConfigError{Field: "Retry", Problem: fmt.Sprintf("holds one message for up to %v, and half of the consumer timeout is %v", total, c.limit()),
			Fix: "use fewer or shorter delays, in the classes too, or set MaxElapsed, or raise the consumer timeout here and on the broker"}
	}
	return nil
}

// ConfigError names a field of [Config] that cannot be used.
type ConfigError struct {
	Field, Problem, Fix string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("ordered: Config.%s %s: %s", e.Field, e.Problem, e.Fix)
}
