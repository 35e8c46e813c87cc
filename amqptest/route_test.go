package amqptest

import (
	"slices"
	"strconv"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func expectRoute(t *testing.T, p *topology, m *message, want ...string) {
	t.Helper()
	if got := p.queues(m); !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("exchange %q, key %q: queues %q, want %q", m.exchange, m.key, got, want)
	}
}

func TestRouteByType(t *testing.T) {
	eachTopology(t, func(t *testing.T, _ Version, p *topology) {
		p.must(declareQueue("a"), declareQueue("b"),
			bindQueue("amq.direct", "k", "a"), bindQueue("amq.direct", "k", "b"), bindQueue("amq.direct", "l", "b"),
			bindQueue("amq.fanout", "", "a"), bindQueue("amq.fanout", "any", "b"),
			bindQueue("amq.topic", "x.*", "a"), bindQueue("amq.topic", "x.#", "b"), bindQueue("amq.topic", "#", "b"),
			bindQueue("amq.headers", "", "a", "h", "1"), bindQueue("amq.match", "", "b", "x-match", "any", "h", "1", "i", "2"))
		expectRoute(t, p, &message{key: "a"}, "a")
		expectRoute(t, p, &message{key: "none"})
		expectRoute(t, p, &message{exchange: "amq.direct", key: "k"}, "a", "b")
		expectRoute(t, p, &message{exchange: "amq.direct", key: "l"}, "b")
		expectRoute(t, p, &message{exchange: "amq.direct", key: "K"})
		expectRoute(t, p, &message{exchange: "amq.fanout", key: "k"}, "a", "b")
		expectRoute(t, p, &message{exchange: "amq.topic", key: "x.y"}, "a", "b")
		expectRoute(t, p, &message{exchange: "amq.topic", key: "x"}, "b")
		expectRoute(t, p, &message{exchange: "amq.topic", key: ""}, "b")
		expectRoute(t, p, &message{exchange: "amq.headers", props: wire.Properties{Headers: table("h", "1")}}, "a")
		expectRoute(t, p, &message{exchange: "amq.match", props: wire.Properties{Headers: table("i", "2")}}, "b")
	})
}

func TestRouteFurtherKeys(t *testing.T) {
	eachTopology(t, func(t *testing.T, _ Version, p *topology) {
		p.must(declareQueue("a"), declareQueue("b"), declareQueue("c"),
			bindQueue("amq.direct", "k", "a"), bindQueue("amq.direct", "l", "b"), bindQueue("amq.topic", "#.l", "c"))
		expectRoute(t, p, &message{exchange: "amq.direct", key: "k", extra: []string{"l", "k"}}, "a", "b")
		expectRoute(t, p, &message{exchange: "amq.topic", key: "k", extra: []string{"x.l"}}, "c")
		expectRoute(t, p, &message{key: "a", extra: []string{"c", "a", "none"}}, "a", "c")
	})
}

func TestRouteThroughExchanges(t *testing.T) {
	eachTopology(t, func(t *testing.T, _ Version, p *topology) {
		p.must(declareQueue("a"), declareQueue("b"),
			declareExchange("x", "direct"), declareExchange("y", "topic"), declareExchange("z", "fanout"),
			bindExchange("x", "k", "y"), bindExchange("x", "k", "z"), bindExchange("z", "", "x"), // a circle
			bindQueue("y", "*", "a"), bindQueue("z", "", "a"), bindQueue("z", "", "b"))
		expectRoute(t, p, &message{exchange: "x", key: "k"}, "a", "b")
		expectRoute(t, p, &message{exchange: "z", key: "k"}, "a", "b")
		expectRoute(t, p, &message{exchange: "x", key: "l"})
		p.must(&wire.ExchangeUnbind{Source: "x", RoutingKey: "k", Destination: "z"})
		expectRoute(t, p, &message{exchange: "x", key: "k"}, "a")
		p.must(&wire.ExchangeDelete{Exchange: "y"})
		expectRoute(t, p, &message{exchange: "x", key: "k"})
	})
}

func TestRouteToTheAlternateExchange(t *testing.T) {
	eachTopology(t, func(t *testing.T, _ Version, p *topology) {
		p.must(declareQueue("a"), declareQueue("rest"),
			declareExchange("unrouted", "fanout"), bindQueue("unrouted", "", "rest"),
			declareExchange("x", "direct", "alternate-exchange", "unrouted"), bindQueue("x", "k", "a"),
			declareExchange("dead end", "fanout"), bindExchange("x", "e", "dead end"),
			declareExchange("lost", "direct", "alternate-exchange", "none"),
			declareExchange("self", "direct", "alternate-exchange", "self"))
		expectRoute(t, p, &message{exchange: "x", key: "k"}, "a")
		expectRoute(t, p, &message{exchange: "x", key: "l"}, "rest")
		expectRoute(t, p, &message{exchange: "x", key: "e"}) // it has a binding, wherever that leads
		expectRoute(t, p, &message{exchange: "lost", key: "k"})
		expectRoute(t, p, &message{exchange: "self", key: "k"})
	})
}

