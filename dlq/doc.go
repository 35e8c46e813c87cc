// Package dlq buries messages that no retry can help, with the story of why,
// and lets people look at them, replay them and discard them.
//
// [Middleware] publishes the letter: a confirmed copy in the dead-letter queue,
// and only then the ack of the original.
//
//	h := consumer.Chain(ship,
//		dlq.Middleware(copies, orders, dlq.Config{}),
//		retry.Middleware(copies, orders, retry.Policy{}),
//		consumer.Recover(),
//	)
//
// [Queue] works on a dead-letter queue, or on a ladder's unclaimed queue:
//
//	q := dlq.Open(l, dlq.QueueConfig{Queue: orders.DeadLetterQueue})
//	err := q.Look(ctx, func(letter dlq.Letter) error { ... })
//	groups, rest, err := q.Groups(ctx, nil) // what went wrong, and how often
//	report, err := q.Replay(ctx, pub, dlq.ReplayConfig{
//		Select:  dlq.Filter{Class: "*net.OpError", OlderThan: time.Hour}.At(time.Now()),
//		Rate:    50, // a second
//		Journal: "orders.replay",
//	})
//
// Replay is at-least-once: a letter is acked when its copy is confirmed. A crash
// in between leaves both, and the copy of the next replay has the same
// replay-id, by which a consumer can tell. With ReplayConfig.Journal the next
// replay knows what the one before did: it does not publish again what was
// confirmed, and lists what may be there twice. It can also be tried (DryRun), edit
// what it publishes, and park what was replayed too often.
//
// [Queue.Export] writes letters as JSON Lines, [Queue.Import] brings them back.
//
// All of these work on a million letters in a few dozen megabytes, and leave the
// others in the queue, in their order: letters are held by the broker, on many
// channels, and never by the process.
//
// [Parse] makes a [Letter] of any message, our own or not, however broken.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package dlq
