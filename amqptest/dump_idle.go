package amqptest

import (
	"fmt"
	"strings"
)

const (
	dumpNames = 20 // of those that are summed up
	dumpFew   = 5  // unused exchanges that get a line each
)

// idleGroup is what is of one sort, in one virtual host, and not in use.
type idleGroup[T any] struct {
	what    string
	names   []string
	members []T
}

// idleGroups are in the order in which they came up.
type idleGroups[T any] struct {
	byWhat map[string]*idleGroup[T]
	order  []*idleGroup[T]
}

func (g *idleGroups[T]) add(vhost, what, name string, member T) {
	if vhost != "/" {
		what += " in " + quoted(vhost)
	}
	one := g.byWhat[what]
	if one == nil {
		if g.byWhat == nil {
			g.byWhat = make(map[string]*idleGroup[T])
		}
		one = &idleGroup[T]{what: what}
		g.byWhat[what] = one
		g.order = append(g.order, one)
	}
	one.names = append(one.names, name)
	one.members = append(one.members, member)
}

// line is the group in one line: "24 classic, durable: a, b, c and 21 more".
func (g *idleGroup[T]) line() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d %s: ", len(g.names), g.what)
	for i, name := range g.names[:min(len(g.names), dumpNames)] {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(quoted(name))
	}
	if more := len(g.names) - dumpNames; more > 0 {
		fmt.Fprintf(&s, " and %d more", more)
	}
	return s.String()
}

// what is the queue's sort.
func (q *queue) what() string {
	return string(q.kind) + flags(q.durable, "durable", q.autoDelete, "auto-delete", q.owner != nil, "exclusive")
}

// idle: there is nothing in the queue, and nobody consumes it.
func (q *queue) idle() bool {
	return q.len()+q.unacked+len(q.delayed.entries)+q.heldLetters()+len(q.consumers) == 0
}

// heldLetters is how many messages at-least-once dead-lettering holds.
func (q *queue) heldLetters() int {
	if q.dead == nil {
		return 0
	}
	n, _ := q.dead.held()
	return n
}

// what is the exchange's sort.
func (x *exchange) what() string {
	return x.kind + flags(x.durable, "durable", x.autoDelete, "auto-delete", x.internal, "internal")
}

// dumpTopology shows exchanges that clients made or use, with their bindings.
// Exchanges to which nothing was published are summed up where there are many,
// and so are all queues without messages and consumers.
func (b *Broker) dumpTopology(s *strings.Builder) {
	var idle idleGroups[*queue]
	var unused idleGroups[*exchange]
	var shown []*exchange
	for _, vh := range b.vhostsInOrder() {
		for _, x := range vh.exchangesInOrder() {
			switch {
			case x.name == "" || strings.HasPrefix(x.name, "amq.") && x.in == 0 && len(x.bindings) == 0:
			case x.in == 0:
				unused.add(vh.name, x.what(), x.name, x)
			default:
				shown = append(shown, x)
			}
		}
		for _, q := range vh.queuesInOrder() {
			if q.idle() {
				idle.add(vh.name, q.what(), q.name, q)
			}
		}
	}
	var sums, queues []string
	for _, g := range unused.order {
		if len(g.members) <= dumpFew {
			shown = append(shown, g.members...)
			continue
		}
		sums = append(sums, fmt.Sprintf("%s; %d bindings", g.line(), countBindings(g.members)))
	}
	for _, g := range idle.order {
		queues = append(queues, g.line())
	}
	section(s, "exchanges to which nothing was published", sums)
	dumpExchanges(s, shown)
	section(s, "queues without messages and consumers", queues)
}

// countBindings is how many lead from the exchanges.
func countBindings(all []*exchange) (n int) {
	for _, x := range all {
		n += len(x.bindings)
	}
	return n
}

func dumpExchanges(s *strings.Builder, all []*exchange) {
	var lines, bindings []string
	for _, x := range all {
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d in\t%d out", inVHost(x.vhost.name, x.name), x.what(), x.in, x.out))
		for _, to := range x.bindings {
			info := to.info()
			line := fmt.Sprintf("%s\t-> %s %s\tkey=%s", inVHost(x.vhost.name, x.name), info.DestinationType, quoted(info.Destination), quoted(to.key))
			if len(info.Arguments) > 0 {
				line += fmt.Sprintf("\t%v", info.Arguments)
			}
			bindings = append(bindings, line)
		}
	}
	section(s, "exchanges", lines)
	section(s, "bindings", bindings)
}
