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

// to makes a queue that dead-letters straight into another.
func (q Queue) to(name string) Queue {
	q.DeadLetterExchange, q.DeadLetterKey = DefaultExchange, name
	return q
}

// rejecting is a queue that dead-letters nothing by itself.
func rejecting(name string) Queue { return Queue{Name: name, Type: Classic} }

func waiting(name string) Queue { return Queue{Name: name, TTL: time.Second, DeliveryLimit: Unlimited} }

func TestRings(t *testing.T) {
	direct := func(name string) Exchange { return Exchange{Name: name, Kind: amqp.ExchangeDirect} }
	for name, c := range map[string]struct {
		t    Topology
		ring string // "" is none
	}{
		"TTL into itself":        {queues(waiting("w").to("w")), "w -> w"},
		"TTL, TTL":               {queues(waiting("w").to("r"), waiting("r").to("w")), "w -> r -> w"},
		"limit, TTL":             {queues(Queue{Name: "w", DeliveryLimit: 3}.to("r"), waiting("r").to("w")), "w -> r -> w"},
		"default limit, TTL":     {queues(Queue{Name: "w"}.to("r"), waiting("r").to("w")), "w -> r -> w"},
		"dropped head, TTL":      {queues(Queue{Name: "w", Type: Classic, MaxLength: 5, Overflow: DropHead}.to("r"), waiting("r").to("w")), "w -> r -> w"},
		"classic with TTL":       {queues(Queue{Name: "w", Type: Classic, TTL: time.Second}.to("r"), waiting("r").to("w")), "w -> r -> w"},
		"three":                  {queues(waiting("a").to("b"), waiting("b").to("c"), waiting("c").to("a")), "a -> b -> c -> a"},
		"reject, TTL":            {queues(rejecting("w").to("r"), waiting("r").to("w")), ""},
		"unlimited, TTL":         {queues(Queue{Name: "w", DeliveryLimit: Unlimited}.to("r"), waiting("r").to("w")), ""},
		"into a box":             {queues(waiting("w").to("box"), Queue{Name: "box"}), ""},
		"a lead into a ring":     {queues(waiting("lead").to("w"), waiting("w").to("w")), "w -> w"},
		"key kept through a hop": {keptKey("back"), "w -> r -> w"},
		"by a publisher's key":   {keptKey("other"), "r -> w -> r"}, // one that publishes "back" to the retry queue
		"exchange to exchange": {Topology{
			Exchanges: []Exchange{direct("x"), direct("y")},
			Queues:    []Queue{{Name: "w", TTL: time.Second, DeadLetterExchange: "x", DeadLetterKey: "k"}},
			Bindings:  []Binding{{Source: "x", Destination: "y", ToExchange: true, Key: "k"}, {Source: "y", Destination: "w", Key: "k"}},
		}, "w -> w"},
		"alternate": {Topology{
			Exchanges: []Exchange{{Name: "x", Kind: amqp.ExchangeDirect, Alternate: "y"}, {Name: "y", Kind: amqp.ExchangeFanout}},
			Queues:    []Queue{{Name: "w", TTL: time.Second, DeadLetterExchange: "x", DeadLetterKey: "k"}},
			Bindings:  []Binding{{Source: "x", Destination: "box", Key: "l"}, {Source: "y", Destination: "w"}},
		}, "w -> w"},
		"topic": {Topology{
			Exchanges: []Exchange{{Name: "x", Kind: amqp.ExchangeTopic}},
			Queues:    []Queue{{Name: "w", TTL: time.Second, DeadLetterExchange: "x", DeadLetterKey: "a.b"}},
			Bindings:  []Binding{{Source: "x", Destination: "w", Key: "#.b"}},
		}, "w -> w"},
		"broker's fanout": {Topology{
			Queues:   []Queue{{Name: "w", TTL: time.Second, DeadLetterExchange: "amq.fanout"}},
			Bindings: []Binding{{Source: "amq.fanout", Destination: "w"}},
		}, "w -> w"},
		"headers may": {Topology{
			Exchanges: []Exchange{{Name: "x", Kind: amqp.ExchangeHeaders}},
			Queues:    []Queue{{Name: "w", TTL: time.Second, DeadLetterExchange: "x", DeadLetterKey: "a"}},
			Bindings:  []Binding{{Source: "x", Destination: "w", Arguments: amqp.Table{"a": "b"}}},
		}, "w -> w"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ring == "" {
				mustBeValid(t, c.t)
				return
			}
			wantOneFault(t, c.t, "("+c.ring+")")
		})
	}
}

// keptKey is a retry ring of two exchanges, in which the retry queue sets no key of
// its own; so the work queue's decides where the way back leads.
func keptKey(bound string) Topology {
	return Topology{
		Exchanges: []Exchange{{Name: "out", Kind: amqp.ExchangeFanout}, {Name: "in", Kind: amqp.ExchangeDirect}},
		Queues: []Queue{
			{Name: "w", DeadLetterExchange: "out", DeadLetterKey: bound},
			{Name: "r", TTL: time.Second, DeliveryLimit: Unlimited, DeadLetterExchange: "in"},
			{Name: "elsewhere"},
		},
		Bindings: []Binding{
			{Source: "out", Destination: "r"},
			{Source: "in", Destination: "w", Key: "back"},
			{Source: "in", Destination: "elsewhere", Key: "other"},
		},
	}
}

