package consumer

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Concurrency lets n handlers run at once, of all consumers whose chains were
// made with this middleware; the others wait with their workers. For one
// consumer, Config.Workers does the same. Put it outside of Timeout. n below 1
// counts as 1.
func Concurrency(n int) Middleware {
	places := make(chan struct{}, max(n, 1))
	return func(next Handler) Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			select {
			case places <- struct{}{}:
			case <-stopping(ctx):
				return Postpone(0, nil)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			defer func() { <-places }()
			if held(ctx) { // since it waits here
				return Postpone(0, nil)
			}
			return next(ctx, d)
		}
	}
}

// Filter hands on what matches; the rest goes to otherwise, or is acked and
// forgotten when that is nil. match must be safe for several goroutines.
func Filter(match func(amqp.Delivery) bool, otherwise Handler) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			switch {
			case match(d):
				return next(ctx, d)
			case otherwise != nil:
				return otherwise(ctx, d)
			}
			return nil
		}
	}
}
