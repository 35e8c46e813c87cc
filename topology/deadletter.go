package topology

import (
	"fmt"
	"slices"
	"strings"
)

// checkAlternate follows an alternate exchange: it must be there, end, and have a
// queue.
func (g graph) checkAlternate(r *report, e Exchange) {
	if e.Alternate == "" {
		return
	}
	if !g.exists(e.Alternate) {
		r.add(e.entity(), fmt.Sprintf("its Alternate, exchange %q, is not in the topology: RabbitMQ accepts that and routes nothing to it", e.Alternate),
			"declare it, or add it as External")
		return
	}
	if g.vanishes(e.Alternate) {
		r.add(e.entity(), fmt.Sprintf("its Alternate, exchange %q, is transient or deleted by itself", e.Alternate), "clear Transient and AutoDelete of it")
	}
	seen := map[string]bool{e.Name: true}
	for next := e.Alternate; next != ""; next = g.exchanges[next].Alternate {
		if seen[next] {
			r.add(e.entity(), fmt.Sprintf("alternate exchanges lead in a circle through %q", next), "end the chain at an exchange with a queue")
			return
		}
		seen[next] = true
	}
	if to := g.route(e.Alternate, anyKey); len(to.queues) == 0 && !to.open {
		r.add(e.entity(), fmt.Sprintf("no queue is bound to its Alternate, exchange %q", e.Alternate), "bind a queue to it")
	}
}

// exists reports whether an exchange is in the topology or the broker's own.
func (g graph) exists(exchange string) bool {
	_, ok := g.exchanges[exchange]
	return ok || isBrokers(exchange) && exchange != DefaultExchange
}

// vanishes reports whether an exchange may go while the queues behind it stay.
func (g graph) vanishes(exchange string) bool {
	e := g.exchanges[exchange]
	return e.Transient || e.AutoDelete
}

// deadLetters is where dead letters of q go; key is the message's own routing key.
func (g graph) deadLetters(q Queue, key string) routed {
	if q.DeadLetterKey != "" {
		key = q.DeadLetterKey
	}
	return g.route(q.DeadLetterExchange, key)
}

// checkDeadLetters follows the dead letters of one queue by one hop: they must
// arrive in exactly one queue, which keeps them.
func (g graph) checkDeadLetters(r *report, q Queue) {
	if q.External || q.DeadLetterExchange == "" {
		return
	}
	if q.DeadLetterExchange == DefaultExchange && q.DeadLetterKey == "" {
		r.add(q.entity(), "dead letters go to the default exchange with the key they came by: back into this queue, or to any other",
			"set DeadLetterKey to the name of the dead-letter queue")
		return
	}
	if q.DeadLetterExchange != DefaultExchange && !g.exists(q.DeadLetterExchange) {
		r.add(q.entity(), fmt.Sprintf("its DeadLetterExchange %q is not in the topology: RabbitMQ accepts that and loses every dead letter (H 6)", q.DeadLetterExchange),
			"declare it, or add it as External")
		return
	}
	if g.vanishes(q.DeadLetterExchange) {
		r.add(q.entity(), fmt.Sprintf("its DeadLetterExchange %q is transient or deleted by itself, and every later dead letter with it", q.DeadLetterExchange),
			"clear Transient and AutoDelete of it")
	}
	to := g.deadLetters(q, anyKey)
	where := fmt.Sprintf("its DeadLetterExchange %q", q.DeadLetterExchange)
	if q.DeadLetterKey != "" {
		where += fmt.Sprintf(" by the key %q", q.DeadLetterKey)
	}
	if len(to.queues) == 0 && !to.open {
		r.add(q.entity(), "no queue is bound to "+where+": every dead letter would be lost, or held for ever (H 6)",
			"bind a dead-letter queue to it")
	}
	if len(to.queues) > 1 && to.exact {
		r.add(q.entity(), fmt.Sprintf("%d queues (%s) are bound to %s: each gets every dead letter (R 15)", len(to.queues), strings.Join(to.queues, ", "), where),
			"give each dead-letter queue a key of its own, or use one queue")
	}
	for _, name := range to.queues {
		g.checkLetterBox(r, q, g.queues[name])
	}
}

// checkLetterBox refuses a dead-letter queue that vanishes with its letters.
func (g graph) checkLetterBox(r *report, from, box Queue) {
	if box.Transient || box.AutoDelete || box.Exclusive || box.Expires > 0 {
		r.add(box.entity(), fmt.Sprintf("takes the dead letters of %s and is deleted by itself, they with it (H 5.4, 5.5)", from.entity()),
			"clear Transient, AutoDelete, Exclusive and Expires")
	}
	if box.Type == Stream && (box.MaxAge > 0 || box.MaxBytes > 0) {
		r.add(box.entity(), fmt.Sprintf("takes the dead letters of %s and drops them by MaxAge or MaxBytes, read or not", from.entity()),
			"clear both, or dead-letter into a quorum queue")
	}
}

// automatic reports whether q dead-letters by itself, nobody rejecting: by TTL,
// overflow or delivery limit.
func (q Queue) automatic() bool {
	limited := q.DeliveryLimit > 0 && q.DeliveryLimit < Unlimited
	return q.TTL > 0 || limited || q.bounded() && q.Overflow != RejectPublish
}

// checkRings refuses circles of dead letters in which nobody needs to reject.
// RabbitMQ drops a message, in silence, that comes back into a queue it died in
// without a reject since (H 5.6).
func (g graph) checkRings(r *report) {
	reported := make(map[string]bool)
	for _, q := range g.order {
		ring := g.ring(q.Name)
		if ring == nil {
			continue
		}
		members := slices.Sorted(slices.Values(ring))
		if id := strings.Join(members, "\x00"); !reported[id] {
			reported[id] = true
			r.add(q.entity(), fmt.Sprintf("dead letters go in a circle without a reject (%s): RabbitMQ drops the message, in silence, when it comes round (H 5.6)",
				strings.Join(append(ring, q.Name), " -> ")),
				"dead-letter into a queue that ends there, and retry by the delay ladder")
		}
	}
}

// stop is a queue and the key a message has in it.
type stop struct{ queue, key string }

// ring is a shortest circle of automatic dead letters through the queue, from it
// on; nil when there is none. The key counts: a key set at one hop is kept by later
// ones that set none.
func (g graph) ring(start string) []string {
	first := stop{start, anyKey}
	cameFrom := map[stop]stop{}
	for todo := []stop{first}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		q := g.queues[at.queue]
		if q.DeadLetterExchange == "" || !q.automatic() {
			continue
		}
		key := at.key
		if q.DeadLetterKey != "" {
			key = q.DeadLetterKey
		}
		for _, name := range g.deadLetters(q, at.key).queues {
			if name == start {
				return trace(cameFrom, first, at)
			}
			next := stop{name, key}
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = at
				todo = append(todo, next)
			}
		}
	}
	return nil
}

// trace is the way from first to last.
func trace(cameFrom map[stop]stop, first, last stop) []string {
	way := []string{last.queue}
	for at := last; at != first; {
		at = cameFrom[at]
		way = append(way, at.queue)
	}
	slices.Reverse(way)
	return way
}
