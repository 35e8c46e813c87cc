package amqptest

import (
	"strconv"

	"github.com/hareline/hareline/internal/wire"
)

// equivalence compares what is declared again with what is there.
type equivalence struct {
	resource string // as texts name it
	version  Version
}

func (e equivalence) fail(field, received, current string) *amqpError {
	return softError(codePreconditionFailed, "inequivalent arg '%s' for %s: received %s but current is %s",
		field, e.resource, received, current)
}

func (e equivalence) bools(field string, current, received bool) *amqpError {
	if current == received {
		return nil
	}
	return e.fail(field, "'"+strconv.FormatBool(received)+"'", "'"+strconv.FormatBool(current)+"'")
}

func (e equivalence) atoms(field, current, received string) *amqpError {
	if current == received {
		return nil
	}
	return e.fail(field, "'"+termAtom(received).quoted()+"'", "'"+termAtom(current).quoted()+"'")
}

// arguments compares those named. A value that is there on both sides may be of
// another type if it is the same for RabbitMQ.
func (e equivalence) arguments(names []string, current, received wire.Table) *amqpError {
	for _, name := range names {
		c, hasCurrent := current.Get(name)
		r, hasReceived := received.Get(name)
		var err *amqpError
		switch {
		case !hasCurrent && !hasReceived:
		case name == argMaxAge && e.version.atLeast43():
			err = e.maxAges(c, r, hasCurrent, hasReceived)
		case hasCurrent && hasReceived:
			err = e.values(name, c, r)
		case name == argQueueType && (c == string(classic) || r == string(classic)):
			// A classic queue need not have the argument.
		case hasCurrent:
			err = e.fail(name, "none", e.typed(c))
		default:
			err = e.fail(name, e.typed(r), "none")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e equivalence) values(name string, current, received any) *amqpError {
	if typeClass(current) == typeClass(received) && looselyEqual(current, received) || termsEqual(current, received) {
		return nil
	}
	for _, v := range []any{received, current} {
		// RabbitMQ takes a decimal for a value with its type, and fails.
		if _, ok := v.(wire.Decimal); ok {
			return crashError()
		}
	}
	return e.fail(name, e.untyped(received), e.untyped(current))
}

// maxAges compares two of x-max-age, of which 4.3 knows what they mean.
func (e equivalence) maxAges(current, received any, hasCurrent, hasReceived bool) *amqpError {
	if hasCurrent && hasReceived && fieldType(current) == fieldType(received) && termsEqual(inMillis(current), inMillis(received)) {
		return nil
	}
	show := func(v any, here, there bool) string {
		switch {
		case !here:
			return "none"
		case there:
			return e.untyped(inMillis(v))
		default:
			return "the value '" + e.plain(inMillis(v)) + "' of type '" + string(fieldType(v)) + "'"
		}
	}
	return e.fail(argMaxAge, show(received, hasReceived, hasCurrent), show(current, hasCurrent, hasReceived))
}

// inMillis is an age in milliseconds, or the value itself if it is no age.
func inMillis(v any) any {
	if s, ok := v.(string); ok {
		if age, ok := maxAge(s); ok {
			return age.Milliseconds()
		}
	}
	return v
}

// typed is a value with its type, as texts have it.
func (e equivalence) typed(v any) string {
	return "the value '" + e.plain(v) + "' of type '" + string(fieldType(v)) + "'"
}

func (e equivalence) untyped(v any) string {
	if v == nil {
		return "none"
	}
	return "'" + e.plain(v) + "'"
}

// plain is a text without quotes, or a term.
func (e equivalence) plain(v any) string {
	switch v := v.(type) {
	case string:
		return plainText(e.version, v)
	case []byte:
		return plainText(e.version, string(v))
	}
	return termOf(e.version, v)
}

// checkEquivalent says how a declaration differs from the queue.
func (q *queue) checkEquivalent(owner *conn, p queueProperties, args wire.Table) *amqpError {
	if q.owner != owner {
		return q.locked()
	}
	e := equivalence{q.vhost.resource("queue", q.name), q.version()}
	if err := e.bools("durable", q.durable, p.durable); err != nil {
		return err
	}
	if err := e.bools("auto_delete", q.autoDelete, p.autoDelete); err != nil {
		return err
	}
	return e.arguments(q.kind.arguments(e.version), q.args, args)
}

// checkEquivalent says how a declaration differs from the exchange.
func (x *exchange) checkEquivalent(m *wire.ExchangeDeclare) *amqpError {
	e := equivalence{x.vhost.resource("exchange", x.name), x.vhost.broker.cfg.Version}
	if err := e.atoms("type", x.kind, m.Type); err != nil {
		return err
	}
	if err := e.bools("durable", x.durable, m.Durable); err != nil {
		return err
	}
	if err := e.bools("auto_delete", x.autoDelete, m.AutoDelete); err != nil {
		return err
	}
	if err := e.bools("internal", x.internal, m.Internal); err != nil {
		return err
	}
	return e.arguments([]string{argAlternate}, x.args, m.Arguments)
}
