package amqptest

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// All texts are those of 3.10.8, 4.0.5 and 4.3.6.
func TestQueueDeclaredAgain(t *testing.T) {
	const fine = ""
	ttl := func(v any) []any { return []any{"x-message-ttl", v} }
	for _, c := range []struct {
		name           string
		first, second  []any
		v310, v40, v43 string // what comes after "inequivalent arg ", or the whole
	}{
		{"same", ttl(int32(5)), ttl(int32(5)), fine, "=", "="},
		{"width", ttl(int32(5)), ttl(int64(5)), fine, "=", "="},
		{"value", ttl(int32(5)), ttl(int32(6)), "'x-message-ttl' for queue 'q' in vhost '/': received '6' but current is '5'", "=", "="},
		{"gone", ttl(int32(5)), nil,
			"'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '5' of type 'signedint'", "=", "="},
		{"new", nil, ttl(int32(5)),
			"'x-message-ttl' for queue 'q' in vhost '/': received the value '5' of type 'signedint' but current is none", "=", "="},
		{"float", ttl(int32(5)), ttl(5.0), "'x-message-ttl' for queue 'q' in vhost '/': received '5.0' but current is '5'", "=", "="},
		{"timestamp", ttl(int32(5)), ttl(time.Unix(5, 0)), fine, "=", "="},
		{"void", ttl(int32(5)), ttl(nil), "'x-message-ttl' for queue 'q' in vhost '/': received none but current is '5'", "=", "="},
		{"new void", nil, ttl(nil),
			"'x-message-ttl' for queue 'q' in vhost '/': received the value 'undefined' of type 'void' but current is none", "=", "="},
		{"decimal", ttl(int32(5)), ttl(wire.Decimal{Value: 5}), "connection: INTERNAL_ERROR", "=", "="},
		{"new decimal", nil, ttl(wire.Decimal{Scale: 1, Value: 5}),
			"'x-message-ttl' for queue 'q' in vhost '/': received the value '{1,5}' of type 'decimal' but current is none", "=", "="},
		{"table", ttl(int32(5)), ttl(table("a", int32(1))),
			"'x-message-ttl' for queue 'q' in vhost '/': received '[{<<\"a\">>,signedint,1}]' but current is '5'", "=", "="},
		{"bad value", nil, []any{"x-overflow", "bogus"},
			"'x-overflow' for queue 'q' in vhost '/': received the value 'bogus' of type 'longstr' but current is none", "=", "="},
		{"bytes", []any{"x-dead-letter-exchange", "a"}, []any{"x-dead-letter-exchange", []byte("a")}, fine, "=", "="},
		{"Latin-1", nil, []any{"x-dead-letter-exchange", "a\xff"},
			"'x-dead-letter-exchange' for queue 'q' in vhost '/': received the value 'a\xff' of type 'longstr' but current is none",
			"'x-dead-letter-exchange' for queue 'q' in vhost '/': received the value 'aÿ' of type 'longstr' but current is none", "="},
		{"two", []any{"x-max-length", int32(1), "x-expires", int32(1)}, []any{"x-max-length", int32(2), "x-expires", int32(2)},
			"'x-expires' for queue 'q' in vhost '/': received '2' but current is '1'", "=", "="},
		{"unknown", []any{"x-foo", int32(1)}, []any{"x-foo", int32(2)}, fine, "=", "="},
		{"of another type", nil, []any{"x-delivery-limit", int32(2)}, fine, "=", "="},
		{"type left out", []any{"x-queue-type", "quorum"}, nil,
			"'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' of type 'longstr'",
			"'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'quorum'", "="},
		{"classic left out", []any{"x-queue-type", "classic"}, nil, fine, "=", "="},
		{"classic told", nil, []any{"x-queue-type", "classic"}, fine, "=", "="},
		{"new to 4.3", []any{"x-queue-type", "quorum"}, []any{"x-queue-type", "quorum", "x-delayed-retry-type", "all"}, fine, "=",
			"'x-delayed-retry-type' for queue 'q' in vhost '/': received the value 'all' of type 'longstr' but current is none"},
		{"ages", []any{"x-queue-type", "stream", "x-max-age", "1h"}, []any{"x-queue-type", "stream", "x-max-age", "60m"},
			"'x-max-age' for queue 'q' in vhost '/': received '60m' but current is '1h'", "=", fine},
		{"other age", []any{"x-queue-type", "stream", "x-max-age", "1h"}, []any{"x-queue-type", "stream", "x-max-age", "2h"},
			"'x-max-age' for queue 'q' in vhost '/': received '2h' but current is '1h'", "=",
			"'x-max-age' for queue 'q' in vhost '/': received '7200000' but current is '3600000'"},
		{"no age", []any{"x-queue-type", "stream"}, []any{"x-queue-type", "stream", "x-max-age", "1h"},
			"'x-max-age' for queue 'q' in vhost '/': received the value '1h' of type 'longstr' but current is none", "=",
			"'x-max-age' for queue 'q' in vhost '/': received the value '3600000' of type 'longstr' but current is none"},
	} {
		if c.v40 == "=" {
			c.v40 = c.v310
		}
		if c.v43 == "=" {
			c.v43 = c.v40
		}
		for v, want := range map[Version]string{V310: c.v310, V40: c.v40, V43: c.v43} {
			p := newTopology(t, Config{Version: v})
			p.must(declareQueue("q", c.first...))
			if want != fine && want[0] == '\'' {
				want = "PRECONDITION_FAILED - inequivalent arg " + want
			}
			if got := p.do(declareQueue("q", c.second...)); got != want {
				t.Errorf("%s, %s:\n got %q\nwant %q", v, c.name, got, want)
			}
		}
	}
}

