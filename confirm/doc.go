// Package confirm publishes messages and tells what became of each.
//
//	pub, err := confirm.Open(ctx, l, confirm.Config{})
//	...
//	err = pub.Publish(ctx, "orders", "order.created", amqp.Publishing{Body: body})
//
// Every message is mandatory, persistent unless it says otherwise, carries a
// message-id, and has exactly one of six outcomes:
//
//	confirmed  nil               routed, and every queue it went to has it
//	returned   *ReturnedError    no queue is bound for it: mend the topology
//	nacked     *NackedError      a queue refused it (full): back off, repeat
//	refused    *RefusedError     the message or the rights are wrong: mend them
//	unsent     *UnsentError      never written: repeat
//	unknown    *UnknownError     written, no answer: repeat; a duplicate is possible, a loss is not
//
// One channel serves all callers, with a bounded window of unanswered
// messages. After a link loss the unanswered ones are sent again, first and in
// their order, with the same message-id. After a channel exception, which
// makes the fate of every neighbour unknown (H 2.1), they go one at a time over
// a channel of their own, so that only the one that caused it is refused. So do
// those with a message that has seen three links lost while it was unanswered;
// after three more, alone, that message is unknown.
//
// PublishBatch publishes many and tells the outcome of each (*[BatchError]); a
// batch is no transaction. Config.OnOutcome is told of every message, for metrics and
// logs; nothing waits for it.
//
// A message's options are properties of amqp.Publishing, and arrive as they are
// given: Priority, for a queue that has priorities, and Expiration, for which
// [Expiration] writes a time.Duration. Only what is empty is filled in:
// DeliveryMode, MessageId, Timestamp. A header that is an int arrives as an
// int64, and one of this package's own is added.
//
// # Messages for later
//
// PublishLater publishes after a delay, to any exchange. It needs a work queue
// of its own, which holds nothing else, and a consumer of it:
//
//	later := topology.WorkQueue("shop.later", topology.WorkConfig{})
//	... topology.Declare(ctx, l, later.Topology)
//	pub, err := confirm.Open(ctx, l, confirm.Config{Later: later})
//	...
//	err = pub.PublishLater(ctx, time.Hour, "orders", "order.reminder", msg)
//	...
//	consumer.Config{Queue: later.Queue, Handler: consumer.Chain(pub.Forward,
//		dlq.Middleware(copies, later, dlq.Config{}),
//		retry.Middleware(copies, later, retry.Policy{}),
//		consumer.Recover())}
//
// A message whose time has come while no such consumer runs waits in the queue. To
// come to one work queue after a delay, nothing is needed but where its ladder
// takes it, topology.Work.Park; but it comes out without priority and with
// another routing key, and an expiration would end its wait.
//
// A message's body, and the values in its headers, must not change before there
// is an outcome; after an *UnknownError never, for they may still be sent.
//
// # Order
//
// Messages that one goroutine passes to Send, or to Publish one after the other, or
// in one batch, arrive for the first time in that order; a copy that was sent
// again may arrive a second time later. One that a full queue refused, and whose
// nack was lost with its channel, is sent again too, and may then be taken
// behind later ones. One that is nacked and repeated comes after its successors, and
// a batch goes on behind one that fails: where that must not be, publish one by
// one, and stop at the first error. Messages for later that have about the same time
// come in any order.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package confirm
