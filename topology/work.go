package topology

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// sharedDLX is the direct exchange that work queues share by default; the
// key keeps their dead letters apart.
const sharedDLX = "hareline.dlx"

// maxDeliveryLimit is the most a work queue may be given: beyond it a message that
// crashes its consumer does so for hours.
const maxDeliveryLimit = 10_000

// WorkConfig says how a work queue differs from the default one. The zero value is
// a quorum queue with a dead-letter queue and the shared ladder.
type WorkConfig struct {
	Type QueueType // "" is Quorum

	// DeadLetterExchange, a durable direct exchange, gets what the broker gives up:
	// over the delivery limit, expired, rejected. "" is "hareline.dlx".
	DeadLetterExchange string
	// DeadLetterKey is its routing key. "" is the queue's name. A key that several
	// queues share sends each letter to every dead-letter queue bound by it: so
	// another key needs a named DeadLetterQueue (R 15).
	DeadLetterKey string
	// DeadLetterQueue may be shared by several work queues. "" is the queue's name
	// and ".dlq".
	DeadLetterQueue string

	// DeadLetterExchangeExternal tells that the exchange is declared by somebody else:
	// see Exchange.External. DeadLetterQueueExternal tells the same of the dead-letter
	// queue. With both, their binding is declared by somebody else, too.
	DeadLetterExchangeExternal bool
	DeadLetterQueueExternal    bool

	// TTL is how long a message may wait before it goes to the dead-letter queue;
	// whole milliseconds; 0 is for ever. It starts anew with each retry (R 14).
	TTL time.Duration
	// MaxLength (messages) and MaxBytes bound the queue; 0 is unbounded. A bounded
	// queue needs a Ladder of its own, unless Overflow is DropHead.
	MaxLength int64
	MaxBytes  int64
	// Overflow of a bounded queue: "" is RejectPublish. DropHead, on a quorum queue,
	// makes all of its dead-lettering at-most-once.
	Overflow Overflow
	// DeliveryLimit, quorum only: 0 is 100; at most 10,000. Every delivery that is
	// not acked counts, also of messages in the prefetch that nobody handled: lower
	// ones bury messages in a series of deploys or cut links (R 6).
	DeliveryLimit int64
	SingleActive  bool // one consumer at a time
	// MaxPriority, classic only. A retried message comes back with priority 0.
	MaxPriority uint8
	// ConsumerTimeout, LeaderLocator and InitialGroupSize are those of Queue. The last
	// two, given for a quorum queue, are those of the dead-letter queue as well.
	ConsumerTimeout  time.Duration
	LeaderLocator    LeaderLocator
	InitialGroupSize int

	// Ladder is where retries wait. The zero value is the shared default ladder.
	Ladder Ladder
	// Retry is the retry policy, if it is to be checked that the ladder reaches as
	// long as its longest delay; nil is not checked.
	Retry interface{ Longest() time.Duration }

	// Bindings from exchanges to this queue: only Source, Key and Arguments are
	// needed, Destination is filled in.
	Bindings []Binding
}

// withDefaults fills in what depends on the queue's name.
func (c WorkConfig) withDefaults(name string) WorkConfig {
	if c.Type == "" || c.Type == Stream { // faults tells of a stream
		c.Type = Quorum
	}
	if c.DeadLetterExchange == "" {
		c.DeadLetterExchange = sharedDLX
	}
	if c.DeadLetterKey == "" {
		c.DeadLetterKey = name
	}
	if c.DeadLetterQueue == "" {
		c.DeadLetterQueue = name + ".dlq"
	}
	if c.DeliveryLimit == 0 && c.Type == Quorum {
		c.DeliveryLimit = crashLoopLimit
	}
	if c.Overflow == "" && (c.Type == Quorum || c.MaxLength > 0 || c.MaxBytes > 0) {
		c.Overflow = RejectPublish
	}
	c.Ladder = c.Ladder.withDefaults()
	return c
}

// Work is a work queue with its dead-letter queue and its place on a ladder. Merge
// and Validate are those of its Topology.
type Work struct {
	Topology
	Queue           string
	DeadLetterQueue string
	Ladder          Ladder
}

// WorkQueue is the topology of one work queue: the queue, the dead-letter exchange
// and queue, the binding between them, the ladder and the binding to its due
// exchange, and the bindings of cfg. Whatever is wrong with cfg is reported by
// Validate of the result, and of every topology it is merged into.
func WorkQueue(name string, cfg WorkConfig) Work {
	faults := cfg.faults(name)
	c := cfg.withDefaults(name)
	t := Topology{
		Exchanges: []Exchange{c.deadLetterExchange()},
		Queues: []Queue{
			c.deadLetterQueue(),
			c.queue(name),
		},
		Ladders: []Ladder{c.Ladder},
		faults:  faults,
	}
	if !c.DeadLetterQueueExternal || !c.deadLetterExchange().External {
		t.Bindings = append(t.Bindings, Binding{Source: c.DeadLetterExchange, Destination: c.DeadLetterQueue, Key: c.DeadLetterKey})
	}
	t.Bindings = append(t.Bindings, c.Ladder.Binding(name))
	for _, b := range c.Bindings {
		b.Destination, b.ToExchange = name, false
		t.Bindings = append(t.Bindings, b)
	}
	return Work{Topology: t, Queue: name, DeadLetterQueue: c.DeadLetterQueue, Ladder: c.Ladder}
}

