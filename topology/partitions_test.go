package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The hash and the names are a promise to publishers in other languages and to
// messages that lie in queues: they never change.
func TestRouteIsForEver(t *testing.T) {
	p := PartitionedQueue("orders", PartitionsConfig{})
	for key, want := range map[string]string{
		"":                       ".0of8",
		"123456789":              "123456789.6of8", // CRC-32 0xCBF43926
		"customer-17":            "customer-17.7of8",
		"a.b":                    "a.b.5of8",
		"x.3of8":                 "x.3of8.7of8",
		"å":                      "å.5of8",
		strings.Repeat("k", 240): strings.Repeat("k", 240) + ".7of8",
		strings.Repeat("k", 241): "~74bb436be223189a34bf2ce2b5ccebf582f696060c4d83ce52c3cec08fb642d1.4of8",
	} {
		if exchange, got := p.Route(key); exchange != "orders" || got != want {
			t.Errorf("Route(%.20q) = %q, %q, want %q", key, exchange, got, want)
		}
	}
	if q := PartitionedQueue("o", PartitionsConfig{Count: 3}).Queue(2); q != "o.2of3" {
		t.Errorf("queue %q", q)
	}
}

// Every routing key goes to the one queue of its key, and gives the key back.
func TestRouteLeadsToOnePartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := PartitionedQueue("orders", PartitionsConfig{Count: rapid.IntRange(1, 20).Draw(t, "count")})
		other := PartitionedQueue("orders", PartitionsConfig{Count: rapid.IntRange(1, 20).Draw(t, "other count")})
		key := rapid.OneOf(rapid.StringMatching(`[a-c.#*]{0,8}(\.?[0-9]of[0-9])?`), rapid.StringN(0, 300, 400)).Draw(t, "key")
		exchange, routing := p.Route(key)
		if len(routing) > 255 {
			t.Fatalf("%d bytes", len(routing))
		}
		if _, again := p.Route(key); again != routing {
			t.Fatalf("%q, then %q", routing, again)
		}
		both := newGraph(p.Merge(other.Topology).flat())
		if got := both.route(exchange, routing).queues; !slices.Equal(got, []string{p.Queue(p.Index(key))}) {
			t.Fatalf("%q is routed to %v", routing, got)
		}
		if got := p.Key(routing); len(key) <= longestPartitionKey && got != key {
			t.Fatalf("key %q comes back as %q", key, got)
		}
	})
}

func TestKeyOfForeignRoutingKeys(t *testing.T) {
	p := PartitionedQueue("orders", PartitionsConfig{})
	for _, key := range []string{"", "plain", "a.b", "a.8of8", "a.-1of8", "a.+1of8", "a.01of8", "a.1of9", "a.1of08", "1of8", "a.1of8.b", "a.of8", "a.1of"} {
		if got := p.Key(key); got != key {
			t.Errorf("Key(%q) = %q", key, got)
		}
	}
}

func FuzzPartitionKey(f *testing.F) {
	f.Add("customer-17.3of8")
	f.Add("of8")
	p := PartitionedQueue("orders", PartitionsConfig{})
	f.Fuzz(func(t *testing.T, routing string) {
		key := p.Key(routing)
		if key == routing {
			return
		}
		if i, ok := strings.CutPrefix(routing, key+"."); !ok || !slices.Contains(p.suffixes(), i) {
			t.Errorf("Key(%q) = %q", routing, key)
		}
	})
}

func (p Partitions) suffixes() []string {
	var all []string
	for i := range p.Count {
		all = append(all, p.suffix(i))
	}
	return all
}

// Keys are spread: no partition has more than twice its share.
func TestKeysAreSpread(t *testing.T) {
	for _, count := range []int{2, 3, 8, 12, 64} {
		p := PartitionedQueue("orders", PartitionsConfig{Count: count})
		share := make([]int, count)
		const keys = 20_000
		for i := range keys {
			share[p.Index(fmt.Sprintf("customer-%d", i))]++
		}
		if most := slices.Max(share); most > 2*keys/count {
			t.Errorf("%d partitions: %v", count, share)
		}
	}
}

func TestPartitionsAreSound(t *testing.T) {
	p := PartitionedQueue("orders", PartitionsConfig{Count: 3})
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(p.Ladders) != 0 {
		t.Error("a ladder that nothing is parked on")
	}
	for i := range 3 {
		w := p.Work(i)
		if w.Queue != fmt.Sprintf("orders.%dof3", i) || w.DeadLetterQueue != "orders.dlq" || !w.Backstop() {
			t.Errorf("work %d: %q, %q, backstop %t", i, w.Queue, w.DeadLetterQueue, w.Backstop())
		}
	}
	for _, q := range p.Queues {
		if q.Name != "orders.dlq" && (!q.SingleActive || q.Type != Quorum) {
			t.Errorf("queue %q: single active %t, type %q", q.Name, q.SingleActive, q.Type)
		}
	}
	bounded := PartitionedQueue("orders", PartitionsConfig{MaxLength: 1000, Exchange: "events", ExchangeExternal: true, DeadLetterQueue: "graves"})
	if err := bounded.Validate(); err != nil {
		t.Errorf("bounded: %v", err)
	}
	two := PartitionedQueue("payments", PartitionsConfig{})
	if err := p.Merge(two.Topology).Validate(); err != nil {
		t.Errorf("two side by side: %v", err)
	}
}

func TestPartitionsFaults(t *testing.T) {
	for name, cfg := range map[string]PartitionsConfig{
		"count":          {Count: -1},
		"many":           {Count: 1025},
		"delivery limit": {DeliveryLimit: 10_001},
		"long":           {DeadLetterQueue: strings.Repeat("q", 256)},
	} {
		var invalid *ValidationError
		if err := PartitionedQueue("orders", cfg).Validate(); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := PartitionedQueue(strings.Repeat("q", 251), PartitionsConfig{})
	if err := long.Validate(); err == nil {
		t.Error("a queue's name of 256 bytes")
	}
}
