// Package retry is the middleware that gives a failed message another try
// later, without holding a worker, the queue or the messages behind it.
//
//	h := consumer.Chain(ship,
//		dlq.Middleware(copies, orders, dlq.Config{}),
//		retry.Middleware(copies, orders, retry.Policy{MaxRetries: 5}),
//		consumer.Recover(),
//	)
//
// An error of the handler is classified ([Classify]). A transient one makes a
// copy of the message, with its story counted up, on the delay ladder; the copy
// comes back to the queue that failed, not to the exchange, so other
// subscribers do not see it again. The original is acked when the copy is
// confirmed. Everything else, and the failure of the last attempt, becomes a
// [*DeadError] for the middleware above, which buries the message.
//
// A [Policy] says how often and how late: delays that are exponential, constant,
// a list or any backoff.BackOff, with [Jitter] or without; [Policy.MaxElapsed];
// other values for some errors ([Class]); calls of the handler at once, before a
// message is parked ([Policy.Immediate]); a [Budget] that ends retries when they
// are too large a share of the work. A handler may ask for a delay ([After]), and
// [FromHTTP] does so for a Retry-After header.
//
// Retries are bounded always: there is no policy that tries for ever. Delivery
// is at-least-once: a crash between the copy and the ack leaves both, so the
// number of attempts is bounded for each copy, not for the two together.
// Immediate retries are calls of the handler within one attempt: they are in no
// story, and forgotten by a crash.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package retry
