package telemetry

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/internal/settlement"
)

// settling is an attempt whose delivery is not settled yet.
type settling struct {
	ctx  context.Context //nolint:containedctx // the parent of the span that settles
	a    attempt
	span trace.Span // nil without traces
	key  string     // routing key
	id   string
	tag  uint64
}

// whenSettled follows an attempt's delivery to its ack, nack or reject. One that is
// postponed comes again.
func (t *Telemetry) whenSettled(ctx context.Context, s settling, teller settlement.Teller, d *amqp.Delivery) {
	if teller == nil || s.a.verdict == verdictPostponed || t.counts == nil && (t.cfg.NoSettleSpans || !s.span.SpanContext().IsSampled()) {
		return
	}
	s.ctx, s.key, s.id, s.tag = ctx, d.RoutingKey, d.MessageId, d.DeliveryTag
	if s.a.kept {
		t.kept.follow(t, teller, s)
		return
	}
	if !teller.OnSettled(s.tag, func(r settlement.Result) { t.settled(s, r) }) {
		t.settled(s, settlement.Result{Began: s.a.ended, Ended: s.a.ended})
	}
}

// settled makes the span of a settlement: of many that one write settled there is one,
// in the trace of the first, linked to the others, as the conventions have it.
func (t *Telemetry) settled(s settling, r settlement.Result) {
	t.counts.settled(s.ctx, s.a, r)
	if s.span == nil || t.cfg.NoSettleSpans {
		return
	}
	if r.Of > 1 {
		t.settledTogether(s, r)
		return
	}
	op := r.Method
	if op == "" {
		op = opLost
	}
	it := t.attempts.of(place{op, s.a.exchange, s.key, s.a.queue}, nameSettle)
	_, span, base := it.start(s.ctx, t.tracer, false, trace.WithTimestamp(r.Began))
	if span.IsRecording() {
		as := attributes()
		as.add(base...)
		as.text(keyMessageID, s.id)
		as.add(keyDeliveryTag.Int64(int64(s.tag))) //nolint:gosec // counts the deliveries of a channel
		as.to(span)
	}
	switch {
	case r.Method == "":
		span.AddEvent("session ended, will be delivered again", trace.WithTimestamp(r.Began))
	case r.Err != nil:
		span.SetAttributes(keyErrorType.String(opLost))
		t.recordError(span, r.Err)
	}
	span.End(trace.WithTimestamp(r.Ended))
}

// settledTogether makes one span of the settlements that share a write.
func (t *Telemetry) settledTogether(s settling, r settlement.Result) {
	span, _ := (*r.Shared).(trace.Span)
	switch {
	case !s.span.SpanContext().IsSampled():
	case span == nil:
		it := t.attempts.of(place{r.Method, s.a.exchange, s.key, s.a.queue}, nameSettle)
		var base []attribute.KeyValue
		_, span, base = it.start(s.ctx, t.tracer, false, trace.WithTimestamp(r.Began))
		*r.Shared = span
		if span.IsRecording() {
			as := attributes()
			as.add(base...)
			as.add(keyBatchCount.Int(r.Of))
			as.to(span)
		}
	case r.Index <= maxLinks:
		span.AddLink(trace.Link{SpanContext: s.span.SpanContext()})
	}
	if span == nil || r.Index < r.Of-1 {
		return
	}
	if r.Err != nil {
		span.SetAttributes(keyErrorType.String(opLost))
		t.recordError(span, r.Err)
	}
	span.End(trace.WithTimestamp(r.Ended))
}

// errPanicked stands for a panic that nobody turned into an error.
var errPanicked = errors.New("panic outside consumer.Recover")

// recordFailure is recordError for an attempt. What a panic holds is for the
// consumer to redact and to log.
func (t *Telemetry) recordFailure(span trace.Span, err error) {
	if err != nil {
		t.recordError(span, err)
		return
	}
	span.AddEvent(exceptionEvent, trace.WithAttributes(keyExcType.String("panic"), keyExcMessage.String(errPanicked.Error())))
	span.SetStatus(codes.Error, errPanicked.Error())
}

// keptDeliveries are those that have several attempts before they are settled: the
// settlement is the last one's.
type keptDeliveries struct {
	mu   sync.Mutex
	last map[keptKey]settling
}

type keptKey struct {
	teller settlement.Teller
	tag    uint64
}

func (k *keptDeliveries) follow(t *Telemetry, teller settlement.Teller, s settling) {
	key := keptKey{teller, s.tag}
	k.mu.Lock()
	_, followed := k.last[key]
	if k.last == nil {
		k.last = make(map[keptKey]settling)
	}
	k.last[key] = s
	k.mu.Unlock()
	if followed {
		return
	}
	if !teller.OnSettled(s.tag, func(r settlement.Result) { t.settled(k.take(key), r) }) {
		t.settled(k.take(key), settlement.Result{Began: s.a.ended, Ended: s.a.ended})
	}
}

func (k *keptDeliveries) take(key keptKey) settling {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.last[key]
	delete(k.last, key)
	return s
}
