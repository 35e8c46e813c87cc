package topology

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Validate checks the topology without a broker, and reports all faults at once as
// a *[ValidationError]; nil when there is none. What is not in the topology is taken
// to exist outside of it, except for dead-letter and alternate exchanges: of those
// RabbitMQ accepts missing ones in silence, and loses messages (H 6).
func (t Topology) Validate() error {
	r := &report{faults: slices.Clone(t.faults)}
	for _, l := range t.Ladders {
		l.check(r)
	}
	t.Ladders = oneOfEach(r, t.Ladders)
	f := t.flat()
	g := newGraph(f)
	checkTwins(r, f)
	for _, e := range f.Exchanges {
		e.check(r)
		g.checkAlternate(r, e)
	}
	for _, q := range f.Queues {
		q.check(r)
		g.checkDeadLetters(r, q)
	}
	for _, b := range f.Bindings {
		g.checkBinding(r, b)
	}
	g.checkRings(r)
	return r.err()
}

func (l Ladder) check(r *report) {
	d := l.withDefaults()
	entity := l.entity()
	if d.Levels < 1 || d.Levels > ladderLevels {
		r.add(entity, fmt.Sprintf("Levels is %d", l.Levels),
			fmt.Sprintf("set it to 1 to %d, or to 0 for %d", ladderLevels, ladderLevels))
		return
	}
	checkName(r, entity, "Scope", d.Unclaimed())
}

// oneOfEach keeps one of the ladders that are declared and External, which are refused:
// their entities would be, one by one.
func oneOfEach(r *report, all []Ladder) []Ladder {
	all = distinct(all, ladderKey, Ladder.withDefaults)
	seen := make(map[Ladder]bool)
	var kept []Ladder
	for _, l := range all {
		name := l.withDefaults()
		name.External = false
		if seen[name] {
			r.add(l.entity(), "is External and declared", "make it the same in all work queues and topologies")
			continue
		}
		seen[name] = true
		kept = append(kept, l)
	}
	return kept
}

// checkTwins refuses two definitions of one name: the second declare would be
// refused by the broker.
func checkTwins(r *report, f Topology) {
	twins(r, f.Exchanges, Exchange.entity)
	twins(r, f.Queues, Queue.entity)
}

func twins[T any](r *report, all []T, entity func(T) string) {
	seen := make(map[string]T)
	for _, one := range all {
		name := entity(one)
		if before, ok := seen[name]; ok {
			r.add(name, "is declared twice, differently: "+differences(before, one),
				"declare it once, or make both the same")
			continue
		}
		seen[name] = one
	}
}

// differences names the fields in which two values of one struct type differ.
func differences(a, b any) string {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	var names []string
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, fmt.Sprintf("%s is %v and %v", x.Type().Field(i).Name, x.Field(i), y.Field(i)))
		}
	}
	return strings.Join(names, ", ")
}

func (e Exchange) check(r *report) {
	checkName(r, e.entity(), "Name", e.Name)
	if e.Name == DefaultExchange {
		r.add(e.entity(), "stands for the default exchange, which cannot be declared", "remove it")
		return
	}
	if e.External {
		return
	}
	checkReserved(r, e.entity(), e.Name, func(own Topology) bool {
		return slices.ContainsFunc(own.Exchanges, func(o Exchange) bool {
			return reflect.DeepEqual(o.withDefaults(), e)
		})
	})
	e.checkKind(r)
	e.checkHash(r)
	e.checkArguments(r)
}

func (e Exchange) checkKind(r *report) {
	kinds := []string{amqp.ExchangeDirect, amqp.ExchangeTopic, amqp.ExchangeFanout, amqp.ExchangeHeaders, ConsistentHash}
	if slices.Contains(kinds, e.Kind) || strings.HasPrefix(e.Kind, "x-") {
		return
	}
	r.add(e.entity(), fmt.Sprintf("Kind is %q%s", e.Kind, didYouMean(e.Kind, kinds)),
		"set it to one of "+strings.Join(kinds, ", ")+", or to a plugin's type, which starts with x-")
}

// checkReserved refuses the names of the broker and of this project, except for
// what this project itself declares by them.
func checkReserved(r *report, entity, name string, ours func(own Topology) bool) {
	if isBrokers(name) {
		r.add(entity, `names starting with "amq." are the broker's own`, "choose another name, or mark it External")
	}
	if !strings.HasPrefix(name, reserved) {
		return
	}
	own := Topology{Exchanges: []Exchange{{Name: sharedDLX, Kind: amqp.ExchangeDirect}}}
	if l, ok := ladderOf(name); ok {
		own = r.ladder(l)
	}
	if !ours(own) {
		r.add(entity, `names starting with "hareline." are reserved, and this is not what they stand for`, "choose another name")
	}
}

// checkBinding looks at one binding and at what the topology knows of its ends.
func (g graph) checkBinding(r *report, b Binding) {
	entity := b.entity()
	checkName(r, entity, "Destination", b.Destination)
	if b.Source == "" || b.Source == DefaultExchange {
		r.add(entity, "the default exchange cannot be bound: every queue is, by its name", "remove the binding, or name another Source")
	} else {
		checkName(r, entity, "Source", b.Source)
	}
	if len(b.Key) > longestName {
		r.add(entity, fmt.Sprintf("Key has %d bytes, AMQP allows %d", len(b.Key), longestName), "shorten it")
	}
	_, isQueue := g.queues[b.Destination]
	_, isExchange := g.exchanges[b.Destination]
	if !b.ToExchange && isExchange && !isQueue {
		r.add(entity, "Destination is an exchange", "set ToExchange")
	}
	if b.ToExchange && isQueue && !isExchange {
		r.add(entity, "Destination is a queue", "clear ToExchange")
	}
	checkTable(r, entity, "Arguments", b.Arguments)
	g.checkMatch(r, b)
	g.checkWeight(r, b)
	g.checkBounded(r, b)
}

// checkBounded refuses a queue that can be full on a ladder it shares: while it is
// full, at-least-once dead-lettering holds up every other message of the ladder.
func (g graph) checkBounded(r *report, b Binding) {
	l, ok := ladderOf(b.Source)
	q, known := g.queues[b.Destination]
	if !ok || !known || b.Source != l.Due() || !q.bounded() || q.Overflow == DropHead {
		return
	}
	alone := !slices.ContainsFunc(g.from[b.Source], func(o Binding) bool { return o.Destination != q.Name })
	if l.Scope != q.Name || !alone {
		r.add(q.entity(), fmt.Sprintf("is bounded and shares the ladder %q: while it is full, no other queue of the ladder gets a retry", l.Scope),
			fmt.Sprintf("give it one of its own: Ladder{Scope: %q}", q.Name))
	}
}
