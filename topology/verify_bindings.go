package topology

import (
	"context"
	"fmt"
	"net/url"
)

// bindings compares the bindings of f.
func (v *verifier) bindings(ctx context.Context, f Topology) error {
	b := &bindingCheck{verifier: v, f: f, g: newGraph(f), wanted: make(map[string]bool), pairs: make(map[string]bool), told: make(map[string]bool)}
	for _, w := range f.Bindings {
		b.wanted[w.id()] = true
		b.pairs[pair(w)] = true
	}
	if err := b.destinations(ctx); err != nil {
		return err
	}
	return b.sources(ctx)
}

// bindingCheck looks at bindings from both of their ends.
type bindingCheck struct {
	*verifier
	f      Topology
	g      graph
	wanted map[string]bool // by id
	pairs  map[string]bool // of source and destination
	told   map[string]bool // undeclared ones, by id
}

// pair is the same for bindings between the same ends.
func pair(b Binding) string { return fmt.Sprintf("%q %q %v", b.Source, b.Destination, b.ToExchange) }

// end is a destination.
type end struct {
	name     string
	exchange bool
}

// destinations looks for the bindings of f where they lead to, and for others there.
func (b *bindingCheck) destinations(ctx context.Context) error {
	there := make(map[string]bool)
	seen := make(map[end]bool)
	visit := func(at end, ours bool) error {
		if seen[at] {
			return nil
		}
		seen[at] = true
		live, err := b.m.bindingsTo(ctx, at.name, at.exchange)
		for _, one := range live {
			have := one.binding()
			there[have.id()] = true
			if ours && !b.wanted[have.id()] && have.Source != "" {
				b.undeclared(one, "")
			}
		}
		return err
	}
	for _, e := range b.f.Exchanges {
		if err := visit(end{e.Name, true}, !e.External); err != nil {
			return err
		}
	}
	for _, q := range b.f.Queues {
		if err := visit(end{q.Name, false}, !q.External); err != nil {
			return err
		}
	}
	for _, w := range b.f.Bindings {
		if err := visit(end{w.Destination, w.ToExchange}, false); err != nil {
			return err
		}
		if !there[w.id()] {
			b.missing(w.entity())
		}
	}
	return nil
}

// sources looks for bindings that copy what is to arrive once: dead letters, and what
// waits on a ladder.
func (b *bindingCheck) sources(ctx context.Context) error {
	keys := make(map[string][]string) // of dead letters, by exchange
	for _, q := range b.f.Queues {
		if q.DeadLetterExchange == "" || q.DeadLetterExchange == DefaultExchange || b.ofLadder(q.DeadLetterExchange) {
			continue
		}
		key := q.DeadLetterKey
		if key == "" {
			key = anyKey
		}
		keys[q.DeadLetterExchange] = append(keys[q.DeadLetterExchange], key)
	}
	for _, e := range b.f.Exchanges {
		level := b.ofLadder(e.Name)
		if !level && keys[e.Name] == nil {
			continue
		}
		live, err := b.m.bindingsFrom(ctx, e.Name)
		if err != nil {
			return err
		}
		for _, one := range live {
			have := one.binding()
			switch {
			case b.wanted[have.id()]:
			case level:
				b.undeclared(one, "messages on the ladder are doubled, or go astray (R 5)")
			case copies(e, have, keys[e.Name]):
				b.undeclared(one, "it takes copies of dead letters (R 15)")
			}
		}
	}
	return nil
}

// ofLadder reports whether it is the exchange of a level, which only the ladder binds.
func (b *bindingCheck) ofLadder(exchange string) bool {
	l, ok := ladderOf(exchange)
	return ok && l.isLevel(exchange)
}

// copies reports whether a binding certainly takes a message with one of the keys.
func copies(e Exchange, b Binding, keys []string) bool {
	for _, key := range keys {
		if e.sure(key) && e.matches(b, key) {
			return true
		}
	}
	return false
}

func (b *bindingCheck) undeclared(one liveBinding, weaker string) {
	have := one.binding()
	if b.told[have.id()] {
		return
	}
	b.told[have.id()] = true
	f := Finding{Kind: Undeclared, Entity: have.entity(), Weaker: weaker}
	if b.pairs[pair(have)] {
		f.Kind = Leftover
	}
	letter := "q"
	if have.ToExchange {
		letter = "e"
	}
	f.Fix = fmt.Sprintf("add it to the topology, or unbind it: DELETE /api/bindings/%s/e/%s/%s/%s/%s",
		url.PathEscape(b.m.VHost), url.PathEscape(have.Source), letter, url.PathEscape(have.Destination), url.PathEscape(one.Properties))
	if l, ok := ladderOf(have.Source); ok && have.Source == l.Due() {
		f.Fix = "keep it until the ladder it comes from holds nothing for the queue; then " + f.Fix
	}
	b.r.Findings = append(b.r.Findings, f)
}