// The validator against the broker's rule, played through: a message dies by itself
// from queue to queue, and is dropped when it comes where it was.
func TestRingsAgreeWithTheBrokersRule(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "queues")
		var top Topology
		next := make([]int, n) // -1: ends here
		dies := make([]bool, n)
		for i := range n {
			next[i] = rapid.IntRange(-1, n-1).Draw(rt, "next")
			dies[i] = rapid.Bool().Draw(rt, "dies by itself")
			q := rejecting(fmt.Sprint(i))
			if dies[i] {
				q.TTL = time.Second
			}
			if next[i] >= 0 {
				q = q.to(fmt.Sprint(next[i]))
			}
			top.Queues = append(top.Queues, q)
		}
		dropped := false
		for i := range n {
			seen := map[int]bool{}
			for at := i; at >= 0 && dies[at] && !dropped; at = next[at] {
				dropped = seen[at]
				seen[at] = true
			}
		}
		refused := slices.ContainsFunc(faultsOf(rt, top), func(f Fault) bool { return strings.Contains(f.Problem, "circle") })
		if refused != dropped {
			rt.Fatalf("refused %v, dropped %v: %+v", refused, dropped, top.Queues)
		}
	})
}

func TestDeadLettersMustArriveOnce(t *testing.T) {
	q := func(exchange, key string) Queue {
		return Queue{Name: "q", DeadLetterExchange: exchange, DeadLetterKey: key}
	}
	two := withBox(q("dlx", "dead"), Queue{Name: "box2"})
	two.Bindings = append(two.Bindings, Binding{Source: "dlx", Destination: "box2", Key: "dead"})
	fanout := withBox(q("fan", ""))
	fanout.Exchanges = append(fanout.Exchanges, Exchange{Name: "fan", Kind: amqp.ExchangeFanout})
	fanout.Bindings = append(fanout.Bindings, Binding{Source: "fan", Destination: "box"}, Binding{Source: "fan", Destination: "box2"})
	transient := withBox(q("dlx", "dead"))
	transient.Exchanges[0].Transient = true
	expiring := withBox(q("dlx", "dead"))
	expiring.Queues[0].Expires = time.Hour
	for name, c := range map[string]struct {
		t    Topology
		want string
	}{
		"exchange missing":        {queues(q("dlx", "k")), "loses every dead letter"},
		"nothing bound":           {withBox(q("dlx", "other")), `by the key "other"`},
		"nothing bound at all":    {Topology{Exchanges: []Exchange{{Name: "dlx", Kind: "topic"}}, Queues: []Queue{q("dlx", "")}}, "no queue is bound"},
		"no such queue":           {queues(q(DefaultExchange, "box")), "no queue is bound"},
		"default without key":     {queues(q(DefaultExchange, "")), "set DeadLetterKey"},
		"two boxes":               {two, "each gets every dead letter"},
		"two boxes of a fanout":   {fanout, "each gets every dead letter"},
		"transient exchange":      {transient, "clear Transient"},
		"box deletes itself":      {expiring, `queue "box"`},
		"two works, shared key":   {WorkQueue("a", WorkConfig{DeadLetterKey: "failed", DeadLetterQueue: "a.dead"}).Merge(WorkQueue("b", WorkConfig{DeadLetterKey: "b", DeadLetterQueue: "b.dead"}).Topology, Topology{Bindings: []Binding{{Source: "hareline.dlx", Destination: "b.dead", Key: "failed"}}}), "each gets every dead letter"},
		"bounded, shared ladder":  {WorkQueue("a", WorkConfig{MaxLength: 10}).Topology, `Ladder{Scope: "a"}`},
		"bounded, ladder of none": {WorkQueue("a", WorkConfig{MaxBytes: 10, Ladder: Ladder{Scope: "team"}}).Topology, `Ladder{Scope: "a"}`},
		"bounded, ladder of two":  {WorkQueue("a", WorkConfig{MaxLength: 10, Ladder: Ladder{Scope: "a"}}).Merge(WorkQueue("b", WorkConfig{Ladder: Ladder{Scope: "a"}}).Topology), `Ladder{Scope: "a"}`},
	} {
		t.Run(name, func(t *testing.T) { wantOneFault(t, c.t, c.want) })
	}
}

func TestTopicMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a", false}, {"*", "a", true}, {"*", "a.b", false},
		{"#", "", true}, {"#", "a.b.c", true}, {"a.#", "a", true}, {"#.a", "a", true},
		{"#.a", "b.a.b", false}, {"*.#.c", "a.c", true}, {"*.#.c", "c", false}, {"", "", true}, {"#.#", "a", true},
	} {
		if got := topicMatch(strings.Split(c.pattern, "."), strings.Split(c.key, ".")); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.key, got)
		}
	}
}

func TestTopicMatchAgreesWithRecursion(t *testing.T) {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 6)
	pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "#"}), 0, 6)
	rapid.Check(t, func(rt *rapid.T) {
		p, w := pattern.Draw(rt, "pattern"), words.Draw(rt, "words")
		if got, want := topicMatch(p, w), slowMatch(p, w); got != want {
			rt.Fatalf("%v against %v: %v, want %v", p, w, got, want)
		}
	})
}

// slowMatch is the definition.
func slowMatch(pattern, words []string) bool {
	if len(pattern) == 0 {
		return len(words) == 0
	}
	if pattern[0] == "#" && slowMatch(pattern[1:], words) {
		return true
	}
	if len(words) == 0 {
		return false
	}
	switch pattern[0] {
	case "#":
		return slowMatch(pattern, words[1:])
	case "*", words[0]:
		return slowMatch(pattern[1:], words[1:])
	}
	return false
}
