// Package bus is an event bus: services publish events by type, and every
// group of subscribers gets each event that matches its pattern.
//
//	b, err := bus.Open(ctx, l, bus.Config{})
//	...
//	err = b.Subscribe(ctx, "video.*", "analytics", func(ctx context.Context, e bus.Received) error {
//		var v VideoEvent
//		if err := e.Decode(&v); err != nil {
//			return err
//		}
//		return count(ctx, v)
//	})
//	go func() { ended <- b.Run(ctx) }()
//	err = b.Publish(ctx, bus.Event{Type: "video.watch_started", Payload: v})
//
// It is link, topology, confirm, consumer, retry and dlq put together, and
// nothing that they could not do by hand. An event that Publish accepted is
// handled by every group subscribed at that time, or lies in the group's
// dead-letter queue with the reason why. Delivery is at-least-once: handlers
// meet an event twice now and then, with the same message-id.
//
// # On the wire
//
// A durable topic exchange, "events" by default. The routing key is the event's
// key, its type by default. The body is a JSON object with exactly the fields
// "event_type" (string), "payload" (any) and "timestamp" (seconds since 1970, a
// decimal fraction); messages are persistent. Programs in other languages on
// the same exchange publish and subscribe alike, with or without this package.
//
// Config.Format makes them CloudEvents 1.0 instead. CloudEvents has no binding for
// AMQP 0-9-1, so binary mode has the attributes in headers as its binding for AMQP
// 1.0 names them ("cloudEvents_type"), the payload as the body, and the payload's
// content type as the message's; structured mode is its JSON event format, with
// content type "application/cloudevents+json". Read are all three formats, whatever
// Config.Format says; in binary mode the prefixes "cloudEvents:", "ce-" and "ce_" as
// well, in structured mode also without the content type. The id of a CloudEvent is
// its message-id.
//
// A group is a queue of that name: a quorum queue bound to the exchange by the
// pattern, with a dead-letter queue (the name and ".dlq") and a place on the
// delay ladder, see topology.WorkQueue. Processes that subscribe the same group
// share its events; each group gets all of them.
//
// # Patterns
//
// A pattern is an AMQP topic pattern: words apart by dots, "*" for exactly one
// word, "#" for any number of them. "video.*" matches "video.started", and
// neither "video" nor "video.started.again". A group whose pattern has changed
// since an earlier release keeps the earlier binding as well, for declaring
// only adds: unbind it by hand, or give the group a new name.
//
// RabbitMQ takes any text for a pattern and matches it literally where it means
// nothing. Subscribe refuses what cannot be meant ("video*", "video.**", "a..b",
// "video/*") and says what would be.
//
// # Versions
//
// An event type may have versions: "order.created", "order.created.v2". With
// Config.Versions handlers see the newest one alone, whatever is published. Update
// subscribers first, then publishers. See [Versions].
//
// # Requests
//
// [Bus.Request] publishes a request and waits for the reply of a group that
// [Bus.Respond] serves. Requests have a topic exchange of their own, the bus's name
// and ".requests", and live as long as their caller waits: see there. On the wire a
// request is an event in the bus's format with reply-to, correlation-id, expiration
// and [HeaderReplyBy]; a reply has the correlation-id and [HeaderReplyStatus], and,
// where that is "error", a payload with the fields "error" and "reason". The reply
// queue is a classic one of the caller's bus, the bus's name, ".replies." and a
// UUID: a user needs the right to configure, write and read such names.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package bus
