package ordered

import (
	"context"
	"time"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// Waiting is what OnHealth is told of a partition of which MaxHeld messages are
// held: no further key begins until one of them is done. Consumer.Consuming
// follows.
const Waiting consumer.Status = "waiting"

// Consumer handles partitions in order. It is safe for concurrent use, but is to
// be run once at a time.
type Consumer struct {
	configs    []consumer.Config
	partitions []*partition
}

// New makes a consumer; nothing is consumed before Run. Errors: *ConfigError,
// *topology.ValidationError.
func New(cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Consumer{}
	for i := range cfg.Partitions.Count {
		p := newPartition(cfg, cfg.Partitions.Work(i))
		one := cfg.Consumer
		one.Queue = p.work.Queue
		one.Handler = p.accept
		one.Workers = 1 // deliveries are taken up in their order
		one.FixedPrefetch = true
		c.partitions = append(c.partitions, p)
		c.configs = append(c.configs, one)
	}
	return c, nil
}

// Consumers are those of the partitions, for a consumer.Group. All are to be run.
func (c *Consumer) Consumers() []consumer.Config { return append([]consumer.Config(nil), c.configs...) }

// Run consumes all partitions until ctx ends, then drains: handlers that run have
// DrainTimeout, what is held is left to the next process. It returns what
// consumer.RunAll does.
//
// Of each partition one consumer of all processes is active. The broker takes the
// one that came first, so that a process which came late may have nothing to do
// until another one ends.
func (c *Consumer) Run(ctx context.Context, l *link.Link) error {
	return consumer.RunAll(ctx, l, c.configs...)
}

// Stat is the state of one partition in this process, for metrics.
type Stat struct {
	Queue   string
	Keys    int       // with messages here
	Running int       // handlers
	Failing int       // keys whose first message failed and is to be tried again, or buried
	Held    int       // messages of those keys
	Waiting bool      // Held has reached MaxHeld
	Oldest  time.Time // the delivery that is here for longest; zero: none
}

// Stats gives the state of each partition. A partition that is active in another
// process has nothing here.
func (c *Consumer) Stats() []Stat {
	all := make([]Stat, 0, len(c.partitions))
	for _, p := range c.partitions {
		all = append(all, p.stat())
	}
	return all
}
