package telemetry

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// maxLinks is how many messages the span of a batch links to, the first ones. More
// than 128 the SDK does not keep.
const maxLinks = 128

// batch is one PublishBatch. Its messages have spans of their own, of which its span
// is no parent: each is the start of what becomes of its message.
type batch struct {
	span trace.Span

	mu    sync.Mutex
	links int
	to    place
	mixed bool // messages go to several places
}

type batchKey struct{}

func batchOf(ctx context.Context) *batch {
	b, _ := ctx.Value(batchKey{}).(*batch)
	return b
}

// Batch is for confirm.Config.Tracer: a span for the batch, which links to those of its
// messages, the first 128 of them.
func (t *Telemetry) Batch(ctx context.Context, messages int) (inner context.Context, ended func(result error)) {
	if t.off() || t.tracer == nil {
		return ctx, nil
	}
	it := t.sends.of(place{op: opSend}, nameBatch)
	_, span, base := it.start(ctx, t.tracer, isRoot(ctx))
	b := &batch{span: span}
	return context.WithValue(ctx, batchKey{}, b), func(result error) {
		if span.IsRecording() {
			b.mu.Lock()
			to, mixed := b.to, b.mixed
			b.mu.Unlock()
			as := attributes()
			as.add(base...)
			as.add(keyBatchCount.Int(messages))
			if !mixed && to.op != "" {
				span.SetName(t.sends.of(to, nameSend).name)
				as.add(keyDestination.String(destination(to.exchange, to.key, "")))
			}
			if result != nil {
				outcome, _ := outcomeOf(result)
				as.add(keyErrorType.String(outcome))
				t.recordError(span, result)
			}
			as.to(span)
		}
		span.End()
	}
}

func nameBatch(p place) *named {
	return name(p.op, trace.SpanKindClient, system, keyOperation.String(p.op), typeSend)
}

// add notes one message.
func (b *batch) add(of trace.SpanContext, exchange, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := place{op: opSend, exchange: exchange, key: key}
	switch {
	case b.to.op == "":
		b.to = to
	case b.to != to:
		b.mixed = true
	}
	if b.links < maxLinks {
		b.links++
		b.span.AddLink(trace.Link{SpanContext: of})
	}
}
