package topology

import (
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Exchange is one exchange. Durable by default.
type Exchange struct {
	Name string
	// Kind is amqp.ExchangeDirect, ExchangeTopic, ExchangeFanout, ExchangeHeaders,
	// ConsistentHash, or the type of another plugin, which starts with "x-". Required,
	// unless External.
	//
	// RabbitMQ 3.10 answers a plugin type it does not have by closing the whole
	// connection (H 7): the link reconnects, and its consumers with it.
	Kind       string
	Transient  bool // gone when the broker restarts
	AutoDelete bool // gone when its last binding goes
	Internal   bool // takes messages from other exchanges only
	// Alternate is the exchange that gets what this one can route nowhere. It
	// must be in the topology (External will do), or an exchange of the broker's
	// own (amq.*): a missing one returns or loses messages without a word.
	Alternate string
	// External exchanges are declared by somebody else. Declare only checks that
	// they exist; no other field but Name is looked at. Where the user may not even
	// look (RabbitMQ 4.3 wants some right on the name for it, F 8), they are taken to
	// exist.
	External bool
	// HashHeader, ConsistentHash only, is the header whose value decides on the queue,
	// HashProperty the property: "correlation_id", "message_id" or "timestamp". At most
	// one of them; neither is the routing key.
	HashHeader, HashProperty string
	// Arguments for plugin types. An alternate exchange goes into Alternate.
	Arguments amqp.Table
}

// ConsistentHash is the type of RabbitMQ's plugin rabbitmq_consistent_hash_exchange:
// each message goes to one of the bound queues or exchanges, equal keys to the same one
// for as long as the bindings stay. The binding's Key is its weight, a whole number.
const ConsistentHash = "x-consistent-hash"

// DefaultExchange stands for RabbitMQ's default exchange (whose name is empty) in
// Queue.DeadLetterExchange: dead letters go straight to the queue that
// Queue.DeadLetterKey names.
const DefaultExchange = "amq.default"

func (e Exchange) withDefaults() Exchange {
	if e.External {
		return Exchange{Name: e.Name, External: true}
	}
	if len(e.Arguments) == 0 {
		e.Arguments = nil
	}
	return e
}

func (e Exchange) entity() string { return fmt.Sprintf("exchange %q", e.Name) }

// isBrokers reports whether name is reserved for the broker's own exchanges.
func isBrokers(name string) bool { return strings.HasPrefix(name, "amq.") }

// kind is the type of e by which it routes, also of the broker's own ones. It is
// empty where it cannot be known.
func (e Exchange) kind() string {
	switch e.Name {
	case "amq.direct":
		return amqp.ExchangeDirect
	case "amq.topic", "amq.rabbitmq.trace":
		return amqp.ExchangeTopic
	case "amq.fanout":
		return amqp.ExchangeFanout
	case "amq.headers", "amq.match":
		return amqp.ExchangeHeaders
	}
	return e.Kind
}

// arguments is the table to declare e with.
func (e Exchange) arguments() amqp.Table {
	args := plain(e.Arguments)
	if e.Alternate != "" {
		args["alternate-exchange"] = e.Alternate
	}
	if e.HashHeader != "" {
		args["hash-header"] = e.HashHeader
	}
	if e.HashProperty != "" {
		args["hash-property"] = e.HashProperty
	}
	return args
}

// declare is the call that makes the exchange, or looks for it when it is External.
func (e Exchange) declare(ch *amqp.Channel) error {
	if e.External {
		return ch.ExchangeDeclarePassive(e.Name, amqp.ExchangeDirect, true, false, false, false, nil)
	}
	return ch.ExchangeDeclare(e.Name, e.Kind, !e.Transient, e.AutoDelete, e.Internal, false, e.arguments())
}

// plain copies a table, with int widened to int64: the client cuts an int to 32
// bits without a word (H 10.3).
func plain(in amqp.Table) amqp.Table {
	out := make(amqp.Table, len(in))
	for k, v := range in {
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		out[k] = v
	}
	return out
}
