// Package telemetry follows messages with OpenTelemetry: traces, in which one tree
// tells of a message's publish, every attempt to handle it, every delay, its burial,
// its replay and its success; and metrics.
//
//	tel, err := telemetry.New(telemetry.Config{})
//	...
//	l, err := link.Open(ctx, link.Config{URLs: urls, OnState: tel.OnState})
//	pub, err := confirm.Open(ctx, l, confirm.Config{Tracer: tel})
//	copies, err := confirm.Open(ctx, l, confirm.Config{Tracer: tel})
//	...
//	consumer.Chain(handle,
//		tel.Middleware(), // outermost
//		dlq.Middleware(copies, orders, dlq.Config{}),
//		retry.Middleware(copies, orders, policy),
//		consumer.Recover())
//
// For a bus, Config.Tracer and Config.Middleware; for package ordered, a
// consumer.Chain around its Consumer.Handler. A replay is traced when the publisher
// that it is given is. Providers, exporters and sampling are the program's: set
// OpenTelemetry's global providers before New, or name them in [Config]. Where there
// is none, nothing is done and nothing allocated.
//
// # Context
//
// It travels in the headers traceparent, tracestate and baggage, as strings, by W3C's
// rules: programs in other languages, with any instrumentation that reads headers,
// join the trace. Headers are read as strings or bytes, under these exact names; what
// cannot be read is none. Copies carry it on, also those of a program without
// telemetry. Handlers find span and baggage in their ctx, so that what they publish
// under it, their logs and their calls belong to the attempt. Baggage of over 4 KiB is
// left out, and all of it where headers are near the limit of what can be consumed:
// tracing makes no message fail.
//
// # Spans
//
// Names, kinds and attributes are those of the semantic conventions for messaging and
// RabbitMQ, v1.43.0, which are in development and may change: a new version of them
// comes with a release that says so. Names are the operation and its destination.
//
//	send           PRODUCER  a publish, from the call to its outcome
//	create         PRODUCER  likewise, one message of a PublishBatch
//	send           CLIENT    a PublishBatch, linked to its messages' spans, the first 128
//	publish-later  PRODUCER  to the delay ladder, for a later time
//	reply          PRODUCER  to the queue that a request names
//	process        CONSUMER  an attempt: the handler's call, and what its middleware does
//	park           PRODUCER  a copy to the delay ladder, for the next attempt
//	delay          INTERNAL  the wait on the ladder, up to the next attempt
//	bury           PRODUCER  a copy to the dead-letter queue
//	receive        CLIENT    a letter's taking from there
//	replay         PRODUCER  its copy to the queue that it failed in
//	move           PRODUCER  its copy to a queue of letters that were replayed too often
//	ack, nack, reject  CLIENT  what settled the delivery, below its attempt; acks that one
//	                           write carried are one span, below the first one's attempt
//	                           and linked to the others
//	unsettled      CLIENT    the session ended first: the message is delivered again
//
// The parent of a publish is the span in its ctx, unless the message carries a context
// of another trace, as letters and rows of an outbox do: then that is the parent, and
// the ctx's a link. The parent of an attempt is the publish that brought it; with
// [Config.Links] it begins a trace and links to that. A span around consumer.Run is
// linked. A sampler gets the conventions' attributes with spans that begin a trace;
// those of other spans come at their end.
//
// Beside the conventions' attributes there are:
//
//	hareline.outcome         of a publish: confirmed, returned, nacked, refused, unsent, unknown
//	hareline.window.wait     how long it waited for a place in the window, in s
//	hareline.verdict         of an attempt: handled, forwarded, answered, parked, buried, failed,
//	                         postponed, paused, rejected, held-aside, given-back, panicked
//	hareline.attempt         its number, from 1; hareline.attempts, how many there are to be
//	hareline.delay           before the next attempt, or that was waited, in s
//	hareline.reason          why a message was buried
//	hareline.queue           what is consumed, or what a copy is for
//	hareline.redelivered, hareline.delivery_count   as the broker tells
//	hareline.replay.count, hareline.replay.id       of a replayed message
//
// What failed has an error.type (of a publish its outcome, of an attempt story.Class),
// a status and an exception event with the error's text after [Config.Redact]. A
// handler that the drain interrupts has not failed. Bodies are in no span, nor are
// headers but those named here.
//
// An attempt's delay is that between two clocks where two processes are concerned; it
// is never negative. It is not told of a message that came back unsettled before the
// attempt.
//
// # Metrics
//
// Those of the conventions, and ours. What is told apart by is in brackets; all have
// messaging.system too. A destination is the exchange of a publish (amq.default is the
// default one), never its routing key, or the queue that is consumed.
//
//	messaging.client.sent.messages [operation, destination, error.type]
//	messaging.client.consumed.messages [operation: process or receive; destination]
//	messaging.client.operation.duration [operation, its type, destination, error.type], s
//	messaging.process.duration [destination, verdict, error.type], s, a histogram
//	hareline.publish.outcomes [operation, destination, outcome]
//	hareline.publish.in_flight [operation, destination]
//	hareline.publish.wait [operation, destination], s, for a place in the window
//	hareline.process.active [destination], handlers at work
//	hareline.process.attempts [destination, verdict], a message's at its success or burial
//	hareline.process.redelivered, hareline.process.postponed [destination]
//	hareline.parked.delay [destination], s, a histogram
//	hareline.buried.messages [destination, reason]
//	hareline.replayed.messages [operation: replay or move; hareline.source; destination]
//	hareline.settle.latency [destination, operation], s, from the handler's return
//	hareline.settle.lost [destination], settled by no one: the session ended
//	hareline.link.connections, hareline.link.reconnects, hareline.link.blocked.time [hareline.role]
//	hareline.consumer.state, hareline.consumer.changes [destination, hareline.state]
//	hareline.watchdog.active, hareline.watchdog.findings [destination, hareline.finding]
//
// The last two need [Telemetry.OnHealth] and [Telemetry.OnWatchdog]. Of exchanges,
// queues, classes of errors, reasons, and states each, 100 values are told apart; those
// that come later are "_OTHER" together, and queues named by the server are
// "amq.gen-*". A batch counts as its messages. docs/grafana and docs/prometheus of the
// repository have a dashboard and alert rules.
package telemetry
