// Package settlement tells middleware what became of a delivery after its handler
// has returned. The consumer settles on its own, later and many at once; whoever
// traces that needs to be told, and must not import package consumer for it.
package settlement

import (
	"context"
	"sync/atomic"
	"time"
)

// Result is how a delivery was settled.
type Result struct {
	// Method is the AMQP method that settled it: "ack", "nack" (requeued) or "reject"
	// (dead-lettered). "" means that the session ended first: the broker delivers
	// the message again.
	Method string
	// Began and Ended are when the method was written.
	Began, Ended time.Time
	// Err is why it could not be written: the message is delivered again.
	Err error

	// One write may settle many deliveries: Of is how many of them are told, one after
	// the other, and Index this one's number, from 0. Shared is the same for all of them,
	// for whoever tells of them together; it is nil where Of is 1.
	Index, Of int
	Shared    *any
}

// Teller knows the deliveries of one session of a consumer. Its methods are safe for
// concurrent use.
type Teller interface {
	// Queue is the queue that is consumed.
	Queue() string
	// OnSettled has f called once, when the delivery with this tag is settled or its
	// session has ended. It is called by the goroutine that settles, which waits for
	// it: f must not block. False: the session has ended already.
	OnSettled(tag uint64, f func(Result)) bool
}

type key struct{}

// With returns the ctx of the handlers of one session.
func With(ctx context.Context, t Teller) context.Context { return context.WithValue(ctx, key{}, t) }

// From gives the session that a handler's delivery came on; false for a ctx that no
// consumer made.
func From(ctx context.Context) (Teller, bool) {
	t, ok := ctx.Value(key{}).(Teller)
	return t, ok
}

// Kept is a delivery of which there are several attempts before it is settled. Its
// methods are safe for concurrent use.
type Kept struct {
	last atomic.Pointer[context.Context]
}

// Note enters the ctx of the attempt that is made now.
func (k *Kept) Note(ctx context.Context) { k.last.Store(&ctx) }

// Last is the ctx of the last attempt, nil where nobody noted one: what comes after
// it in the trace of the message has its values.
func (k *Kept) Last() context.Context {
	if last := k.last.Load(); last != nil {
		return *last
	}
	return nil
}

type keptKey struct{}

// Keep returns the ctx of a handler whose errors settle nothing: the delivery is
// kept, and tried again in this process or buried.
func Keep(ctx context.Context, k *Kept) context.Context {
	return context.WithValue(ctx, keptKey{}, k)
}

// KeptOf gives what Keep was given, nil for any other ctx.
func KeptOf(ctx context.Context) *Kept {
	kept, _ := ctx.Value(keptKey{}).(*Kept)
	return kept
}

// IsKept tells a ctx of Keep.
func IsKept(ctx context.Context) bool { return KeptOf(ctx) != nil }
