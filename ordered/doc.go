// Package ordered handles messages key by key: those of one key in the order of
// their publishing, those of different keys side by side, in as many processes as
// you like, also when handlers fail.
//
//	orders := topology.PartitionedQueue("orders", topology.PartitionsConfig{})
//	err := topology.Declare(ctx, l, orders.Topology)
//
//	exchange, key := orders.Route("customer-17") // a publisher: which partition, and the key
//	err = pub.Publish(ctx, exchange, key, msg)
//
//	c, err := ordered.New(ordered.Config{
//		Partitions: orders,
//		Copies:     copies, // a confirm.Publisher for letters alone
//		Retry:      retry.Policy{BackOff: retry.Schedule(time.Second, 10*time.Second, time.Minute)},
//		Consumer:   consumer.Config{Handler: ship, Workers: 4},
//	})
//	err = c.Run(ctx, l) // or give c.Consumers() to a consumer.Group
//
// The partitions are quorum queues with a single active consumer each, so that at
// any time one process has all of a key. A message that fails transiently stays
// unacked in that process, and is tried again there after the delays of the
// policy. The messages behind it with the same key wait for it; other keys go on.
// It is never parked on the ladder, from which it would come back behind its
// followers (R 9). After its last attempt, or at once when no attempt helps, it is
// buried in the dead-letter queue; when the letter is confirmed, its followers run.
//
// A process that ends, or loses its session, leaves what it has not settled to the
// next one, in order (R 8); attempts begin anew there.
//
// The broker gives a message back that is unacked for too long
// (consumer.Config.ConsumerTimeout). Messages that have waited here for half of it
// are given back before, all together and in order, by a new subscription.
//
// What is promised and what not stands in docs/guarantees.md of the repository,
// under "Order of a key". In short: no message of a key has its first effect
// before the first effect, or burial, of each message that was published before
// it. But a message may have a second effect, later, as everywhere (at-least-once).
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md of
// the repository.
package ordered
