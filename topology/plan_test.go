package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// spelled tells each step of a plan with what it declares.
func spelled(steps []step, t Topology) []string {
	var lines []string
	for _, s := range steps {
		line := s.entity
		for _, e := range t.Exchanges {
			if e.entity() == s.entity {
				line += fmt.Sprintf(" %s %s %v", e.Kind, durable(e.Transient), e.arguments())
			}
		}
		for _, q := range t.Queues {
			if q.entity() == s.entity {
				line += fmt.Sprintf(" %s %v", durable(q.Transient), q.arguments())
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func durable(transient bool) string {
	if transient {
		return "transient"
	}
	return "durable"
}

func entities(steps []step) []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.entity
	}
	return names
}

func TestPlanOfAWorkQueue(t *testing.T) {
	orders := WorkQueue("orders", WorkConfig{Bindings: []Binding{{Source: "events", Key: "order.*"}}})
	top := Topology{
		Exchanges: []Exchange{
			{Name: "events", Kind: "topic", Alternate: "strays"},
			{Name: "strays", Kind: "fanout"},
		},
		Queues:   []Queue{{Name: "strays"}},
		Bindings: []Binding{{Source: "strays", Destination: "strays"}},
	}.Merge(orders.Topology)
	mustBeValid(t, top)
	got := entities(plan(top))
	ladder := len(plan(Topology{Ladders: top.Ladders}))
	want := []string{
		`exchange "strays"`,
		`queue "strays"`,
		`binding "strays" to queue "strays" by key ""`,
		`exchange "events"`,
		`exchange "hareline.dlx"`,
		`queue "orders.dlq"`,
		`binding "hareline.dlx" to queue "orders.dlq" by key "orders"`,
		`queue "orders"`,
		`binding "hareline.v1.100ms.24.default.due" to queue "orders" by key "#.orders"`,
		`binding "events" to queue "orders" by key "order.*"`,
	}
	if !slices.Equal(got[ladder:], want) {
		t.Errorf("after the ladder:\n%s\nwant\n%s", strings.Join(got[ladder:], "\n"), strings.Join(want, "\n"))
	}
	if got[0] != `exchange "hareline.v1.100ms.24.default.unclaimed"` {
		t.Errorf("starts with %s, want the ladder", got[0])
	}
}

// Any topology: each entity once, no binding before its ends, nothing left out.
func TestPlanHoldsTheOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		top := anyTopology(rt)
		f := top.flat()
		at := make(map[string]int)
		for i, s := range plan(top) {
			if _, twice := at[s.entity]; twice {
				rt.Fatalf("%s is planned twice", s.entity)
			}
			at[s.entity] = i
		}
		if len(at) != len(f.Exchanges)+len(f.Queues)+len(f.Bindings) {
			rt.Fatalf("%d steps for %+v", len(at), f)
		}
		for _, b := range f.Bindings {
			to := Queue{Name: b.Destination}.entity()
			if b.ToExchange {
				to = Exchange{Name: b.Destination}.entity()
			}
			if at[b.entity()] < at[to] || at[b.entity()] < at[Exchange{Name: b.Source}.entity()] {
				rt.Fatalf("%s comes before one of its ends", b.entity())
			}
		}
		if top.Validate() == nil {
			checkDeadLettersFirst(rt, f, at)
		}
	})
}

// checkDeadLettersFirst: where no dead letter comes back, the exchange, the bindings
// and the queues behind it are there before the queue.
func checkDeadLettersFirst(t tester, f Topology, at map[string]int) {
	t.Helper()
	for _, q := range f.Queues {
		for _, b := range f.Bindings {
			if q.DeadLetterExchange != b.Source || q.DeadLetterExchange == "" || comesBack(f, q.Name, q.Name, nil) {
				continue
			}
			if at[q.entity()] < at[b.entity()] {
				t.Fatalf("%s is declared before %s", q.entity(), b.entity())
			}
		}
	}
}

// comesBack follows dead letters by every binding, whatever its key.
func comesBack(f Topology, start, at string, seen []string) bool {
	for _, q := range f.Queues {
		if q.Name != at || q.DeadLetterExchange == "" {
			continue
		}
		behind := reach(f, q.DeadLetterExchange, nil)
		for _, b := range f.Bindings {
			if b.ToExchange || !slices.Contains(behind, b.Source) || slices.Contains(seen, b.Destination) {
				continue
			}
			if b.Destination == start || comesBack(f, start, b.Destination, append(seen, b.Destination)) {
				return true
			}
		}
	}
	return false
}

