package ordered_test

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

type noCopies struct{}

func (noCopies) Start(context.Context, string, string, amqp.Publishing) error {
	return errors.New("not asked")
}

func sound() ordered.Config {
	return ordered.Config{
		Partitions: topology.PartitionedQueue("orders", topology.PartitionsConfig{}),
		Copies:     noCopies{},
		Consumer:   consumer.Config{Handler: func(context.Context, amqp.Delivery) error { return nil }},
	}
}

func always(error) bool { return true }

func TestConfig(t *testing.T) {
	c, err := ordered.New(sound())
	if err != nil {
		t.Fatal(err)
	}
	all := c.Consumers()
	if len(all) != 8 || all[3].Queue != "orders.3of8" || all[3].Workers != 1 || !all[3].FixedPrefetch || all[3].Prefetch != 100 {
		t.Errorf("consumers %+v", all)
	}
	for field, change := range map[string]func(*ordered.Config){
		"Partitions":                 func(c *ordered.Config) { c.Partitions = topology.Partitions{} },
		"Copies":                     func(c *ordered.Config) { c.Copies = nil },
		"Consumer.Queue":             func(c *ordered.Config) { c.Consumer.Queue = "orders" },
		"Consumer.Handler":           func(c *ordered.Config) { c.Consumer.Handler = nil },
		"Consumer.Exclusive":         func(c *ordered.Config) { c.Consumer.Exclusive = true },
		"Consumer.Arguments":         func(c *ordered.Config) { c.Consumer.Arguments = amqp.Table{"x-priority": 1} },
		"Consumer.Workers":           func(c *ordered.Config) { c.Consumer.Workers = -1 },
		"Consumer.Prefetch":          func(c *ordered.Config) { c.Consumer.Workers, c.Consumer.Prefetch = 4, 4 },
		"Consumer.ConsumerTimeout":   func(c *ordered.Config) { c.Consumer.ConsumerTimeout = -1 },
		"MaxHeld":                    func(c *ordered.Config) { c.Consumer.Workers, c.MaxHeld = 4, 97 },
		"Retry.Immediate":            func(c *ordered.Config) { c.Retry.Immediate = 1 },
		"Retry.Classes[0].Immediate": func(c *ordered.Config) { c.Retry.Classes = []retry.Class{{Match: always, Immediate: 1}} },
		"Retry.Classes[0].Match":     func(c *ordered.Config) { c.Retry.Classes = []retry.Class{{}} },
		"Retry.Jitter":               func(c *ordered.Config) { c.Retry.Jitter = 99 },
		"Retry": func(c *ordered.Config) {
			c.Retry = retry.Policy{BackOff: retry.Schedule(8*time.Minute, 8*time.Minute)}
		},
	} {
		cfg := sound()
		change(&cfg)
		var wrong *ordered.ConfigError
		if _, err := ordered.New(cfg); !errors.As(err, &wrong) || wrong.Field != field || wrong.Fix == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	for name, change := range map[string]func(*topology.Partitions){
		"no dead-letter queue":      func(p *topology.Partitions) { p.DeadLetterQueue = "" },
		"another count":             func(p *topology.Partitions) { p.Count = 9 },
		"no topology":               func(p *topology.Partitions) { p.Topology = topology.Topology{} },
		"no single active consumer": func(p *topology.Partitions) { p.Queues[3].SingleActive = false },
		"no backstop":               func(p *topology.Partitions) { p.Queues[3].DeadLetterStrategy = topology.AtMostOnce },
	} {
		cfg := sound()
		change(&cfg.Partitions)
		var wrong *ordered.ConfigError
		if _, err := ordered.New(cfg); !errors.As(err, &wrong) || wrong.Field != "Partitions" {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := sound()
	cfg.Partitions = topology.PartitionedQueue("orders", topology.PartitionsConfig{Count: -1})
	var invalid *topology.ValidationError
	if _, err := ordered.New(cfg); !errors.As(err, &invalid) {
		t.Errorf("partitions that are not sound: %v", err)
	}
}

// So do those of classes.
func TestDelaysOfClassesFitTheConsumerTimeout(t *testing.T) {
	cfg := sound()
	cfg.Retry = retry.Policy{BackOff: retry.Schedule(time.Second), Classes: []retry.Class{{Match: always, BackOff: retry.Schedule(time.Hour)}}}
	var wrong *ordered.ConfigError
	if _, err := ordered.New(cfg); !errors.As(err, &wrong) || wrong.Field != "Retry" {
		t.Errorf("an hour: %v", err)
	}
	cfg.Consumer.ConsumerTimeout = 3 * time.Hour
	if _, err := ordered.New(cfg); err != nil {
		t.Error(err)
	}
}

// The delays of one message fit into half of the consumer timeout, whichever way
// that is given.
func TestDelaysFitTheConsumerTimeout(t *testing.T) {
	hour := retry.Policy{BackOff: retry.Schedule(time.Hour, 2*time.Hour)}
	for name, change := range map[string]func(*ordered.Config){
		"consumer's": func(c *ordered.Config) { c.Consumer.ConsumerTimeout = 6 * time.Hour },
		"queues'": func(c *ordered.Config) {
			c.Partitions = topology.PartitionedQueue("orders", topology.PartitionsConfig{ConsumerTimeout: 6 * time.Hour})
		},
		"max elapsed": func(c *ordered.Config) { c.Retry.MaxElapsed = 10 * time.Minute },
		"endless, short": func(c *ordered.Config) {
			c.Retry = retry.Policy{MaxRetries: 1_000_000, BackOff: retry.Constant(0)}
		},
	} {
		cfg := sound()
		cfg.Retry = hour
		change(&cfg)
		if _, err := ordered.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
