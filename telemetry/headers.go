package telemetry

import (
	"context"
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// Tracing must not make a message fail: what is added to headers is bounded, and
// nothing is added to headers that are near the limit of copies already.
const (
	baggageField = "baggage"
	maxBaggage   = 4 << 10
	maxField     = 512 // what W3C wants of tracestate to be carried, at least
	maxHeaders   = story.DefaultLimit - 2*maxBaggage
	maxRead      = 8 << 10 // W3C's limit for baggage
	maxAdded     = 2*maxBaggage - 64
	maxName      = 255 // AMQP's for the name of a header
)

// laterHeader is confirm.HeaderLater: a message that waits for its time has its own
// headers in there.
const laterHeader = "hareline.later"

// carrier reads and writes the context in a message's headers: names are exact,
// values are written as strings, and read as strings or bytes. A value of any other
// type, or too long, is none.
type carrier amqp.Table

func (c carrier) Get(name string) string {
	switch v := c[name].(type) {
	case string:
		if len(v) <= maxRead {
			return v
		}
	case []byte:
		if len(v) <= maxRead {
			return string(v)
		}
	}
	return ""
}

func (c carrier) Set(name, value string) {
	limit := maxField
	if name == baggageField {
		limit = maxBaggage
	}
	if len(value) <= limit && len(name) <= maxName {
		c[name] = value
	}
}

func (c carrier) Keys() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	return names
}

// ownHeaders are the headers that a message was published with: those of one that
// waits for its time are in a table.
func ownHeaders(h amqp.Table) amqp.Table {
	if later, ok := h[laterHeader].(amqp.Table); ok {
		own, _ := later["headers"].(amqp.Table)
		return own
	}
	return h
}

// carries tells whether there may be a context in h.
func (t *Telemetry) carries(h amqp.Table) bool {
	if len(h) == 0 {
		return false
	}
	for _, name := range t.fields {
		if _, ok := h[name]; ok {
			return true
		}
	}
	return false
}

// read puts the context that h carries into ctx; false where there is none. Whatever
// h holds, nothing fails.
func (t *Telemetry) read(ctx context.Context, h amqp.Table) (context.Context, trace.SpanContext, bool) {
	if !t.carries(h) {
		return ctx, trace.SpanContext{}, false
	}
	// Without the span that is there: what comes out is the message's, or none.
	bare := ctx
	if trace.SpanContextFromContext(ctx).IsValid() {
		bare = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	in := t.cfg.Propagator.Extract(bare, carrier(h))
	own := trace.SpanContextFromContext(in)
	return in, own, own.IsValid()
}

// write puts ctx's context into h in place of another one. Baggage that h has stays
// where ctx has none. Where there is no room, the context that h has stays, too: it is
// of the same trace.
func (t *Telemetry) write(ctx context.Context, h amqp.Table) {
	if len(h) > 0 {
		if story.Size(h) > maxHeaders {
			return
		}
		for _, name := range t.fields {
			if name != baggageField {
				delete(h, name)
			}
		}
	}
	if !t.foreign {
		t.cfg.Propagator.Inject(ctx, carrier(h))
		return
	}
	t.writeForeign(ctx, h)
}

// writeForeign is write for a propagator of the program's, which may add what it
// likes: there is room for as much as a publisher allows a tracer.
func (t *Telemetry) writeForeign(ctx context.Context, h amqp.Table) {
	added := amqp.Table{}
	t.cfg.Propagator.Inject(ctx, carrier(added))
	room := maxAdded
	put := func(name string) {
		value, ok := added[name].(string)
		if size := len(name) + len(value) + 6; ok && size <= room {
			room -= size
			h[name] = value
			delete(added, name)
		}
	}
	for _, name := range t.fields { // the span's identity is among these
		put(name)
	}
	for _, name := range slices.Sorted(maps.Keys(added)) {
		put(name)
	}
}

// noteParked writes when a message was parked, for the span of its delay, and removes
// the note from one that is not.
func noteParked(h amqp.Table, a verdict.About, now time.Time) {
	switch a.Kind {
	case verdict.Parked, verdict.Later:
		h[verdict.HeaderParkedAt] = now.UnixMicro()
	default:
		if len(h) > 0 {
			delete(h, verdict.HeaderParkedAt)
		}
	}
}

// maxDelay is the longest that is believed: the delay ladder reaches 19 days, and
// messages for later wait in parts.
const maxDelay = 10 * 365 * 24 * time.Hour

// parkedAt is when a message was parked by its header; never after now, for clocks
// differ.
func parkedAt(h amqp.Table, now time.Time) (time.Time, bool) {
	micros, ok := h[verdict.HeaderParkedAt].(int64)
	if !ok {
		return time.Time{}, false
	}
	at := time.UnixMicro(micros)
	switch {
	case at.After(now):
		return now, true
	case now.Sub(at) > maxDelay:
		return time.Time{}, false
	}
	return at, true
}
