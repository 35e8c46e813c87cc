package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// figure is how a node looks.
type figure string

// The figures: one for each kind of entity, and one for what a topology names and
// does not hold.
const (
	figureExchange figure = "exchange"
	figureQueue    figure = "queue"
	figureLadder   figure = "ladder"
)

// node is one entity of a diagram.
type node struct {
	id     string
	figure figure
	lines  []string // the name, then what is worth knowing
	// elsewhere: declared by somebody else, or not in the topology.
	elsewhere bool
}

// line is how an edge looks.
type line uint8

const (
	routes    line = iota // a binding
	deadly                // dead letters
	otherwise             // alternate exchange
	retries               // into a ladder and back
)

// edge is one way a message may go.
type edge struct {
	from, to string // ids
	line     line
	label    string
}

// diagram is a topology as nodes and edges, before it is text of some language. Its
// order is that of the topology, so that equal topologies give equal text.
type diagram struct {
	nodes []node
	edges []edge
	ids   map[string]string // by entity
}

// draw makes the diagram of t. A ladder is one node, unless t holds it spelled out.
func draw(t Topology) *diagram {
	f := Topology{Exchanges: t.Exchanges, Queues: t.Queues, Bindings: t.Bindings}.flat()
	d := &diagram{ids: make(map[string]string)}
	for _, e := range f.Exchanges {
		d.add(e.entity(), figureExchange, e.External, e.caption())
	}
	for _, q := range f.Queues {
		d.add(q.entity(), figureQueue, q.External, q.caption())
	}
	due := d.ladders(t.Ladders)
	for _, b := range f.Bindings {
		d.binding(b, due)
	}
	for _, e := range f.Exchanges {
		if e.Alternate != "" {
			d.edge(d.exchange(e.Name), d.exchange(e.Alternate), otherwise, "unroutable")
		}
	}
	for _, q := range f.Queues {
		d.deadLetters(q)
	}
	return d
}

// add makes a node, or takes the one that is there, and returns its id.
func (d *diagram) add(entity string, f figure, elsewhere bool, lines []string) string {
	if id, ok := d.ids[entity]; ok {
		return id
	}
	id := fmt.Sprintf("%c%d", f[0], len(d.nodes)+1)
	d.ids[entity] = id
	d.nodes = append(d.nodes, node{id: id, figure: f, lines: lines, elsewhere: elsewhere})
	return id
}

func (d *diagram) edge(from, to string, l line, label string) {
	d.edges = append(d.edges, edge{from, to, l, label})
}

// exchange is the node of an exchange, made when the topology does not hold it.
func (d *diagram) exchange(name string) string {
	e := Exchange{Name: name}
	if id, ok := d.ids[e.entity()]; ok {
		return id
	}
	e.Kind = e.kind()
	e.External = !isBrokers(name)
	return d.add(e.entity(), figureExchange, true, e.caption())
}

// queue is the node of a queue, made when the topology does not hold it.
func (d *diagram) queue(name string) string {
	q := Queue{Name: name, External: true}
	return d.add(q.entity(), figureQueue, true, q.caption())
}

// ladders draws each ladder as one node, and returns the ids by the names of their
// due exchanges.
func (d *diagram) ladders(all []Ladder) map[string]string {
	due := make(map[string]string)
	for _, l := range distinct(all, ladderKey, Ladder.withDefaults) {
		l = l.withDefaults()
		reach := l.Max()
		if reach > 24*time.Hour {
			reach = reach.Truncate(time.Hour)
		}
		id := d.add(fmt.Sprintf("ladder %q %d", l.Scope, l.Levels), figureLadder, l.External,
			[]string{l.Scope, strings.Join(words("delay ladder", when(l.External, "external"), "up to "+brief(reach)), ", ")})
		due[l.Due()] = id
	}
	return due
}

// binding draws a binding; one from a ladder's due exchange is the way back from the
// ladder, and the way in is not declared but goes with it.
func (d *diagram) binding(b Binding, due map[string]string) {
	to := Queue{Name: b.Destination}.entity()
	if b.ToExchange {
		to = Exchange{Name: b.Destination}.entity()
	}
	ladder, back := due[b.Source]
	if back && !b.ToExchange && b.Key == (Ladder{}).Binding(b.Destination).Key {
		d.edge(d.queue(b.Destination), ladder, retries, "retry")
		return
	}
	from := ladder
	if !back {
		from = d.exchange(b.Source)
	}
	if _, known := d.ids[to]; !known {
		if b.ToExchange {
			d.exchange(b.Destination)
		} else {
			d.queue(b.Destination)
		}
	}
	d.edge(from, d.ids[to], routes, b.caption())
}

// deadLetters draws where the dead letters of q go.
func (d *diagram) deadLetters(q Queue) {
	switch q.DeadLetterExchange {
	case "":
	case DefaultExchange:
		if q.DeadLetterKey != "" {
			d.edge(d.queue(q.Name), d.queue(q.DeadLetterKey), deadly, "dead")
		}
	default:
		label := "dead"
		if q.DeadLetterKey != "" {
			label += ", key " + q.DeadLetterKey
		}
		d.edge(d.queue(q.Name), d.exchange(q.DeadLetterExchange), deadly, label)
	}
}

// caption is the name and what is worth knowing, each a line.
func (e Exchange) caption() []string {
	facts := words(e.Kind,
		when(e.HashHeader != "", "by header "+e.HashHeader),
		when(e.HashProperty != "", "by "+e.HashProperty),
		when(e.External, "external"),
		when(e.Internal, "internal"),
		when(e.Transient, "transient"),
		when(e.AutoDelete, "auto-delete"))
	return words(e.Name, strings.Join(facts, ", "))
}

func (q Queue) caption() []string {
	if q.External {
		return []string{q.Name, "external"}
	}
	facts := words(string(q.Type),
		when(q.Transient, "transient"),
		when(q.AutoDelete, "auto-delete"),
		when(q.Exclusive, "exclusive"),
		when(q.SingleActive, "single active consumer"),
		when(q.MaxPriority > 0, fmt.Sprintf("priorities to %d", q.MaxPriority)),
		when(q.TTL > 0, "TTL "+brief(q.TTL)),
		when(q.MaxAge > 0, "keeps "+brief(q.MaxAge)),
		when(q.Expires > 0, "expires "+brief(q.Expires)))
	bounds := words(when(q.MaxLength > 0, fmt.Sprintf("max %d messages", q.MaxLength)),
		when(q.MaxBytes > 0, fmt.Sprintf("max %d bytes", q.MaxBytes)))
	if len(bounds) > 0 {
		bounds = append(bounds, words(string(q.Overflow))...)
	}
	return words(q.Name, strings.Join(facts, ", "), strings.Join(bounds, ", "))
}

// caption is the key, and what a headers exchange looks at.
func (b Binding) caption() string {
	facts := words(b.Key)
	for _, name := range slices.Sorted(maps.Keys(b.Arguments)) {
		facts = append(facts, fmt.Sprintf("%s=%v", name, b.Arguments[name]))
	}
	return strings.Join(facts, ", ")
}

func when(is bool, word string) string {
	if is {
		return word
	}
	return ""
}

// words drops what is empty.
func words(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// brief is d with days, and without what is zero: 18d4h16m instead of 436h16m0s.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	var days string
	if d >= day {
		days = fmt.Sprintf("%dd", d/day)
		if d %= day; d == 0 {
			return days
		}
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return days + s
}
