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
// overflow) is sent once and not confirmed (H 6).
const (
	Quorum  QueueType = "quorum"
	Classic QueueType = "classic"
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
	MaxBytes  int64 // bytes of ready bodies; 0 is unbounded
	// DeliveryLimit, quorum only, is how often a message may come back before it is
	// dead-lettered, or deleted where there is no dead-letter exchange. 0 is 100
	// with a DeadLetterExchange and Unlimited without, never RabbitMQ's own
	// default: 4.x deletes a message after 21 deliveries (H 4.4).
	DeliveryLimit int64
	MaxPriority   uint8 // classic only; 0 is no priorities
	SingleActive  bool  // x-single-active-consumer

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
	args["x-queue-type"] = string(q.Type)
	q.deadLetterArguments(args)
	setPositive(args, "x-message-ttl", q.TTL.Milliseconds())
	setPositive(args, "x-expires", q.Expires.Milliseconds())
	setPositive(args, "x-max-length", q.MaxLength)
	setPositive(args, "x-max-length-bytes", q.MaxBytes)
	setPositive(args, "x-delivery-limit", q.DeliveryLimit)
	setPositive(args, "x-max-priority", int64(q.MaxPriority))
	if q.SingleActive {
		args["x-single-active-consumer"] = true
	}
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

func (q Queue) deadLetterArguments(args amqp.Table) {
	switch q.DeadLetterExchange {
	case "":
	case DefaultExchange:
		args["x-dead-letter-exchange"] = ""
	default:
		args["x-dead-letter-exchange"] = q.DeadLetterExchange
	}
	setString(args, "x-dead-letter-routing-key", q.DeadLetterKey)
	setString(args, "x-dead-letter-strategy", string(q.DeadLetterStrategy))
	setString(args, "x-overflow", string(q.Overflow))
}

func (q Queue) entity() string { return fmt.Sprintf("queue %q", q.Name) }

func (q Queue) bounded() bool { return q.MaxLength > 0 || q.MaxBytes > 0 }

func setPositive(args amqp.Table, name string, n int64) {
	if n > 0 {
		args[name] = n
	}
}

func setString(args amqp.Table, name, s string) {
	if s != "" {
		args[name] = s
	}
}
