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
// A message's body, and the values in its headers, must not change before there
// is an outcome; after an *UnknownError never, for they may still be sent.
//
// Order: messages that one goroutine passes to Send, or to Publish one after
// the other, arrive for the first time in that order; a copy that was sent
// again may arrive a second time later. One that a full queue refused, and whose
// nack was lost with its channel, is sent again too, and may then be taken
// behind later ones.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package confirm
