package topology

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueType is the kind of a queue: x-queue-type.
type QueueType string

// The queue types. Quorum is the default: replicated, durable, with at-least-once
// dead-lettering. On classic queues whatever the broker itself moves (TTL,
// overflow) is sent once and not confirmed (H 6). A stream is a replicated log: its
// messages stay, read or not, until MaxAge or MaxBytes says otherwise, an ack removes
// none, and there are no dead letters; it is no work queue.
const (
	Quorum  QueueType = "quorum"
	Classic QueueType = "classic"
	Stream  QueueType = "stream"
)

// LeaderLocator is where the leader of a new queue is put: x-queue-leader-locator.
type LeaderLocator string

// ClientLocal is the node that the declaring client is connected to, RabbitMQ's
// default; Balanced the one with the fewest leaders, or any where queues are many.
const (
	ClientLocal LeaderLocator = "client-local"
	Balanced    LeaderLocator = "balanced"
)

// DelayedRetry says which messages that come back to a quorum queue wait there before
// they are delivered again: x-delayed-retry-type, from RabbitMQ 4.3 on.
type DelayedRetry string

// RetryFailed are those that count against the delivery limit (basic.reject, a lost
// channel), RetryReturned those that do not (basic.nack), RetryAll both. What does not
// count comes back without an end.
const (
	RetryFailed   DelayedRetry = "failed"
	RetryReturned DelayedRetry = "returned"
	RetryAll      DelayedRetry = "all"
)

// Overflow is what a full queue does: x-overflow.
type Overflow string

// RejectPublish refuses (nacks) the publish, DropHead drops or dead-letters the
// oldest message. RabbitMQ's reject-publish-dlx is refused: on classic it nacks
// and dead-letters, so that a repeat doubles; on quorum it drops (H 3.2).
const (
	RejectPublish Overflow = "reject-publish"
	DropHead      Overflow = "drop-head"
)

// Strategy is how a quorum queue dead-letters: x-dead-letter-strategy.
type Strategy string

// AtLeastOnce keeps a dead letter until its targets confirmed it; it needs
// RejectPublish. AtMostOnce sends it once and forgets it (H 6).
const (
	AtLeastOnce Strategy = "at-least-once"
	AtMostOnce  Strategy = "at-most-once"
)

// Unlimited as a delivery limit means never. Neither alternative does: RabbitMQ
// 4.x takes no limit as 20, and 3.10 takes -1 as none at all, dropping every
// message at its first return.
const Unlimited int64 = 1 << 30

// crashLoopLimit is the delivery limit of a queue whose dead letters have a place
// to go: well above what deploys and cut links use up (R 6), and an end for the
// message that kills its consumer.
const crashLoopLimit int64 = 100

