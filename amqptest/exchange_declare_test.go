package amqptest

import (
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestExchangesRefused(t *testing.T) {
	const onDefault = "ACCESS_REFUSED - operation not permitted on the default exchange"
	eachTopology(t, func(_ *testing.T, v Version, p *topology) {
		unknown := "PRECONDITION_FAILED - "
		if v == V310 {
			unknown = "connection: COMMAND_INVALID - "
		}
		p.refused(unknown+"unknown exchange type 'bogus'", declareExchange("x", "bogus"))
		p.refused(unknown+"unknown exchange type 'bogus'", declareExchange("", "bogus"))
		p.refused(unknown+"unknown exchange type 'x-consistent-hash'", declareExchange("x", "x-consistent-hash"))
		p.refused(unknown+"unknown exchange type 'x-delayed-message'", declareExchange("x", "x-delayed-message"))
		p.refused(unknown+"invalid exchange type ''", declareExchange("x", ""))
		p.refused(unknown+"invalid exchange type 'queue'", declareExchange("x", "queue"))
		p.refused(onDefault, declareExchange("", "direct"))
		p.refused(onDefault, &wire.ExchangeDeclare{Passive: true})
		p.refused(onDefault, &wire.ExchangeDelete{})
		p.refused("ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'", declareExchange("amq.new", "direct"))
		p.refused("ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed", &wire.ExchangeDelete{Exchange: "amq.direct"})
		p.refused("NOT_FOUND - no exchange 'none' in vhost '/'", &wire.ExchangeDeclare{Exchange: "none", Passive: true})
		p.refused("PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
			declareExchange("x", "direct", "alternate-exchange", int32(1)))
		p.must(declareExchange("amq.direct", "direct"), &wire.ExchangeDeclare{Exchange: "amq.topic", Type: "whatever", Passive: true},
			&wire.ExchangeDelete{Exchange: "none"}, &wire.ExchangeDelete{Exchange: "none", IfUnused: true})
	})
}

func TestHashExchangesRefused(t *testing.T) {
	p := newTopology(t, Config{Plugins: []string{"rabbitmq_consistent_hash_exchange"}})
	p.refused("PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive",
		declareExchange("x", "x-consistent-hash", "hash-header", "h", "hash-property", "message_id"))
	p.refused("PRECONDITION_FAILED - Unsupported property: bogus", declareExchange("x", "x-consistent-hash", "hash-property", "bogus"))
	p.refused("connection: INTERNAL_ERROR", declareExchange("x", "x-consistent-hash", "hash-property", int32(1)))
	p.refused("connection: INTERNAL_ERROR", declareExchange("x", "x-consistent-hash", "hash-header", int32(1)))
}

func TestExchangeInUse(t *testing.T) {
	eachTopology(t, func(_ *testing.T, _ Version, p *topology) {
		p.must(declareExchange("x", "direct"), declareQueue("q"), bindQueue("x", "k", "q"))
		p.refused("PRECONDITION_FAILED - exchange 'x' in vhost '/' in use", &wire.ExchangeDelete{Exchange: "x", IfUnused: true})
		p.must(&wire.ExchangeDelete{Exchange: "x"}, declareExchange("x", "direct"), bindExchange("amq.direct", "k", "x"))
		p.must(&wire.ExchangeDelete{Exchange: "x", IfUnused: true}) // being a destination is no use
		if len(p.conn.vhost.exchanges["amq.direct"].bindings) > 0 || len(p.conn.vhost.queues["q"].into) > 0 {
			p.t.Error("bindings of a deleted exchange are left")
		}
	})
}

func TestExchangesDeletedWithTheirLastBinding(t *testing.T) {
	there := func(p *topology) string {
		var names []string
		for _, name := range []string{"x", "y", "z"} {
			if _, ok := p.conn.vhost.exchanges[name]; ok {
				names = append(names, name)
			}
		}
		return strings.Join(names, " ")
	}
	auto := func(name string) wire.Method {
		return &wire.ExchangeDeclare{Exchange: name, Type: "direct", AutoDelete: true}
	}
	for _, c := range []struct {
		name string
		do   wire.Method
		want string
	}{
		{"nothing", &wire.ExchangeDeclare{Exchange: "x", Passive: true}, "x y z"},
		{"the binding of the queue", &wire.QueueUnbind{Queue: "q", Exchange: "y", RoutingKey: "k"}, "z"},
		{"the queue", &wire.QueueDelete{Queue: "q"}, "z"},
		{"the exchange between", &wire.ExchangeDelete{Exchange: "y"}, "z"},
		{"one of two bindings", &wire.ExchangeUnbind{Source: "x", RoutingKey: "k", Destination: "y"}, "y z"},
	} {
		p := newTopology(t, Config{})
		// z never had a binding: it stays.
		p.must(auto("x"), auto("y"), auto("z"), declareQueue("q"), bindQueue("y", "k", "q"), bindExchange("x", "k", "y"), c.do)
		if got := there(p); got != c.want {
			t.Errorf("%s: left are %q, want %q", c.name, got, c.want)
		}
	}
}

func TestExchangesOfAVirtualHost(t *testing.T) {
	eachTopology(t, func(t *testing.T, v Version, p *topology) {
		p.must(declareExchange("amq.fanout", "fanout"), declareExchange("amq.headers", "headers"), declareExchange("amq.match", "headers"),
			declareExchange("amq.topic", "topic"),
			&wire.ExchangeDeclare{Exchange: "amq.rabbitmq.trace", Type: "topic", Durable: true, Internal: true})
		want := 7
		if v.atLeast43() {
			want++ // amq.rabbitmq.log
		}
		if n := len(p.conn.vhost.exchanges); n != want {
			t.Errorf("%d exchanges", n)
		}
	})
}
