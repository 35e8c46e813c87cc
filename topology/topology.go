package topology

import "reflect"

// Topology is a set of exchanges, queues, bindings and delay ladders. The zero
// value is empty and valid. Values are plain data: safe to copy and to read from
// many goroutines; Merge never changes its operands.
type Topology struct {
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
	// Ladders are the delay ladders that messages are parked on. Each stands for
	// all of its exchanges, queues and bindings (see [Ladder.Topology]).
	Ladders []Ladder

	// faults were found while the value was built (by WorkQueue), where there is
	// no error to return; Validate reports them with its own.
	faults []Fault
}

// Merge returns the union of t and others. Equal entities are kept once, in the
// order of first appearance. Two different definitions of one name are both
// kept, and refused by [Topology.Validate].
func (t Topology) Merge(others ...Topology) Topology {
	var sum Topology
	for _, o := range append([]Topology{t}, others...) {
		sum.Exchanges = append(sum.Exchanges, o.Exchanges...)
		sum.Queues = append(sum.Queues, o.Queues...)
		sum.Bindings = append(sum.Bindings, o.Bindings...)
		sum.Ladders = append(sum.Ladders, o.Ladders...)
		sum.faults = append(sum.faults, o.faults...)
	}
	sum.Exchanges = distinct(sum.Exchanges, exchangeKey, Exchange.withDefaults)
	sum.Queues = distinct(sum.Queues, queueKey, Queue.withDefaults)
	sum.Bindings = distinct(sum.Bindings, bindingKey, Binding.withDefaults)
	sum.Ladders = distinct(sum.Ladders, ladderKey, Ladder.withDefaults)
	sum.faults = distinct(sum.faults, Fault.Error, func(f Fault) Fault { return f })
	return sum
}

func exchangeKey(e Exchange) string { return e.Name }
func queueKey(q Queue) string       { return q.Name }
func bindingKey(b Binding) string   { return b.entity() }
func ladderKey(l Ladder) string     { return l.withDefaults().Scope }

// distinct drops later equals: those with the same key that are equal with their
// defaults filled in.
func distinct[T any](all []T, key func(T) string, norm func(T) T) []T {
	seen := make(map[string][]T)
	var kept []T
next:
	for _, one := range all {
		k, n := key(one), norm(one)
		for _, before := range seen[k] {
			if reflect.DeepEqual(before, n) {
				continue next
			}
		}
		seen[k] = append(seen[k], n)
		kept = append(kept, one)
	}
	return kept
}

// flat is t with its ladders replaced by what they are made of, equal entities
// once, and every default filled in: what Validate looks at and Declare declares.
func (t Topology) flat() Topology {
	parts := []Topology{{Exchanges: t.Exchanges, Queues: t.Queues, Bindings: t.Bindings}}
	for _, l := range t.Ladders {
		parts = append(parts, l.Topology())
	}
	f := Topology{}.Merge(parts...)
	for i := range f.Exchanges {
		f.Exchanges[i] = f.Exchanges[i].withDefaults()
	}
	for i := range f.Queues {
		f.Queues[i] = f.Queues[i].withDefaults()
	}
	for i := range f.Bindings {
		f.Bindings[i] = f.Bindings[i].withDefaults()
	}
	return f
}
