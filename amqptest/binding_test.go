package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestBindingsRefused(t *testing.T) {
	const onDefault = "ACCESS_REFUSED - operation not permitted on the default exchange"
	eachTopology(t, func(_ *testing.T, v Version, p *topology) {
		p.must(declareQueue("q"))
		p.refused("NOT_FOUND - no exchange 'none' in vhost '/'", bindQueue("none", "k", "nothing"))
		p.refused("NOT_FOUND - no queue 'none' in vhost '/'", bindQueue("amq.direct", "k", "none"))
		p.refused("NOT_FOUND - no exchange 'none' in vhost '/'", bindExchange("amq.direct", "k", "none"))
		p.refused("NOT_FOUND - no exchange 'none' in vhost '/'", bindExchange("none", "k", "amq.direct"))
		p.refused(onDefault, bindQueue("", "k", "q"))
		p.refused(onDefault, bindExchange("", "k", "amq.direct"))
		p.refused(onDefault, bindExchange("amq.direct", "k", ""))
		p.refused(onDefault, &wire.QueueUnbind{Queue: "q", RoutingKey: "k"})
		p.refused(`PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x`,
			bindQueue("amq.headers", "", "q", "x-match", "some"))
		p.refused("PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr",
			bindQueue("amq.headers", "", "q", "x-match", int32(1)))
		umlaut := `<<"ü"/utf8>>`
		if !v.atLeast40() {
			umlaut = `<<"ü">>`
		}
		p.refused("PRECONDITION_FAILED - Invalid x-match field value "+umlaut+"; expected all, any, all-with-x, or any-with-x",
			bindQueue("amq.match", "", "q", "x-match", "ü"))
		// What is not there is unbound.
		p.must(&wire.QueueUnbind{Queue: "none", Exchange: "nothing"}, &wire.QueueUnbind{Queue: "q", Exchange: "amq.direct", RoutingKey: "k"},
			&wire.ExchangeUnbind{Source: "none", Destination: "amq.direct"})
	})
}

func TestHashBindingsRefused(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		p := newTopology(t, Config{Version: v, Plugins: []string{"rabbitmq_consistent_hash_exchange"}})
		p.must(declareExchange("x", "x-consistent-hash"), declareQueue("q"))
		for key, want := range map[string]string{
			"": "The binding key must be an integer: <<>>", "a": `The binding key must be an integer: <<"a">>`,
			"1.5": `The binding key must be an integer: <<"1.5">>`, "0": "The binding key must be greater than 0",
			"-1": "The binding key must be greater than 0", "+": `The binding key must be an integer: <<"+">>`,
		} {
			p.refused("PRECONDITION_FAILED - "+want, bindQueue("x", key, "q"))
		}
		p.must(bindQueue("x", "+5", "q"), bindQueue("x", "10000", "q"))
		if v.atLeast43() {
			p.refused("PRECONDITION_FAILED - The binding key must not exceed 10000", bindQueue("x", "10001", "q"))
		} else {
			p.must(bindQueue("x", "99999999999999999999999", "q"))
		}
		expectRoute(t, p, &message{exchange: "x", key: "k"}, "q")
	}
}

func TestRandomBindingsRefused(t *testing.T) {
	p := newTopology(t, Config{})
	p.must(declareExchange("x", "x-local-random"), declareQueue("q", "x-queue-type", "quorum"))
	p.refused("PRECONDITION_FAILED - Queue type rabbit_quorum_queue not valid for this exchange type", bindQueue("x", "", "q"))
	p.refused("PRECONDITION_FAILED - Non empty binding 'k' key not permitted", bindQueue("x", "k", "q"))
	p.refused("PRECONDITION_FAILED - Destination not found", bindExchange("x", "", "amq.direct"))
}

// Bindings are the same if key and arguments are, in any order.
func TestBindingsAreSets(t *testing.T) {
	p := newTopology(t, Config{})
	p.must(declareQueue("q"),
		bindQueue("amq.headers", "k", "q", "a", "1", "b", "2"), bindQueue("amq.headers", "k", "q", "b", "2", "a", "1"),
		bindQueue("amq.headers", "k", "q", "a", "1"), bindQueue("amq.headers", "l", "q", "a", "1"))
	x := p.conn.vhost.exchanges["amq.headers"]
	if n := len(x.bindings); n != 3 {
		t.Errorf("%d bindings", n)
	}
	p.must(&wire.QueueUnbind{Queue: "q", Exchange: "amq.headers", RoutingKey: "k", Arguments: table("b", "2", "a", "1")})
	p.must(&wire.QueueUnbind{Queue: "q", Exchange: "amq.headers", RoutingKey: "k", Arguments: table("a", int32(1))}) // another value
	if n := len(x.bindings); n != 2 || len(p.conn.vhost.queues["q"].into) != 2 {
		t.Errorf("%d bindings", n)
	}
}

func TestNamesLeftOutOfBindings(t *testing.T) {
	p := newTopology(t, Config{})
	p.refused("NOT_FOUND - no previously declared queue", bindQueue("amq.direct", "k", ""))
	p.must(declareQueue("q"), bindQueue("amq.direct", "", ""), bindQueue("amq.direct", "k", ""))
	expectRoute(t, p, &message{exchange: "amq.direct", key: "q"}, "q")
	expectRoute(t, p, &message{exchange: "amq.direct", key: "k"}, "q")
	expectRoute(t, p, &message{exchange: "amq.direct", key: ""})
	p.must(&wire.QueueUnbind{Exchange: "amq.direct"}, bindQueue("amq.direct", "", "q"))
	expectRoute(t, p, &message{exchange: "amq.direct", key: "q"})
	expectRoute(t, p, &message{exchange: "amq.direct", key: ""}, "q")
}
