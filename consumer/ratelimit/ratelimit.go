// Package ratelimit is consumer middleware that keeps to a rate, by
// golang.org/x/time/rate.
//
// A message that has to wait is not settled and no attempt of it counts. Put the
// middleware outermost: what it delays must not count against a Timeout, and is
// no failure to log or trace. The limiter's SetLimit and SetBurst change the rate
// while it runs. A limiter holds for one process.
package ratelimit

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/time/rate"

	"github.com/hareline/hareline/consumer"
)

// Middleware starts handlers as l allows, of all consumers whose chains were
// made with it. A message that must wait keeps its worker waiting: nothing else
// could run meanwhile. So a queue's prefetch should be no more than what the rate
// lets through in half the consumer timeout; a consumer that finds it to be more
// halves it by itself (R 19). A nil limiter limits nothing.
func Middleware(l *rate.Limiter) consumer.Middleware {
	turn := make(chan struct{}, 1)
	return func(next consumer.Handler) consumer.Handler {
		if l == nil {
			return next
		}
		return func(ctx context.Context, d amqp.Delivery) error {
			if err := await(ctx, l, turn); err != nil {
				return err
			}
			return next(ctx, d)
		}
	}
}

// await waits for l, one worker at a time: so there is one reservation to cancel,
// and a new rate does not meet a line of old ones.
func await(ctx context.Context, l *rate.Limiter, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
	case <-stopping(ctx):
		return consumer.Postpone(0, nil)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-turn }()
	r := l.Reserve()
	if !r.OK() {
		return consumer.Postpone(again, errNever)
	}
	wait := r.Delay()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-stopping(ctx):
		r.Cancel()
		return consumer.Postpone(0, nil)
	case <-ctx.Done():
		r.Cancel()
		return context.Cause(ctx)
	}
}

// again is when a message is tried again that its limiter will never let
// through as it is set now.
const again = time.Second

// By has a limiter for each kind of message, such as one for each customer: of
// gives that of a delivery, nil for no limit. It must be safe for several
// goroutines, and give the same limiter each time. What must wait is postponed,
// and others overtake it; it uses up prefetch meanwhile, so that a kind with a
// long backlog slows the others down in the end.
func By(of func(amqp.Delivery) *rate.Limiter) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			l := of(d)
			if l == nil {
				return next(ctx, d)
			}
			r := l.Reserve()
			if !r.OK() {
				return consumer.Postpone(again, errNever)
			}
			if wait := r.Delay(); wait > 0 {
				r.Cancel()
				return consumer.Postpone(wait, nil)
			}
			return next(ctx, d)
		}
	}
}

type never struct{}

func (never) Error() string {
	return "ratelimit: the limiter's burst is 0, so it lets nothing through: set one of at least 1"
}

var errNever = never{}

// stopping is closed when no handler is to start any more; nil outside of Run.
func stopping(ctx context.Context) <-chan struct{} {
	if s, ok := consumer.SubscriptionOf(ctx); ok {
		return s.Stopping()
	}
	return nil
}
