package topology

import (
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// graph is a topology, its ladders expanded, ready for routing.
type graph struct {
	order     []Queue // as declared
	exchanges map[string]Exchange
	queues    map[string]Queue
	from      map[string][]Binding // by source
}

func newGraph(f Topology) graph {
	g := graph{
		order:     f.Queues,
		exchanges: make(map[string]Exchange),
		queues:    make(map[string]Queue),
		from:      make(map[string][]Binding),
	}
	for _, e := range f.Exchanges {
		g.exchanges[e.Name] = e
	}
	for _, q := range f.Queues {
		g.queues[q.Name] = q
	}
	for _, b := range f.Bindings {
		g.from[b.Source] = append(g.from[b.Source], b)
	}
	return g
}

// anyKey is a routing key that is not known: it may match every binding. A NUL
// cannot be part of a name in a topology file.
const anyKey = "\x00any"

// routed is where a message may go.
type routed struct {
	queues []string // in order of discovery, each once
	// open: it may also leave the topology, through an exchange whose bindings are
	// declared elsewhere.
	open bool
	// exact: it goes to all of queues; else perhaps to some only, because the key
	// or the way an exchange matches is not known.
	exact bool
}

// route follows a message through exchanges, bindings between exchanges, and
// alternate exchanges.
func (g graph) route(exchange, key string) routed {
	r := routed{exact: true}
	if exchange == DefaultExchange {
		r.exact = key != anyKey
		if _, ok := g.queues[key]; ok {
			r.queues = []string{key}
		}
		return r
	}
	seen := map[string]bool{exchange: true}
	for todo := []string{exchange}; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		for _, next := range g.step(name, key, &r) {
			if !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return r
}

// step routes at one exchange: queues go into r, the exchanges to go on with are
// returned.
func (g graph) step(name, key string, r *routed) (next []string) {
	e, declared := g.exchanges[name]
	if !declared || e.External {
		e.Name = name
		r.open = true
	}
	sure := e.sure(key)
	matched := false
	for _, b := range g.from[name] {
		if !e.matches(b, key) {
			continue
		}
		matched = true
		if b.ToExchange {
			next = append(next, b.Destination)
		} else if !slices.Contains(r.queues, b.Destination) {
			r.queues = append(r.queues, b.Destination)
		}
	}
	r.exact = r.exact && sure
	if e.Alternate != "" && (!matched || !sure) {
		next = append(next, e.Alternate)
	}
	return next
}

// sure reports whether matches tells for certain.
func (e Exchange) sure(key string) bool {
	switch e.kind() {
	case amqp.ExchangeFanout:
		return true
	case amqp.ExchangeDirect, amqp.ExchangeTopic:
		return key != anyKey
	}
	return false
}

// matches reports whether e passes a message with this key on through b; it is true
// where that cannot be known.
func (e Exchange) matches(b Binding, key string) bool {
	if !e.sure(key) {
		return true
	}
	switch e.kind() {
	case amqp.ExchangeDirect:
		return b.Key == key
	case amqp.ExchangeTopic:
		return topicMatch(strings.Split(b.Key, "."), strings.Split(key, "."))
	}
	return true
}

// topicMatch matches words against a pattern: "*" is one word, "#" any number. One
// row of a table instead of recursion: "#.#.#" must not take for ever.
func topicMatch(pattern, words []string) bool {
	row := make([]bool, len(words)+1) // row[j]: the pattern so far matches words[:j]
	row[0] = true
	for _, p := range pattern {
		diagonal := row[0]
		row[0] = p == "#" && row[0]
		for j, w := range words {
			above := row[j+1]
			if p == "#" {
				row[j+1] = above || row[j]
			} else {
				row[j+1] = diagonal && (p == "*" || p == w)
			}
			diagonal = above
		}
	}
	return row[len(words)]
}
