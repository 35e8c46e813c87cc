package topology

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What is External is looked at, never declared; only the bindings of the queue itself
// are.
func TestExternalLadderAndDeadLetters(t *testing.T) {
	w := WorkQueue("orders", WorkConfig{
		Ladder:                     Ladder{External: true},
		DeadLetterExchangeExternal: true,
		DeadLetterQueueExternal:    true,
		Bindings:                   []Binding{{Source: "events", Key: "order.*"}},
	})
	mustBeValid(t, w.Topology)
	if !w.Backstop() {
		t.Error("the dead-letter path is somebody else's, and as safe")
	}
	var declared []string
	checks := 0
	for _, s := range plan(w.Topology) {
		if s.check {
			checks++
			continue
		}
		declared = append(declared, s.entity)
	}
	want := []string{
		`queue "orders"`,
		`binding "hareline.v1.100ms.24.default.due" to queue "orders" by key "#.orders"`,
		`binding "events" to queue "orders" by key "order.*"`,
	}
	if !slices.Equal(declared, want) {
		t.Errorf("declares %q", declared)
	}
	const levels = 24
	if want := 2*levels + 3 + 2; checks != want { // levels, due and unclaimed; dead letters
		t.Errorf("%d checks, want %d", checks, want)
	}
}

func TestExternalDeadLetterParts(t *testing.T) {
	bound := func(cfg WorkConfig) bool {
		w := WorkQueue("orders", cfg)
		mustBeValid(t, w.Topology)
		return slices.ContainsFunc(w.Bindings, func(b Binding) bool { return b.Destination == "orders.dlq" })
	}
	if !bound(WorkConfig{DeadLetterExchangeExternal: true}) || !bound(WorkConfig{DeadLetterQueueExternal: true}) {
		t.Error("the binding between ours and theirs is not declared")
	}
	if bound(WorkConfig{DeadLetterExchange: "amq.direct", DeadLetterQueueExternal: true}) {
		t.Error("the binding between theirs is declared")
	}
}

func TestOneLadderIsNotDeclaredAndExternal(t *testing.T) {
	a, b := WorkQueue("a", WorkConfig{}), WorkQueue("b", WorkConfig{Ladder: Ladder{External: true}})
	wantOneFault(t, a.Merge(b.Topology), "is External and declared")
	mustBeValid(t, a.Merge(WorkQueue("b", WorkConfig{Ladder: Ladder{External: true, Levels: 3}}).Topology))
}

func TestWorkQueuePlacement(t *testing.T) {
	w := WorkQueue("orders", WorkConfig{LeaderLocator: Balanced, InitialGroupSize: 5})
	mustBeValid(t, w.Topology)
	for _, q := range w.Queues {
		args := q.arguments()
		if args["x-queue-leader-locator"] != "balanced" || args["x-quorum-initial-group-size"] != int64(5) {
			t.Errorf("%s: %v", q.Name, args)
		}
	}
	classic := WorkQueue("orders", WorkConfig{Type: Classic, LeaderLocator: Balanced})
	wantOneFault(t, classic.Topology, "LeaderLocator is for")
}

// An argument that is missing in the table would be checked nowhere and declared never.
func TestEveryFieldOfQueueHasItsArgument(t *testing.T) {
	fields := make(map[string]bool)
	for _, a := range typedArguments() {
		fields[a.field] = true
		if !strings.HasPrefix(a.name, "x-") || len(a.types) == 0 {
			t.Errorf("%+v", a)
		}
	}
	notArguments := []string{"Name", "Type", "Transient", "AutoDelete", "Exclusive", "External", "Arguments", "Unchecked"}
	for _, name := range fieldNames(Queue{}) {
		if fields[name] == slices.Contains(notArguments, name) {
			t.Errorf("field %s: argument %v", name, fields[name])
		}
	}
	full := Queue{Name: "q", Type: Quorum, DeadLetterExchange: "e"}
	for name, v := range full.arguments() {
		if err := (amqp.Table{name: v}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func fieldNames(v any) []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		names = append(names, f.Name)
	}
	return names
}