func TestQueuePropertiesDeclaredAgain(t *testing.T) {
	const inequivalent = "PRECONDITION_FAILED - inequivalent arg "
	const locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on " +
		"another connection or the exclusive property value does not match that of the original declaration."
	eachTopology(t, func(_ *testing.T, _ Version, p *topology) {
		p.must(declareQueue("q"))
		p.refused(inequivalent+"'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'", &wire.QueueDeclare{Queue: "q"})
		p.refused(inequivalent+"'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
			&wire.QueueDeclare{Queue: "q", Durable: true, AutoDelete: true})
		p.refused(locked, &wire.QueueDeclare{Queue: "q", Durable: true, Exclusive: true})
		p.must(&wire.QueueDeclare{Queue: "q", Passive: true, AutoDelete: true, Arguments: table("x-message-ttl", "whatever")})
	})
}

func TestExchangeDeclaredAgain(t *testing.T) {
	const inequivalent = "PRECONDITION_FAILED - inequivalent arg "
	eachTopology(t, func(_ *testing.T, v Version, p *topology) {
		p.must(declareExchange("x", "direct"), declareExchange("x", "direct"), declareExchange("x", "direct", "other", int32(1)))
		p.refused(inequivalent+"'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'", declareExchange("x", "fanout"))
		p.refused(inequivalent+"'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'",
			&wire.ExchangeDeclare{Exchange: "x", Type: "direct"})
		p.refused(inequivalent+"'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
			&wire.ExchangeDeclare{Exchange: "x", Type: "direct", Durable: true, AutoDelete: true})
		p.refused(inequivalent+"'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
			&wire.ExchangeDeclare{Exchange: "x", Type: "direct", Durable: true, Internal: true})
		p.refused(inequivalent+"'alternate-exchange' for exchange 'x' in vhost '/': received the value 'a' of type 'longstr' but current is none",
			declareExchange("x", "direct", "alternate-exchange", "a"))
		p.must(declareExchange("y", "direct", "alternate-exchange", "a"))
		p.refused(inequivalent+"'alternate-exchange' for exchange 'y' in vhost '/': received 'b' but current is 'a'",
			declareExchange("y", "direct", "alternate-exchange", "b"))
		p.refused(inequivalent+"'alternate-exchange' for exchange 'y' in vhost '/': received none but current is the value 'a' of type 'longstr'",
			declareExchange("y", "direct"))
		if v.atLeast40() {
			p.refused(inequivalent+"'type' for exchange 'x' in vhost '/': received ''x-local-random'' but current is 'direct'",
				declareExchange("x", "x-local-random"))
		}
	})
}
