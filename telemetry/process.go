package telemetry

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// Middleware makes a span of each attempt to handle a message, and puts it, and the
// message's baggage, into the handler's ctx. It is the outermost one: what retry and
// dlq make of an error is the attempt's verdict. For package ordered, whose retries and
// burials are its own, it is put around the handler in its Config.Consumer.
func (t *Telemetry) Middleware() func(func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
	return func(next func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
		if t.off() {
			return next
		}
		return func(ctx context.Context, d amqp.Delivery) error {
			if t.tracer == nil {
				return t.countAttempt(ctx, d, next)
			}
			return t.traceAttempt(ctx, d, next)
		}
	}
}

// countAttempt is traceAttempt without traces.
func (t *Telemetry) countAttempt(ctx context.Context, d amqp.Delivery, next func(context.Context, amqp.Delivery) error) error {
	a, teller, _ := attemptOf(ctx, &d)
	t.counts.processing(a)
	j := judged{verdict: verdictPanicked}
	defer func() {
		a.conclude(j)
		t.counts.processed(ctx, a)
		t.whenSettled(ctx, settling{a: a, span: nil}, teller, &d)
	}()
	err := next(ctx, d)
	j = judge(ctx, err)
	return err
}

// traceAttempt calls the handler under a span.
func (t *Telemetry) traceAttempt(ctx context.Context, d amqp.Delivery, next func(context.Context, amqp.Delivery) error) error {
	a, teller, s := attemptOf(ctx, &d)
	it := t.attempts.of(place{opProcess, d.Exchange, d.RoutingKey, a.queue}, nameProcess)
	in, own, ok := t.read(ctx, ownHeaders(d.Headers))
	kept := settlement.KeptOf(ctx)
	if !ok && kept != nil && kept.Last() != nil { // nobody traced its publish: the first attempt began the trace
		own = trace.SpanContextFromContext(kept.Last())
		in, ok = trace.ContextWithSpanContext(ctx, own), own.IsValid()
	}
	root := !ok || t.cfg.Links
	var more []trace.SpanStartOption
	// The span around Run, if there is one, is none of the message's.
	if ambient := trace.SpanContextFromContext(ctx); ambient.IsValid() {
		more = append(more, trace.WithLinks(trace.Link{SpanContext: ambient}))
	}
	if ok && t.cfg.Links {
		more = append(more, trace.WithLinks(trace.Link{SpanContext: own}))
	}
	if root && len(more) > 0 {
		more = append(more, trace.WithNewRoot())
	}
	spanCtx, span, base := it.start(in, t.tracer, root, more...)
	if kept != nil {
		kept.Note(spanCtx)
	}
	t.counts.processing(a)
	j := judged{verdict: verdictPanicked}
	defer func() { // of a panic, too: that goes on to the consumer
		a.conclude(j)
		t.counts.processed(spanCtx, a)
		t.endAttempt(span, base, a, s, j, &d)
		if ok && a.verdict != verdictPostponed {
			t.delay(in, a, &d)
		}
		t.whenSettled(spanCtx, settling{a: a, span: span}, teller, &d)
	}()
	err := next(spanCtx, d)
	j = judge(ctx, err)
	return err
}

// attemptOf is what is known before the handler is called. A story that cannot be
// read is none.
func attemptOf(ctx context.Context, d *amqp.Delivery) (a attempt, teller settlement.Teller, s story.Story) {
	a = attempt{exchange: d.Exchange, redelivered: d.Redelivered, number: 1, kept: settlement.IsKept(ctx), began: time.Now()}
	if told, ok := settlement.From(ctx); ok {
		teller, a.queue = told, told.Queue()
	}
	if _, told := d.Headers[story.HeaderVersion]; told {
		if read, err := story.Read(d.Headers); err == nil {
			s = read.For(a.queue)
			a.number, a.replays = s.RetryCount+1, s.ReplayCount
			if s.RetryMax > 0 {
				a.of = s.RetryMax + 1
			}
		}
	}
	return a, teller, s
}

// conclude enters what became of it.
func (a *attempt) conclude(j judged) {
	a.ended, a.verdict = time.Now(), j.verdict
	switch {
	case j.err != nil:
		a.failure = classOf(j.err)
	case a.verdict == verdictPanicked:
		a.failure = "panic"
	}
	if a.of == 0 {
		a.of = j.about.Of
	}
}

// endAttempt ends the span of an attempt.
func (t *Telemetry) endAttempt(span trace.Span, base []attribute.KeyValue, a attempt, s story.Story, j judged, d *amqp.Delivery) {
	if span.IsRecording() {
		as := attributes()
		as.add(base...)
		as.text(keyMessageID, d.MessageId)
		as.text(keyConversation, d.CorrelationId)
		as.text(keyRoutingKey, d.RoutingKey)
		as.add(keyDeliveryTag.Int64(int64(d.DeliveryTag)), keyAttempt.Int(a.number), keyVerdict.String(a.verdict)) //nolint:gosec // counts the deliveries of a channel
		if a.of > 0 {
			as.add(keyAttempts.Int(a.of))
		}
		if a.redelivered {
			as.add(keyRedelivered.Bool(true))
		}
		if n, ok := d.Headers["x-delivery-count"].(int64); ok {
			as.add(keyDeliveryCount.Int64(n))
		}
		if s.ReplayCount > 0 {
			as.add(keyReplayCount.Int(s.ReplayCount))
			as.text(keyReplayID, s.ReplayID)
		}
		if j.about.Delay > 0 {
			as.add(keyDelay.Float64(j.about.Delay.Seconds()))
		}
		as.text(keyReason, j.about.Reason)
		if a.failure != "" {
			as.add(keyErrorType.String(a.failure))
			t.recordFailure(span, j.err)
		}
		as.to(span)
	}
	span.End()
}

// delay makes the span in which the message waited for this attempt. One that was
// given back meanwhile has waited for other reasons.
func (t *Telemetry) delay(ctx context.Context, a attempt, d *amqp.Delivery) {
	if a.redelivered && !a.kept {
		return
	}
	h := d.Headers
	if _, ok := h[verdict.HeaderParkedAt]; !ok {
		h = ownHeaders(h)
	}
	since, ok := parkedAt(h, a.began)
	if !ok {
		return
	}
	it := t.attempts.of(place{op: opDelay, queue: a.queue}, nameDelay)
	_, span, base := it.start(ctx, t.tracer, false, trace.WithTimestamp(since))
	if span.IsRecording() {
		as := attributes()
		as.add(base...)
		as.text(keyMessageID, d.MessageId)
		as.add(keyDelay.Float64(a.began.Sub(since).Seconds()))
		as.to(span)
	}
	span.End(trace.WithTimestamp(a.began))
}