func TestRouteByHash(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		p := newTopology(t, Config{Version: v, Plugins: []string{"rabbitmq_consistent_hash_exchange"}})
		p.must(declareExchange("x", "x-consistent-hash"))
		for i := range 3 {
			name := "q" + strconv.Itoa(i)
			p.must(declareQueue(name), bindQueue("x", strconv.Itoa(1+i), name))
		}
		counts := make(map[string]int)
		for i := range 6000 {
			for _, q := range p.queues(&message{exchange: "x", key: strconv.Itoa(i)}) {
				counts[q]++
			}
		}
		for i, want := range []int{1000, 2000, 3000} {
			if got := counts["q"+strconv.Itoa(i)]; got < want*9/10 || got > want*11/10 {
				t.Errorf("%s: queue of weight %d got %d of 6000", v, i+1, got)
			}
		}
		// Few messages move when a queue goes.
		before := p.queues(&message{exchange: "x", key: "abc"})
		p.must(&wire.QueueDelete{Queue: "q2"})
		if after := p.queues(&message{exchange: "x", key: "abc"}); before[0] != "q2" && !slices.Equal(before, after) {
			t.Errorf("%s: moved from %q to %q", v, before, after)
		}
	}
}

func TestHashedHeadersAndProperties(t *testing.T) {
	p := newTopology(t, Config{Plugins: []string{"rabbitmq_consistent_hash_exchange"}})
	p.must(declareExchange("h", "x-consistent-hash", "hash-header", "h"), declareExchange("m", "x-consistent-hash", "hash-property", "message_id"))
	for _, q := range []string{"a", "b", "c", "d"} {
		p.must(declareQueue(q), bindQueue("h", "5", q), bindQueue("m", "5", q))
	}
	for _, x := range []string{"h", "m"} {
		for _, value := range []string{"1", "2", "3"} {
			props := wire.Properties{Headers: table("h", value), MessageID: value, Flags: wire.FlagMessageID | wire.FlagHeaders}
			first := p.queues(&message{exchange: x, key: "one", props: props})
			if again := p.queues(&message{exchange: x, key: "other", props: props}); len(first) != 1 || !slices.Equal(first, again) {
				t.Errorf("%s %q: %q, then %q", x, value, first, again)
			}
		}
	}
}

func TestRouteToAnyOne(t *testing.T) {
	p := newTopology(t, Config{Version: V43})
	p.must(declareExchange("random", "x-local-random"), declareExchange("modulus", "x-modulus-hash"))
	expectRoute(t, p, &message{exchange: "random", key: "k"})
	expectRoute(t, p, &message{exchange: "modulus", key: "k"})
	for _, q := range []string{"a", "b"} {
		p.must(declareQueue(q), bindQueue("random", "", q), bindQueue("modulus", "", q))
	}
	seen := make(map[string]int)
	for i := range 200 {
		for _, x := range []string{"random", "modulus"} {
			got := p.queues(&message{exchange: x, key: strconv.Itoa(i)})
			if len(got) != 1 {
				t.Fatalf("%s: %q", x, got)
			}
			seen[x+" "+got[0]]++
		}
	}
	if len(seen) != 4 {
		t.Errorf("got %v", seen)
	}
}

func TestOrdinaryRoutesDoNotAllocate(t *testing.T) {
	p := newTopology(t, Config{})
	p.must(declareQueue("q"), bindQueue("amq.direct", "k", "q"), bindQueue("amq.topic", "k.#", "q"), bindQueue("amq.fanout", "", "q"))
	vh := p.conn.vhost
	for _, m := range []*message{
		{key: "q"}, {exchange: "amq.direct", key: "k"}, {exchange: "amq.topic", key: "k.l"}, {exchange: "amq.fanout"},
	} {
		x := vh.exchanges[m.exchange]
		if n := testing.AllocsPerRun(100, func() {
			if len(vh.route(x, m)) != 1 {
				t.Fatal("no route")
			}
		}); n > 0 {
			t.Errorf("exchange %q: %v allocations", m.exchange, n)
		}
	}
}
