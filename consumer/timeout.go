package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// TimeoutError is a handler that was still at work at its deadline.
type TimeoutError struct {
	After time.Duration
	Err   error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("consumer: handler not done after %s: %v", e.After, e.Err)
}

// Unwrap returns what the handler returned.
func (e *TimeoutError) Unwrap() error { return e.Err }

// Timeout is true, as net.Error has it: trying again may help.
func (e *TimeoutError) Timeout() bool { return true }

// Timeout ends the handler's ctx after d. A handler that returns its ctx's
// error then gives a *TimeoutError; any other result is left as it is, for the
// handler knows better what it did. A handler that does not look at its ctx
// cannot be stopped. Where the result is pending, the message forwarded under this
// ctx, the ctx lasts until the outcome, for d at most. Keep d well below the
// broker's consumer timeout. It belongs innermost, beside Recover; 0 is no timeout.
func Timeout(d time.Duration) Middleware {
	return func(next Handler) Handler {
		if d <= 0 {
			return next
		}
		return func(ctx context.Context, del amqp.Delivery) error {
			own, cancel := context.WithTimeout(ctx, d)
			forwarded := false
			u := handled(ctx, &del)
			var outer int64
			if at, ok := own.Deadline(); ok && u != nil {
				outer = u.deadline.Swap(at.UnixNano())
			}
			defer func() {
				if u != nil {
					u.deadline.Store(outer)
				}
				if !forwarded {
					cancel()
				}
			}()
			err := next(own, del)
			if p, ok := verdict.AsPending(err); ok {
				// An end now would make it unknown, and have it published again.
				forwarded = true
				return verdict.Then(p, func(outcome error) error {
					cancel()
					return outcome
				})
			}
			if err == nil || own.Err() == nil || ctx.Err() != nil {
				return err
			}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return &TimeoutError{After: d, Err: err}
			}
			return err
		}
	}
}
