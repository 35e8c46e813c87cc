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
	waits  []*eventWait
}

// eventWait is a wait for events: they come to it as they happen, since the
// ring may have lost them when it wakes.
type eventWait struct {
	news []Event
	wake chan struct{} // has one if there may be news, or the broker is closed
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
	for _, w := range t.waits {
		w.news = append(w.news, e)
		poke(w.wake)
	}
}

// kept copies the events that are kept, in order.
func (t *tracer) kept() []Event { return slices.Concat(t.events[t.next:], t.events[:t.next]) }

// Trace is what happened, oldest first: the last [Config.Trace] events that
// where accepts, or all of those if where is nil.
func (b *Broker) Trace(where func(Event) bool) []Event {
	b.lock()
	all := b.tracer.kept()
	b.unlock()
	if where == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e Event) bool { return !where(e) })
}

// WaitEvent returns the first event that where accepts (nil: any), of those
// kept and all those to come. It blocks until there is one, and fails when ctx
// ends, the broker is closed, or no events are kept ([Config.Trace]).
func (b *Broker) WaitEvent(ctx context.Context, where func(Event) bool) (Event, error) {
	accepts := Both(where)
	w, err := b.startWait()
	if err != nil {
		return Event{}, err
	}
	defer b.endWait(w)
	for {
		b.lock()
		news, closed := w.news, b.closed
		w.news = nil
		b.unlock()
		if i := slices.IndexFunc(news, accepts); i >= 0 {
			return news[i], nil
		}
		if closed {
			return Event{}, errClosed
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

func (b *Broker) startWait() (*eventWait, error) {
	b.lock()
	defer b.unlock()
	if !b.tracer.on {
		return nil, errors.New("amqptest: no events are kept: set Config.Trace")
	}
	w := &eventWait{news: b.tracer.kept(), wake: make(chan struct{}, 1)}
	b.tracer.waits = append(b.tracer.waits, w)
	return w, nil
}

func (b *Broker) endWait(w *eventWait) {
	b.lock()
	defer b.unlock()
	b.tracer.waits = slices.DeleteFunc(b.tracer.waits, func(other *eventWait) bool { return other == w })
}

// close ends all waits. Broker.closed is set before.
func (t *tracer) close() {
	for _, w := range t.waits {
		poke(w.wake)
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

// Both accepts what all of the functions accept; nil accepts everything.
func Both(where ...func(Event) bool) func(Event) bool {
	return func(e Event) bool {
		for _, accepts := range where {
			if accepts != nil && !accepts(e) {
				return false
			}
		}
		return true
	}
}
