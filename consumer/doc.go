// Package consumer runs a handler over a queue.
//
//	err := consumer.Run(ctx, l, consumer.Config{
//		Queue:   "orders",
//		Handler: consumer.JSON(func(ctx context.Context, o Order, d amqp.Delivery) error { return ship(ctx, o) }),
//		Workers: 8,
//	})
//
// A handler returns what it found, and the consumer alone settles: exactly
// once per delivery, on the session that delivered it. nil is an ack. Any
// error that nothing in the chain turned into something else is given back to
// the queue, with backoff. The middleware of packages retry and dlq turn
// errors into copies that are confirmed before the original is acked; the
// consumer understands their errors by one-method interfaces:
//
//	pending  Done, Outcome  a copy is under way: the worker goes on, the settle follows the copy's confirm
//	again    Again(ctx)     no copy can be stored for now: no new handler starts until it can
//	reject   Reject() bool  no time will mend the copy: reject into the broker's dead-letter exchange, or hold aside
//
// and so it understands middleware that does not let a delivery through yet
// ([Postpone]).
//
// So middleware must hand such an error on, as it is or wrapped by %w; [Cause]
// gives the failure behind it.
//
// In a [Chain] the first middleware is the outermost. What delays or drops
// messages comes first, then burial and retry, then what is about one attempt:
//
//	consumer.Chain(ship,
//		limit, unique, breaker,      // packages ratelimit, dedup, breaker
//		dlq.Middleware(...), retry.Middleware(...),
//		consumer.Recover(), consumer.Timeout(time.Minute),
//		compress.Middleware(...))    // the copies of retry and dlq keep the body as it came
//
// The breaker stands behind what delays and drops: a duplicate that was dropped is no
// sign that things work again, and who waited for the limit while it opened is not
// let through.
//
// [Decode] and [JSON] make handlers of functions that take values, [Batch] of
// those that take many; a [Control] pauses consumers and changes their prefetch
// while they run.
//
// On a queue with single active consumer (topology.Queue.SingleActive) Run needs
// nothing else: the others wait, and have the rest in order when the active one
// drains, pauses or is lost (R 8). With Workers 1 the handling keeps that order.
//
// The end of Run's ctx is no verdict on any message: it starts the drain.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package consumer
