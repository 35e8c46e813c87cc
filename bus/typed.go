package bus

import (
	"context"

	"github.com/hareline/hareline/consumer"
)

// Subscribe is Bus.Subscribe with a handler that takes the payload decoded into T. A
// payload that does not decode is malformed: the event is buried at once, and the
// handler does not see it.
func Subscribe[T any](ctx context.Context, b *Bus, pattern, group string, h func(context.Context, T, Received) error, m ...consumer.Middleware) error {
	if h == nil {
		return b.Subscribe(ctx, pattern, group, nil, m...)
	}
	return b.Subscribe(ctx, pattern, group, func(ctx context.Context, e Received) error {
		var v T
		if err := e.Decode(&v); err != nil {
			return err
		}
		return h(ctx, v, e)
	}, m...)
}

// Respond is Bus.Respond with a responder that takes the payload decoded into Q. A
// payload that does not decode is answered with a *ResponderError, malformed.
func Respond[Q, A any](ctx context.Context, b *Bus, pattern, group string, h func(context.Context, Q, Received) (A, error), m ...consumer.Middleware) error {
	if h == nil {
		return b.Respond(ctx, pattern, group, nil, m...)
	}
	return b.Respond(ctx, pattern, group, func(ctx context.Context, e Received) (any, error) {
		var v Q
		if err := e.Decode(&v); err != nil {
			return nil, err
		}
		return h(ctx, v, e)
	}, m...)
}
