package consumer

import (
	"context"
	"fmt"
	"runtime/debug"

	amqp "github.com/rabbitmq/amqp091-go"
)

// PanicError is a handler's panic as an error.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("consumer: handler panicked: %v", e.Value) }

// Unwrap returns the panic's value where that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Panicked marks it for whoever classifies errors: whatever the value was, a
// panic is unexpected.
func (e *PanicError) Panicked() bool { return true }

// PanicStack is where it panicked, for logs.
func (e *PanicError) PanicStack() []byte { return e.Stack }

// Recover turns a panic of what it wraps into a *PanicError with its stack.
// Put it innermost, so that the panic is classified like any other error. The
// consumer itself recovers panics too, of middleware as well, but knows only to
// give the message back.
func Recover() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d amqp.Delivery) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = &PanicError{Value: v, Stack: debug.Stack()}
				}
			}()
			return probed(next(ctx, d))
		}
	}
}

// probed is err, whose text must be had without a panic: a nil pointer of an
// error type is a bug of the handler, and shows here and not in somebody's log.
func probed(err error) error {
	if err != nil {
		_ = err.Error()
	}
	return err
}
