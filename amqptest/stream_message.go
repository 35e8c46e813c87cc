package amqptest

import (
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// A stream keeps messages in the format of AMQP 1.0, which has no place for
// some properties and for some types of headers: they come out changed.

// streamMessage is the message that comes out of a stream, but for its offset.
// ok is false if the stream cannot hold it.
func streamMessage(v Version, m *message) (_ *message, ok bool) {
	kept := &message{exchange: m.exchange, key: m.key, props: m.props, body: m.body, deaths: m.deaths}
	for _, f := range m.props.Headers {
		if _, decimal := f.Value.(wire.Decimal); decimal {
			return nil, false
		}
	}
	kept.props.Clear(wire.FlagClusterID)
	if v.atLeast40() {
		kept.toAMQP10()
	} else {
		kept.toMessageRecord()
	}
	kept.header = wire.AppendProperties(nil, &kept.props)
	return kept, true
}

// toMessageRecord does to the properties what 3.10 does.
func (m *message) toMessageRecord() {
	p := &m.props
	var headers wire.Table
	for _, f := range p.Headers {
		s, isString := f.Value.(string)
		switch f.Value.(type) {
		case []any, wire.Table:
			continue
		}
		switch {
		case f.Key == "x-basic-type" && isString && !p.Has(wire.FlagType):
			p.Type = s
			p.Set(wire.FlagType)
		case f.Key == "x-basic-app-id" && isString && !p.Has(wire.FlagAppID):
			p.AppID = s
			p.Set(wire.FlagAppID)
		default:
			headers = append(headers, f)
		}
	}
	p.SetHeaders(headers)
}

// toAMQP10 does to the properties what 4.0 and later do.
func (m *message) toAMQP10() {
	p := &m.props
	if !p.Has(wire.FlagDeliveryMode) || p.DeliveryMode != persistent {
		p.DeliveryMode = 1
		p.Set(wire.FlagDeliveryMode)
	}
	if p.Has(wire.FlagExpiration) {
		p.Expiration = milliseconds(p.Expiration)
	}
	// A dead letter's own expiration was put aside only, and is found again.
	for i := range m.deaths {
		if e := m.deaths[i].expiration; e != "" && !p.Has(wire.FlagExpiration) {
			p.Expiration = e
			p.Set(wire.FlagExpiration)
		}
	}
	var headers wire.Table
	for _, f := range p.Headers {
		if h, ok := m.annotation(f); ok {
			headers = append(headers, h)
		}
	}
	p.SetHeaders(dedupe(headers.Sorted()))
}

// annotation is what becomes of a header; ok is false if it is gone.
func (m *message) annotation(f wire.Field) (_ wire.Field, ok bool) {
	p := &m.props
	ours := strings.HasPrefix(f.Key, "x-")
	switch v := f.Value.(type) {
	case []byte:
		f.Value = string(v)
	case []any:
		ok := ours || f.Key == "CC"
		return f, ok && (f.Key != "x-death" || len(m.deaths) > 0)
	case wire.Table:
		return f, ours
	case string:
		if f.Key == "x-basic-type" && !p.Has(wire.FlagType) {
			p.Type = v
			p.Set(wire.FlagType)
		}
	}
	switch {
	case strings.HasPrefix(f.Key, "x-basic-"), f.Key == "x-routing-key", f.Key == "x-exchange", f.Key == "x-death":
		return f, false
	}
	return f, true
}

// withOffset is the message of a stream as it is delivered.
func withOffset(v Version, m *message, offset uint64) *message {
	d := *m
	d.header = nil
	field := wire.Field{Key: argStreamOffset, Value: int64(offset)}
	if v.atLeast40() {
		d.props.SetHeaders(dedupe(append(wire.Table{field}, m.props.Headers...).Sorted()))
	} else {
		d.props.SetHeaders(m.props.Headers.Set(field.Key, field.Value).Sorted())
	}
	d.header = wire.AppendProperties(nil, &d.props)
	return &d
}
