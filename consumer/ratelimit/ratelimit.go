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
	for {
		r := l.Reserve()
		if !r.OK() {
			return consumer.Postpone(again, errNever)
		}
		wait := r.Delay()
		if err := pass(ctx, r, min(wait, again)); err != nil || wait <= again {
			return err
		}
		r.Cancel() // the rate may be another one now
	}
}

// pass lets wait go by, or takes the reservation back.
func pass(ctx context.Context, r *rate.Reservation, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		if s, ok := consumer.SubscriptionOf(ctx); ok && s.Held() { // since it waits here
			return consumer.Postpone(0, nil)
		}
		return nil
	case <-stopping(ctx):
		r.Cancel()
		return consumer.Postpone(0, nil)
	case <-ctx.Done():
		r.Cancel()
		return context.Cause(ctx)
	}
}

// again is when a limiter is asked again that did not let a message through: it
// may be set to another rate meanwhile.
const again = time.Second

// short is what By waits for with a worker. A Postpone is not for less.
const short = 100 * time.Millisecond

// By has a limiter for each kind of message, such as one for each customer: of
// gives that of a delivery, nil for no limit. It must be safe for several
// goroutines, and give the same limiter each time. What must wait is postponed,
// for a second at most, and others overtake it; for less than 100 ms it waits with
// its worker. It uses up prefetch meanwhile, so that a kind with a long backlog
// slows the others down in the end.
func By(of func(amqp.Delivery) *rate.Limiter) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			l := of(d)
			if l == nil {
				return next(ctx, d)
			}
			if err := awaitShort(ctx, l); err != nil {
				return err
			}
			return next(ctx, d)
		}
	}
}

// awaitShort waits for l if that is short. It looks before it reserves, for
// tokens are lost when several reservations are taken back.
func awaitShort(ctx context.Context, l *rate.Limiter) error {
	if wait := closed(l); wait >= short {
		return consumer.Postpone(min(wait, again), nil)
	}
	r := l.Reserve()
	if !r.OK() {
		return consumer.Postpone(again, errNever)
	}
	wait := r.Delay()
	if wait >= again { // set to another rate this moment, or many workers
		r.Cancel()
		return consumer.Postpone(again, nil)
	}
	return pass(ctx, r, wait)
}

// closed is how long l lets nothing through.
func closed(l *rate.Limiter) time.Duration {
	limit, missing := l.Limit(), 1-l.Tokens()
	switch {
	case limit == rate.Inf || l.Burst() < 1 || missing <= 0:
		return 0 // Reserve says the rest
	case float64(limit)*again.Seconds() < missing:
		return again
	}
	return time.Duration(missing / float64(limit) * float64(time.Second))
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
