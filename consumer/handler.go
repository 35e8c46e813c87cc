package consumer

import (
	"context"
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// Handler handles one delivery. It may be called from many goroutines at once,
// and for one message more than once. It cannot settle: d.Acknowledger is nil.
// Its ctx ends at the deadline of the drain, with a cause that has Shutdown()
// bool, and not when the session is lost. What its error means, see the package
// comment and retry.Classify.
// d.Exchange, d.RoutingKey and d.Priority are those of the first delivery,
// also when the message comes back from a delay or a replay.
type Handler = func(context.Context, amqp.Delivery) error

// Middleware wraps a handler.
type Middleware = func(Handler) Handler

// Cause gives the failure behind an error that says what is being done about
// it: that of a copy under way, to be tried again or beyond help. Middleware
// outside of retry and dlq meets such errors; nil for all others.
func Cause(err error) error { return verdict.Cause(err) }

// Chain wraps h; the first middleware is the outermost.
func Chain(h Handler, m ...Middleware) Handler {
	for _, wrap := range slices.Backward(m) {
		h = wrap(h)
	}
	return h
}

// MalformedError is a message that can never be handled as it is.
type MalformedError struct {
	Problem string
	Err     error
}

func (e *MalformedError) Error() string {
	if e.Err == nil {
		return "consumer: malformed message: " + e.Problem
	}
	return fmt.Sprintf("consumer: malformed message: %s: %v", e.Problem, e.Err)
}

// Unwrap returns the decoder's error.
func (e *MalformedError) Unwrap() error { return e.Err }

// Malformed marks it for whoever classifies errors.
func (e *MalformedError) Malformed() bool { return true }
