package amqptest

import (
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// headersPattern is what a binding of a headers exchange asks of a message.
type headersPattern struct {
	any    bool // one header is enough
	fields []headerPattern
}

type headerPattern struct {
	key     string
	present bool // any value will do
	value   any
}

// headersRouter compares the bindings one by one.
type headersRouter struct{ x *exchange }

func (h headersRouter) add(b *binding) { b.headers = newHeadersPattern(b.args) }
func (headersRouter) remove(*binding)  {}

func (h headersRouter) match(m *message, r *routing) {
	values := headerValues{table: m.props.Headers, version: h.x.vhost.broker.cfg.Version}
	for _, b := range h.x.bindings {
		if b.headers.matches(values) {
			r.take(b)
		}
	}
}

func newHeadersPattern(args wire.Table) *headersPattern {
	p := &headersPattern{}
	match, _ := args.Get("x-match")
	withX := false
	switch match {
	case "any":
		p.any = true
	case "any-with-x":
		p.any, withX = true, true
	case "all-with-x":
		withX = true
	}
	for _, f := range args {
		if f.Key == "x-match" || !withX && strings.HasPrefix(f.Key, "x-") {
			continue
		}
		p.fields = append(p.fields, headerPattern{key: f.Key, present: f.Value == nil, value: f.Value})
	}
	return p
}

func (p *headersPattern) matches(values headerValues) bool {
	for _, f := range p.fields {
		if values.match(f) == p.any {
			return p.any
		}
	}
	return !p.any
}

// headerValues are a message's headers as a headers exchange of a version sees
// them.
type headerValues struct {
	table   wire.Table
	version Version
}

func (h headerValues) match(p headerPattern) bool {
	value, ok := h.get(p.key)
	if !ok {
		return false
	}
	if p.present {
		return true
	}
	if !h.version.atLeast40() {
		return looselyEqual(value, p.value)
	}
	return termsEqual(value, p.value)
}

// get is a header's value as an Erlang term. Of headers of the same name 3.10
// takes the first, later releases take the last. These also see timestamps in
// milliseconds, in the message but not in the binding.
func (h headerValues) get(key string) (value any, ok bool) {
	for _, f := range h.table {
		if f.Key != key {
			continue
		}
		value, ok = f.Value, true
		if !h.version.atLeast40() {
			return value, true
		}
	}
	if t, isTime := unixTime(value); isTime && h.version.atLeast40() {
		return t * 1000, ok
	}
	return value, ok
}

func checkHeadersBinding(b *binding, v Version) *amqpError {
	match, ok := b.args.Get("x-match")
	if !ok {
		return nil
	}
	switch match {
	case "all", "any", "all-with-x", "any-with-x":
		return nil
	}
	if s, ok := match.(string); ok {
		return softError(codePreconditionFailed, "Invalid x-match field value %s; expected all, any, all-with-x, or any-with-x",
			termOf(v, s))
	}
	return softError(codePreconditionFailed, "Invalid x-match field type %s (value %s); expected longstr",
		string(fieldType(match)), termOf(v, match))
}
