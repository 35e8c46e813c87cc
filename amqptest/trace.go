package amqptest

import (
	"context"
	"errors"
	"slices"
	"time"
)

// tracer keeps what happened: the last limit events, in a ring.
type tracer struct {
	on     bool // there is a place for events
	limit  int
	events []Event
	next   int // where the next one goes once the ring is full
	seq    uint64
	start  time.Time
	// changed is closed at the next event; nil: nobody waits.
	changed chan struct{}
}

// traceSetUp starts the trace. It is called when the broker is made.
func (b *Broker) traceSetUp() {
	b.tracer.limit = max(0, b.cfg.Trace)
	b.tracer.on = b.tracer.limit > 0
	b.tracer.start = b.clock.now()
}

// trace notes an event; Seq and At are filled in. It is called under
// Broker.mu, if b.tracer.on: making an Event costs something.
func (b *Broker) trace(e Event) {
	t := &b.tracer
	if !t.on {
		return
	}
	t.seq++
	e.Seq = t.seq
	e.At = b.clock.now()
	if len(t.events) < t.limit {
		t.events = append(t.events, e)
	} else {
		t.events[t.next] = e
		t.next = (t.next + 1) % t.limit
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// since copies the kept events after seq, in order.
func (t *tracer) since(seq uint64) []Event {
	n := int(min(t.seq-seq, uint64(len(t.events))))
	older, newer := t.events[t.next:], t.events[:t.next]
	if n <= len(newer) {
		return slices.Clone(newer[len(newer)-n:])
	}
	return slices.Concat(older[len(older)+len(newer)-n:], newer)
}

// Trace is what happened, oldest first: the last [Config.Trace] events that
// where accepts, or all of those if where is nil.
func (b *Broker) Trace(where func(Event) bool) []Event {
	b.lock()
	all := b.tracer.since(0)
	b.unlock()
	if where == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e Event) bool { return !where(e) })
}

// WaitEvent returns the first event that where accepts, of those kept and
// those to come. It blocks until there is one, and fails when ctx ends, the
// broker is closed, or no events are kept ([Config.Trace]).
func (b *Broker) WaitEvent(ctx context.Context, where func(Event) bool) (Event, error) {
	var seen uint64
	for {
		b.lock()
		if !b.tracer.on {
			b.unlock()
			return Event{}, errors.New("amqptest: no events are kept: set Config.Trace")
		}
		news, closed := b.tracer.since(seen), b.closed
		changed := b.tracer.wait()
		b.unlock()
		if i := slices.IndexFunc(news, where); i >= 0 {
			return news[i], nil
		}
		if closed {
			return Event{}, errClosed
		}
		if len(news) > 0 {
			seen = news[len(news)-1].Seq
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// wait is closed at the next event, or when the broker is closed.
func (t *tracer) wait() <-chan struct{} {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

// close ends all waits. Broker.closed is set before.
func (t *tracer) close() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// OfKind accepts events of the kinds, for [Broker.Trace] and the like.
func OfKind(kinds ...EventKind) func(Event) bool {
	return func(e Event) bool { return slices.Contains(kinds, e.Kind) }
}

// OnQueue accepts events of a queue: what was routed to it, delivered from
// it, settled and so on.
func OnQueue(name string) func(Event) bool {
	return func(e Event) bool { return e.Queue == name || slices.Contains(e.Queues, name) }
}

// Both accepts what all of the functions accept.
func Both(where ...func(Event) bool) func(Event) bool {
	return func(e Event) bool {
		for _, accepts := range where {
			if !accepts(e) {
				return false
			}
		}
		return true
	}
}