// Queue is one queue. Quorum and durable by default.
type Queue struct {
	Name       string
	Type       QueueType // "" is Quorum
	Transient  bool      // classic only: gone when the broker restarts
	AutoDelete bool      // classic only: gone when its last consumer goes
	Exclusive  bool      // classic only: of the link's consuming connection, gone with it

	// DeadLetterExchange gets what is rejected, expired, or over the delivery
	// limit. "" is none: such messages are deleted. DefaultExchange is the default
	// exchange. It must be in the topology (External will do) or amq.*, with a
	// queue bound for the key: RabbitMQ accepts one that leads nowhere and then
	// loses every dead letter (H 6).
	DeadLetterExchange string
	DeadLetterKey      string // "" keeps the message's own routing key
	// DeadLetterStrategy, quorum only: "" is AtLeastOnce where there is a
	// DeadLetterExchange, unless Overflow is DropHead.
	DeadLetterStrategy Strategy
	// Overflow says what happens when MaxLength or MaxBytes is reached: then it
	// must be given. Without a bound "" is RejectPublish where the strategy is
	// AtLeastOnce, which needs it.
	Overflow Overflow

	// TTL is how long a message may stay, in whole milliseconds, up to ten years.
	// 0 is for ever. It counts anew for each stay in the queue.
	TTL time.Duration
	// Expires deletes the queue, and what is in it, when nobody used it that long;
	// whole milliseconds. 0 is never. Messages in it are lost, not dead-lettered
	// (H 5.4).
	Expires   time.Duration
	MaxLength int64 // ready messages; 0 is unbounded
	// MaxBytes of ready bodies; 0 is unbounded. Of a stream: how much it keeps, the
	// oldest segments beyond it are dropped, read or not.
	MaxBytes int64
	// DeliveryLimit, quorum only, is how often a message may come back before it is
	// dead-lettered, or deleted where there is no dead-letter exchange. 0 is 100
	// with a DeadLetterExchange and Unlimited without, never RabbitMQ's own
	// default: 4.x deletes a message after 21 deliveries (H 4.4).
	DeliveryLimit int64
	MaxPriority   uint8 // classic only; 0 is no priorities
	SingleActive  bool  // x-single-active-consumer; not for streams

	// ConsumerTimeout, quorum only, is how long a delivery may stay without an ack:
	// whole milliseconds; 0 is the broker's own (30 minutes). Give a consumer the same
	// one. RabbitMQ 3.10 ignores it.
	ConsumerTimeout time.Duration
	// DisconnectedTimeout, quorum only, is how long messages of a consumer on an
	// unreachable node stay with it: whole milliseconds. Before RabbitMQ 4.3 ignored.
	DisconnectedTimeout time.Duration
	// DelayedRetry, quorum only, holds what comes back for DelayedRetryMin times the
	// number of its returns, at most DelayedRetryMax (0: always the minimum); whole
	// milliseconds. Before RabbitMQ 4.3 ignored: what comes back is delivered at once
	// there. The delay ladder works on all, and counts.
	DelayedRetry                     DelayedRetry
	DelayedRetryMin, DelayedRetryMax time.Duration

	// LeaderLocator, quorum and stream, places the leader; "" is the broker's default.
	LeaderLocator LeaderLocator
	// InitialGroupSize, quorum and stream, is on how many nodes a new queue is; 0 is
	// the broker's default: 3 for quorum queues, all for streams.
	InitialGroupSize int

	// MaxAge, streams only, is how long messages are kept, in whole seconds; 0 is for
	// ever. Like MaxBytes it works on whole segments, and never on the newest.
	MaxAge time.Duration
	// SegmentBytes, streams only, is the size of a segment: up to 3 GB; 0 is 500 MB.
	SegmentBytes int64
	// FilterBytes, streams only, is the size of a segment's filter: 16 to 255; 0 is
	// 16. RabbitMQ 3.10 ignores it.
	FilterBytes int64

	// External queues are declared by somebody else: see Exchange.External.
	External bool
	// Arguments are further arguments, by their names on the wire. Those with a
	// field of their own, and those RabbitMQ does not know and would ignore, are
	// refused.
	Arguments amqp.Table
	// Unchecked arguments are passed on without that check: for plugins and for
	// brokers newer than this release. A broker that does not know one ignores it.
	Unchecked amqp.Table
}

// withDefaults fills in what the zero values stand for. It never looks at the
// broker: arguments are immutable, so a set chosen by the server's version would
// be refused after an upgrade (R 23).
func (q Queue) withDefaults() Queue {
	if q.External {
		return Queue{Name: q.Name, External: true}
	}
	if q.Type == "" {
		q.Type = Quorum
	}
	if len(q.Arguments) == 0 {
		q.Arguments = nil
	}
	if len(q.Unchecked) == 0 {
		q.Unchecked = nil
	}
	if q.Type != Quorum {
		return q
	}
	if q.DeliveryLimit == 0 {
		q.DeliveryLimit = Unlimited
		if q.DeadLetterExchange != "" {
			q.DeliveryLimit = crashLoopLimit
		}
	}
	if q.DeadLetterExchange != "" && q.DeadLetterStrategy == "" && q.Overflow != DropHead {
		q.DeadLetterStrategy = AtLeastOnce
	}
	if q.DeadLetterStrategy == AtLeastOnce && q.Overflow == "" && !q.bounded() {
		q.Overflow = RejectPublish
	}
	return q
}

// arguments is the table to declare q with.
func (q Queue) arguments() amqp.Table {
	q = q.withDefaults()
	args := plain(q.Arguments)
	for k, v := range plain(q.Unchecked) {
		args[k] = v
	}
	q.setArguments(args)
	return args
}

// declare is the call that makes the queue, or looks for it when it is External.
func (q Queue) declare(ch *amqp.Channel) error {
	if q.External {
		_, err := ch.QueueDeclarePassive(q.Name, true, false, false, false, nil)
		return err
	}
	_, err := ch.QueueDeclare(q.Name, !q.Transient, q.AutoDelete, q.Exclusive, false, q.arguments())
	return err
}

func (q Queue) entity() string { return fmt.Sprintf("queue %q", q.Name) }

// bounded reports whether q can be full. A stream never is: it drops its oldest.
func (q Queue) bounded() bool { return q.Type != Stream && (q.MaxLength > 0 || q.MaxBytes > 0) }
