package amqptest

import (
	"time"

	"github.com/hareline/hareline/internal/wire"
)

const (
	argStreamOffset   = "x-stream-offset"
	argStreamFilter   = "x-stream-filter"
	argStreamUnfilter = "x-stream-match-unfiltered"
	headerFilterValue = "x-stream-filter-value"
)

// streamStart is the offset that a new consumer of the stream begins with, by
// its x-stream-offset.
func (q *queue) streamStart(args wire.Table) (uint64, *amqpError) {
	v, there := args.Get(argStreamOffset)
	if !there {
		return q.log.next, nil
	}
	switch v := v.(type) {
	case string:
		return q.namedStart(v)
	case []byte:
		if at, ok := q.log.named(string(v)); ok {
			return at, nil
		}
		return 0, crashError()
	case time.Time:
		return q.log.since(v), nil
	}
	if n, ok := wire.Int(v); ok {
		// One that is not there yet is waited for; instead of one that is not
		// there any more, or never was, the first is taken.
		return max(q.log.first(), uint64(max(0, n))), nil
	}
	return 0, crashError()
}

// named is the offset of a name.
func (l *streamLog) named(name string) (uint64, bool) {
	switch name {
	case "first":
		return l.first(), true
	case "last":
		return l.next - uint64(min(1, l.len())), true
	case "next":
		return l.next, true
	}
	return 0, false
}

// namedStart reads a string: a name, or how far to go back, such as "1h".
func (q *queue) namedStart(s string) (uint64, *amqpError) {
	if at, ok := q.log.named(s); ok {
		return at, nil
	}
	if back, ok := maxAge(s); ok {
		return q.log.since(q.now().Add(-back)), nil
	}
	// Up to 4.0, RabbitMQ reads the number even where there is none.
	if !q.version().atLeast43() && (s == "" || s[0] < '0' || s[0] > '9') {
		return 0, crashError()
	}
	why := termTuple{termAtom("invalid_stream_offset_arg"), termTuple{termAtom("longstr"), termBinary(s)}}
	return 0, softError(codePreconditionFailed, "invalid arg '%s' for %s: %s", argStreamOffset, q.resource(), termOf(q.version(), why))
}

// streamFilter is a consumer's x-stream-filter (since 4.0; 3.10 ignores it).
type streamFilter struct {
	values     []string
	unfiltered bool // messages without a filter value, too
}

// newStreamFilter reads a consumer's arguments; nil: it wants all messages.
func newStreamFilter(args wire.Table) *streamFilter {
	v, _ := args.Get(argStreamFilter)
	f := &streamFilter{}
	switch v := v.(type) {
	case string:
		f.values = []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				f.values = append(f.values, s)
			}
		}
	default:
		return nil
	}
	v, _ = args.Get(argStreamUnfilter)
	f.unfiltered, _ = v.(bool)
	return f
}

// wants says whether the consumer gets a message.
func (f *streamFilter) wants(m *message) bool {
	if f == nil {
		return true
	}
	v, _ := m.props.Headers.Get(headerFilterValue)
	value, ok := v.(string)
	if !ok {
		return f.unfiltered
	}
	for _, w := range f.values {
		if w == value {
			return true
		}
	}
	return false
}