// reach are the exchanges a message may pass from one on.
func reach(f Topology, exchange string, seen []string) []string {
	if exchange == "" || slices.Contains(seen, exchange) {
		return seen
	}
	seen = append(seen, exchange)
	for _, e := range f.Exchanges {
		if e.Name == exchange {
			seen = reach(f, e.Alternate, seen)
		}
	}
	for _, b := range f.Bindings {
		if b.ToExchange && b.Source == exchange {
			seen = reach(f, b.Destination, seen)
		}
	}
	return seen
}

// anyTopology draws a small topology, valid or not: a few names, so that they meet.
func anyTopology(rt *rapid.T) Topology {
	var top Topology
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	for _, n := range rapid.SliceOfDistinct(name, rapid.ID).Draw(rt, "exchanges") {
		top.Exchanges = append(top.Exchanges, Exchange{Name: n,
			Kind:      rapid.SampledFrom([]string{amqp.ExchangeDirect, amqp.ExchangeTopic, amqp.ExchangeFanout}).Draw(rt, "kind"),
			Alternate: rapid.SampledFrom([]string{"", "", "", "a", "b"}).Draw(rt, "alternate")})
	}
	for _, n := range rapid.SliceOfDistinct(name, rapid.ID).Draw(rt, "queues") {
		q := Queue{Name: n, TTL: time.Duration(rapid.IntRange(0, 1).Draw(rt, "ttl")) * time.Second,
			Type: rapid.SampledFrom([]QueueType{"", Classic}).Draw(rt, "type")}
		q.DeadLetterExchange = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "dlx")
		top.Queues = append(top.Queues, q)
	}
	for range rapid.IntRange(0, 5).Draw(rt, "bindings") {
		top.Bindings = append(top.Bindings, Binding{
			Source: name.Draw(rt, "source"), Destination: name.Draw(rt, "destination"), Key: name.Draw(rt, "key"),
			ToExchange: rapid.IntRange(0, 3).Draw(rt, "to exchange") == 0})
	}
	top.Bindings = Topology{Bindings: top.Bindings}.Merge().Bindings
	return top
}

func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b, c := anyTopology(rt), anyTopology(rt), anyTopology(rt)
		if got, want := fmt.Sprint(a.Merge(a)), fmt.Sprint(a.Merge()); got != want {
			rt.Fatalf("merged with itself:\n%s\n%s", got, want)
		}
		if got, want := fmt.Sprint(a.Merge(b).Merge(c)), fmt.Sprint(a.Merge(b.Merge(c))); got != want {
			rt.Fatalf("not associative:\n%s\n%s", got, want)
		}
		if got, want := fmt.Sprint(a.Merge(b, c)), fmt.Sprint(a.Merge(b).Merge(c)); got != want {
			rt.Fatalf("all at once is not one by one:\n%s\n%s", got, want)
		}
		before := fmt.Sprint(a)
		sum := a.Merge(b)
		for i := range sum.Queues {
			sum.Queues[i].Name = "changed"
		}
		if fmt.Sprint(a) != before {
			rt.Fatal("Merge shares memory with its operand")
		}
	})
}

func TestQueueArguments(t *testing.T) {
	for name, c := range map[string]struct {
		q    Queue
		want amqp.Table
	}{
		"zero": {Queue{}, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": Unlimited}},
		"classic": {Queue{Type: Classic, MaxPriority: 9, SingleActive: true, Expires: time.Minute},
			amqp.Table{"x-queue-type": "classic", "x-max-priority": int64(9), "x-single-active-consumer": true, "x-expires": int64(60000)}},
		"dead letters": {Queue{DeadLetterExchange: "dlx", TTL: time.Second},
			amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(100), "x-dead-letter-exchange": "dlx",
				"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-message-ttl": int64(1000)}},
		"to the default exchange": {Queue{Type: Classic}.to("box"),
			amqp.Table{"x-queue-type": "classic", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "box"}},
		"at most once": {Queue{DeadLetterExchange: "dlx", Overflow: DropHead, MaxLength: 3, MaxBytes: 4, DeliveryLimit: 7},
			amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(7), "x-dead-letter-exchange": "dlx",
				"x-overflow": "drop-head", "x-max-length": int64(3), "x-max-length-bytes": int64(4)}},
		"raw": {Queue{Arguments: amqp.Table{"x-quorum-initial-group-size": 3}, Unchecked: amqp.Table{"x-foo": "bar"}},
			amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": Unlimited, "x-quorum-initial-group-size": int64(3), "x-foo": "bar"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.q.arguments(); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}
