package telemetry

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// Publish is for confirm.Config.Tracer: a span from the call to the outcome, whose
// context goes into the message's headers.
//
// The span in ctx is its parent. Where the message carries a context of another trace
// already (from an outbox, or as a letter) that is the parent, so that one trace tells
// of the message, and ctx's span is linked.
func (t *Telemetry) Publish(ctx context.Context, exchange, key string, msg *amqp.Publishing) (ended func(outcome error, waited time.Duration)) {
	if t.off() {
		return nil
	}
	s := sending{exchange: exchange, about: verdict.AboutOf(ctx), began: time.Now()}
	s.op = operation(s.about, exchange, msg)
	if t.tracer == nil {
		return t.countPublish(ctx, s)
	}
	b := batchOf(ctx)
	if b != nil && s.op == opSend {
		s.op = opCreate
	}
	s.batched = b != nil

	spanCtx, span, base := t.beginSend(ctx, s, key, msg)
	noteParked(msg.Headers, s.about, s.began)
	if b != nil {
		b.add(span.SpanContext(), exchange, key)
	}
	t.counts.publishing(s)
	return t.endSend(spanCtx, span, base, s, key, msg)
}

// endSend gives what ends the span of a publish. Most are of no copy: then what a copy
// is about need not be kept until the outcome.
func (t *Telemetry) endSend(ctx context.Context, span trace.Span, base []attribute.KeyValue, s sending, key string, msg *amqp.Publishing) func(error, time.Duration) {
	var of *copied
	if s.about.Kind != verdict.None {
		of = aboutOf(s.about, msg.Headers)
	}
	plain := struct {
		op, exchange string
		batched      bool
		began        time.Time
	}{s.op, s.exchange, s.batched, s.began}
	id, conversation := msg.MessageId, msg.CorrelationId
	return func(err error, waited time.Duration) {
		s := sending{op: plain.op, exchange: plain.exchange, batched: plain.batched, began: plain.began}
		if of != nil {
			s.about = of.about
		}
		r := sent{ended: time.Now(), waited: waited}
		r.outcome, r.unsent = outcomeOf(err)
		t.counts.published(ctx, s, r)
		if span.IsRecording() {
			as := attributes()
			as.add(base...)
			as.text(keyMessageID, id)
			as.text(keyConversation, conversation)
			as.text(keyRoutingKey, key)
			as.add(keyOutcome.String(r.outcome))
			if waited > 0 {
				as.add(keyWindowWait.Float64(waited.Seconds()))
			}
			as.copied(of)
			if err != nil {
				as.add(keyErrorType.String(r.failure()))
				t.recordError(span, err)
			}
			as.to(span)
		}
		span.End()
	}
}

// countPublish is Publish without traces.
func (t *Telemetry) countPublish(ctx context.Context, s sending) func(error, time.Duration) {
	t.counts.publishing(s)
	return func(err error, waited time.Duration) {
		r := sent{ended: time.Now(), waited: waited}
		r.outcome, r.unsent = outcomeOf(err)
		t.counts.published(ctx, s, r)
	}
}

// beginSend starts the span of a publish and puts its context into the message.
func (t *Telemetry) beginSend(ctx context.Context, s sending, key string, msg *amqp.Publishing) (in context.Context, span trace.Span, base []attribute.KeyValue) {
	it := t.sends.of(place{s.op, s.exchange, key, targetOf(s.about)}, nameSend)
	var links []trace.SpanStartOption
	parent, carried := ctx, ctx
	current := trace.SpanContextFromContext(ctx)
	if in, own, ok := t.read(ctx, msg.Headers); ok && own.TraceID() != current.TraceID() {
		parent = trace.ContextWithRemoteSpanContext(ctx, own)
		carried = in // with the message's baggage
		if current.IsValid() {
			links = []trace.SpanStartOption{trace.WithLinks(trace.Link{SpanContext: current})}
		}
	}
	if s.about.From != "" {
		parent = t.receive(parent, s, msg)
	}
	in, span, base = it.start(parent, t.tracer, isRoot(parent), links...)
	if carried != ctx {
		t.write(trace.ContextWithSpan(carried, span), msg.Headers)
	} else {
		t.write(in, msg.Headers)
	}
	return in, span, base
}

func isRoot(ctx context.Context) bool { return !trace.SpanContextFromContext(ctx).IsValid() }

// receive makes the span in which a letter was taken from its queue.
func (t *Telemetry) receive(ctx context.Context, s sending, msg *amqp.Publishing) context.Context {
	it := t.sends.of(place{op: opReceive, queue: s.about.From}, nameReceive)
	ctx, span, base := it.start(ctx, t.tracer, isRoot(ctx), trace.WithTimestamp(s.about.Taken))
	if span.IsRecording() {
		as := attributes()
		as.add(base...)
		as.text(keyMessageID, msg.MessageId)
		as.text(keyReason, s.about.Reason)
		as.to(span)
	}
	span.End()
	return ctx
}

// targetOf is the queue by which a copy is named: a burial goes to the queue that its
// key names, and a message for later to whatever its caller named.
func targetOf(a verdict.About) string {
	switch a.Kind {
	case verdict.Parked, verdict.Replayed, verdict.Moved:
		return a.Queue
	case verdict.None, verdict.Buried, verdict.Later:
	}
	return ""
}

// copied is what a copy is about, with its replay's identity, which its story has.
type copied struct {
	about   verdict.About
	replay  string
	replays int64
}

func aboutOf(a verdict.About, h amqp.Table) *copied {
	c := &copied{about: a}
	if a.Kind == verdict.Replayed {
		c.replay, _ = h[story.HeaderReplayID].(string)
		c.replays, _ = h[story.HeaderReplayCount].(int64)
	}
	return c
}

func (s *scratch) copied(c *copied) {
	if c == nil {
		return
	}
	if c.about.Delay > 0 {
		s.add(keyDelay.Float64(c.about.Delay.Seconds()))
	}
	if c.about.Attempt > 0 {
		s.add(keyAttempt.Int(c.about.Attempt), keyAttempts.Int(c.about.Of))
	}
	s.text(keyReason, c.about.Reason)
	if c.replays > 0 {
		s.text(keyReplayID, c.replay)
		s.add(keyReplayCount.Int64(c.replays))
	}
}
