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
// So middleware must hand such an error on, as it is or wrapped by %w; [Cause]
// gives the failure behind it.
//
// The end of Run's ctx is no verdict on any message: it starts the drain.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package consumer