// queue is the work queue itself. A classic one takes no delivery limit and no
// strategy (RabbitMQ refuses them with 406).
func (c WorkConfig) queue(name string) Queue {
	q := Queue{
		Name:               name,
		Type:               c.Type,
		DeadLetterExchange: c.DeadLetterExchange,
		DeadLetterKey:      c.DeadLetterKey,
		Overflow:           c.Overflow,
		TTL:                c.TTL,
		MaxLength:          c.MaxLength,
		MaxBytes:           c.MaxBytes,
		DeliveryLimit:      c.DeliveryLimit,
		MaxPriority:        c.MaxPriority,
		SingleActive:       c.SingleActive,
		ConsumerTimeout:    c.ConsumerTimeout,
		LeaderLocator:      c.LeaderLocator,
		InitialGroupSize:   c.InitialGroupSize,
	}
	if c.Type == Quorum {
		q.DeadLetterStrategy = AtLeastOnce
		if c.Overflow == DropHead {
			q.DeadLetterStrategy = AtMostOnce
		}
	}
	return q
}

// deadLetterQueue is quorum, whatever the work queue is.
func (c WorkConfig) deadLetterQueue() Queue {
	if c.DeadLetterQueueExternal {
		return Queue{Name: c.DeadLetterQueue, External: true}
	}
	q := Queue{Name: c.DeadLetterQueue, Type: Quorum, DeliveryLimit: Unlimited}
	if c.Type == Quorum {
		q.LeaderLocator, q.InitialGroupSize = c.LeaderLocator, c.InitialGroupSize
	}
	return q
}

// deadLetterExchange is the exchange itself; the broker's own ones are only checked.
func (c WorkConfig) deadLetterExchange() Exchange {
	if c.DeadLetterExchangeExternal || isBrokers(c.DeadLetterExchange) {
		return Exchange{Name: c.DeadLetterExchange, External: true}
	}
	return Exchange{Name: c.DeadLetterExchange, Kind: amqp.ExchangeDirect}
}

// faults are those of the configuration that its topology does not show.
func (c WorkConfig) faults(name string) []Fault {
	entity := fmt.Sprintf("work queue %q", name)
	var fs []Fault
	if c.Type == Stream {
		fs = append(fs, Fault{entity, "Type is stream: an ack removes nothing from a stream, and it has no dead letters",
			"use a Queue of Type Stream, or leave Type empty"})
	}
	if c.DeliveryLimit > maxDeliveryLimit {
		fs = append(fs, Fault{entity, fmt.Sprintf("DeliveryLimit is %d", c.DeliveryLimit),
			fmt.Sprintf("set it to at most %d", maxDeliveryLimit)})
	}
	if c.DeadLetterKey != "" && c.DeadLetterKey != name && c.DeadLetterQueue == "" {
		fs = append(fs, Fault{entity,
			fmt.Sprintf("DeadLetterKey %q may be shared, and then every queue's letters go to every dead-letter queue bound by it", c.DeadLetterKey),
			"name the one DeadLetterQueue of that key, or leave the key empty"})
	}
	if c.Retry == nil {
		return fs
	}
	if longest := c.Retry.Longest(); longest > c.Ladder.Max() {
		fs = append(fs, Fault{entity,
			fmt.Sprintf("Retry waits up to %v, its ladder reaches %v", longest, c.Ladder.Max()),
			"shorten the longest delay of the policy, or give the ladder more levels"})
	}
	return fs
}

// Park says where to publish a copy for it to come back to the queue after delay:
// see [Ladder.Park]. actual is the delay it will have: not below delay, unless
// delay is beyond [Ladder.Max].
func (w Work) Park(delay time.Duration) (exchange, key string, actual time.Duration) {
	return w.Ladder.Park(w.Queue, delay)
}

// Backstop reports whether rejecting without requeue is safe: the queue is quorum,
// with a dead-letter exchange, at-least-once and reject-publish, so that the broker
// holds the message until the dead-letter queue has it. On others the broker sends
// it once and forgets it (H 6).
func (w Work) Backstop() bool {
	for _, q := range w.Queues {
		if q.Name != w.Queue {
			continue
		}
		q = q.withDefaults()
		return q.Type == Quorum && q.DeadLetterExchange != "" &&
			q.DeadLetterStrategy == AtLeastOnce && q.Overflow == RejectPublish
	}
	return false
}
