package confirm

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Receipt is one message on its way. It always comes to an end: an answer,
// ConfirmTimeout, the end of the ctx given to Send, or Close.
type Receipt struct {
	exchange, key string  // as its caller gave them
	to            address // where it is published: a message for later goes to the ladder first
	msg           amqp.Publishing
	id            uint64
	size          int
	began         time.Time // zero without a hook
	waited        time.Duration
	traced        func(outcome error, waited time.Duration) // nil without a tracer
	next          *Receipt                                  // of those that ended together

	done chan struct{}
	err  error // set before done is closed

	// Guarded by the publisher's mutex.
	stage  stage
	over   bool          // the caller has its outcome
	losses int           // links lost while it was unanswered
	sends  int           // how often it was written
	sentAt time.Duration // on the session's clock
	unhook func() bool   // stops watching the caller's ctx

	confirmation atomic.Pointer[amqp.DeferredConfirmation] // nil until written
}

// address is where a message is published.
type address struct{ exchange, key string }

// stage is where a message stands: waiting to be written, written, or out of
// the window.
type stage uint8

const (
	queued stage = iota
	inFlight
	gone
)

// Done is closed when there is an outcome.
func (r *Receipt) Done() <-chan struct{} { return r.done }

// Outcome is nil for a confirmed message and a typed error for any other
// outcome, as listed in the package comment; ErrPending before Done is closed.
func (r *Receipt) Outcome() error {
	select {
	case <-r.done:
		return r.err
	default:
		return ErrPending
	}
}

// Wait waits for the outcome. The end of this ctx ends this wait only, with the
// ctx's cause, which is no outcome: the message goes on.
func (r *Receipt) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("confirm: stopped waiting for the outcome of the %s: %w", target(r.exchange, r.key), context.Cause(ctx))
	}
}

// MessageID is the message-id it was published with.
func (r *Receipt) MessageID() string { return r.msg.MessageId }

// via is the exchange of a message that is not published to its caller's.
func (r *Receipt) via() string {
	if r.to == (address{r.exchange, r.key}) {
		return ""
	}
	return r.to.exchange
}

// end tells the tracer of the outcome, and then the caller.
func (r *Receipt) end() {
	if r.traced != nil {
		r.traced(r.err, r.waited)
		r.traced = nil // a kept receipt must not keep the span
	}
	close(r.done)
}

func (r *Receipt) maybeStored() bool { return r.sends > 1 }

func (r *Receipt) refused(reason string) error {
	return &RefusedError{Reason: reason, Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId}
}

func (r *Receipt) unsent(err error) error {
	return &UnsentError{Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, Err: err}
}

func (r *Receipt) unknown(err error) error {
	return &UnknownError{Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, Err: err}
}
