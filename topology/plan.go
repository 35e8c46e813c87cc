package topology

import (
	"context"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

// step is one call of a declaration.
type step struct {
	entity string
	// check is for what is declared elsewhere: the call only looks whether it is
	// there.
	check bool
	needs []right
	call  func(ch *amqp.Channel) error
	// compare says how what exists differs; nil where nothing can.
	compare func(ctx context.Context, m Management) ([]difference, error)
}

// plan is the order to declare t in. It holds that a message can go astray at no
// instant, a crash at any step included: ladders first; an exchange after its
// alternate, a queue after its dead-letter exchange, either with what is bound to
// it; all other bindings last, because they are what starts the flow.
func plan(t Topology) []step {
	var steps []step
	for _, l := range t.Ladders {
		steps = append(steps, planOne(l.Topology().flat())...)
	}
	t.Ladders = nil
	return append(steps, planOne(t.flat())...)
}

func planOne(f Topology) []step {
	p := &planner{
		graph: newGraph(f),
		all:   f.Bindings,
		bound: make([]bool, len(f.Bindings)),
		begun: make(map[string]bool),
		done:  make(map[string]bool),
	}
	for _, e := range f.Exchanges {
		p.exchange(e.Name)
	}
	for _, q := range f.Queues {
		p.queue(q.Name)
	}
	for i := range f.Bindings {
		p.binding(i)
	}
	return p.steps
}

// planner walks the dependencies depth first. begun ends circles (dead letters may
// come back after a reject); done is what is in steps, and bound which of all
// bindings are.
type planner struct {
	graph
	all         []Binding
	bound       []bool
	begun, done map[string]bool
	steps       []step
}

func (p *planner) add(s step) {
	p.done[s.entity] = true
	p.steps = append(p.steps, s)
}

func (p *planner) begin(entity string) bool {
	first := !p.begun[entity]
	p.begun[entity] = true
	return first
}

func (p *planner) exchange(name string) {
	e, ok := p.exchanges[name]
	if !ok || !p.begin(e.entity()) {
		return
	}
	if e.Alternate != "" {
		p.exchange(e.Alternate)
		p.bindings(e.Alternate)
	}
	p.add(step{e.entity(), e.External, e.needs(), e.declare, e.compare})
}

func (p *planner) queue(name string) {
	q, ok := p.queues[name]
	if !ok || !p.begin(q.entity()) {
		return
	}
	switch q.DeadLetterExchange {
	case "":
	case DefaultExchange:
		p.queue(q.DeadLetterKey)
	default:
		p.exchange(q.DeadLetterExchange)
		p.bindings(q.DeadLetterExchange)
	}
	p.add(step{q.entity(), q.External, q.needs(), q.declare, q.compare})
}

// bindings plans what is bound to an exchange, through other exchanges too; seen are
// those on the way here.
func (p *planner) bindings(source string, seen ...string) {
	if slices.Contains(seen, source) {
		return
	}
	for i, b := range p.all {
		if b.Source != source {
			continue
		}
		p.binding(i)
		if b.ToExchange {
			p.bindings(b.Destination, append(seen, source)...)
		}
	}
}

// binding plans one binding, unless an end of it is only begun: then it waits for
// the last round.
func (p *planner) binding(i int) {
	b := p.all[i]
	p.exchange(b.Source)
	to := Queue{Name: b.Destination}.entity()
	if b.ToExchange {
		to = Exchange{Name: b.Destination}.entity()
		p.exchange(b.Destination)
	} else {
		p.queue(b.Destination)
	}
	if p.bound[i] || p.waiting(to) || p.waiting(Exchange{Name: b.Source}.entity()) {
		return
	}
	p.bound[i] = true
	p.add(step{entity: b.entity(), needs: b.needs(), call: b.declare})
}

// waiting reports whether an entity of this topology is not yet declared.
func (p *planner) waiting(entity string) bool { return p.begun[entity] && !p.done[entity] }
