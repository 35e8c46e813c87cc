package topology

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Binding routes messages from an exchange to a queue, or to another exchange.
// Either end may exist outside the topology.
type Binding struct {
	Source      string // an exchange; the default exchange cannot be bound
	Destination string // a queue, or an exchange when ToExchange
	ToExchange  bool
	// Key is the routing key, or the pattern of a topic exchange: words apart by
	// dots, "*" for one word, "#" for any number. Fanout and headers ignore it.
	Key       string
	Arguments amqp.Table // for headers exchanges
}

func (b Binding) withDefaults() Binding {
	if len(b.Arguments) == 0 {
		b.Arguments = nil
	}
	return b
}

func (b Binding) entity() string {
	to := "queue"
	if b.ToExchange {
		to = "exchange"
	}
	return fmt.Sprintf("binding %q to %s %q by key %q", b.Source, to, b.Destination, b.Key)
}

func (b Binding) declare(ch *amqp.Channel) error {
	args := plain(b.Arguments)
	if b.ToExchange {
		return ch.ExchangeBind(b.Destination, b.Key, b.Source, false, args)
	}
	return ch.QueueBind(b.Destination, b.Key, b.Source, false, args)
}
