package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"

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

// JSON makes a handler of a function that takes a decoded body. A body that
// does not decode into T, or a content type other than JSON, is a
// *MalformedError: no repetition helps. No content type counts as JSON; a
// content encoding (gzip) is not undone.
func JSON[T any](f func(context.Context, T, amqp.Delivery) error) Handler {
	return func(ctx context.Context, d amqp.Delivery) error {
		var v T
		if problem := notJSON(d); problem != "" {
			return &MalformedError{Problem: problem}
		}
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return &MalformedError{Problem: fmt.Sprintf("the body does not decode into %T", v), Err: err}
		}
		return f(ctx, v, d)
	}
}

func notJSON(d amqp.Delivery) string {
	if d.ContentEncoding != "" && !strings.EqualFold(d.ContentEncoding, "utf-8") && !strings.EqualFold(d.ContentEncoding, "identity") {
		return fmt.Sprintf("content-encoding %q is not supported", d.ContentEncoding)
	}
	if d.ContentType == "" {
		return ""
	}
	kind, _, err := mime.ParseMediaType(d.ContentType)
	if err != nil || kind != "application/json" && kind != "text/json" && !strings.HasSuffix(kind, "+json") {
		return fmt.Sprintf("content-type %q is not JSON", d.ContentType)
	}
	return ""
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
