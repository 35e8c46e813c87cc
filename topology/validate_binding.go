package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// greatestWeight is the most that RabbitMQ 4.3 takes; before, a weight was only paid
// for in memory.
const greatestWeight = 10_000

// checkMatch looks at what a headers exchange matches by.
func (g graph) checkMatch(r *report, b Binding) {
	entity := b.entity()
	match, given := b.Arguments["x-match"]
	if given && !slices.Contains([]any{"all", "any", "all-with-x", "any-with-x"}, match) {
		r.add(entity, fmt.Sprintf("x-match is %v", match), "set it to all, any, all-with-x or any-with-x")
		return
	}
	e := g.exchanges[b.Source]
	e.Name = b.Source
	kind := e.kind()
	if kind != amqp.ExchangeHeaders {
		routing := []string{amqp.ExchangeDirect, amqp.ExchangeTopic, amqp.ExchangeFanout}
		if given && slices.Contains(routing, kind) {
			r.add(entity, fmt.Sprintf("x-match means nothing to a %s exchange: it routes by the Key alone, and every message of it comes through", kind),
				"make the Source a headers exchange, or remove x-match")
		}
		return
	}
	withX := match == "all-with-x" || match == "any-with-x"
	compared := 0
	for name := range b.Arguments {
		switch {
		case name == "x-match":
		case strings.HasPrefix(name, "x-") && !withX:
			r.add(entity, fmt.Sprintf("RabbitMQ compares no header that starts with x-, such as %s", name),
				"set x-match to all-with-x or any-with-x, or choose another name")
		default:
			compared++
		}
	}
	if compared == 0 && (match == "any" || match == "any-with-x") {
		r.add(entity, "x-match is any, and there is no header to compare: nothing comes through", "add the headers to Arguments")
	}
}

// checkWeight looks at the weights of an x-consistent-hash exchange.
func (g graph) checkWeight(r *report, b Binding) {
	if g.exchanges[b.Source].Kind != ConsistentHash {
		return
	}
	if n, err := strconv.Atoi(b.Key); err != nil || n < 1 || n > greatestWeight {
		r.add(b.entity(), fmt.Sprintf("Key %q is the weight here: RabbitMQ refuses it", b.Key),
			fmt.Sprintf("set it to a whole number from 1 to %d", greatestWeight))
	}
	for _, o := range g.from[b.Source] {
		if o.Destination == b.Destination && o.ToExchange == b.ToExchange && o.entity() < b.entity() {
			r.add(b.entity(), "the destination is bound twice, and only the weight of the first binding counts", "bind it once")
			return
		}
	}
}

// checkHash looks at the fields of x-consistent-hash.
func (e Exchange) checkHash(r *report) {
	if e.Kind != ConsistentHash {
		if e.HashHeader != "" || e.HashProperty != "" {
			r.add(e.entity(), "HashHeader and HashProperty are for exchanges of kind "+ConsistentHash, "clear both, or set Kind to ConsistentHash")
		}
		return
	}
	if e.HashHeader != "" && e.HashProperty != "" {
		r.add(e.entity(), "HashHeader and HashProperty exclude each other: RabbitMQ refuses both", "clear one")
	}
	properties := []string{"correlation_id", "message_id", "timestamp"}
	if e.HashProperty != "" && !slices.Contains(properties, e.HashProperty) {
		r.add(e.entity(), fmt.Sprintf("HashProperty is %q%s", e.HashProperty, didYouMean(e.HashProperty, properties)), "set it to one of "+strings.Join(properties, ", "))
	}
}
