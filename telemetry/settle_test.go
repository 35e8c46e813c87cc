package telemetry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/telemetry"
)

// writes settles what it is asked about by one write, when it is told to.
type writes []func(settlement.Result)

func (*writes) Queue() string { return "q" }

func (w *writes) OnSettled(_ uint64, f func(settlement.Result)) bool {
	*w = append(*w, f)
	return true
}

func (w *writes) ack() {
	r := settlement.Result{Method: "ack", Began: time.Now(), Ended: time.Now(), Of: len(*w)}
	if len(*w) > 1 {
		r.Shared = new(any)
	}
	for i, f := range *w {
		r.Index = i
		f(r)
	}
	*w = nil
}

// Acks that go with one write are one span, in the trace of the first and linked to
// the others, for which there is no other span; an ack alone is its own.
func TestAcksOfOneWrite(t *testing.T) {
	r := record(t)
	handle := traced(t, r, telemetry.Config{}).Middleware()(func(context.Context, amqp.Delivery) error { return nil })
	w := &writes{}
	ctx := settlement.With(t.Context(), w)
	for n := range 3 {
		if err := handle(ctx, amqp.Delivery{MessageId: fmt.Sprint(n), DeliveryTag: uint64(n + 1)}); err != nil { //nolint:gosec // three
			t.Fatal(err)
		}
	}
	w.ack()
	if err := handle(ctx, amqp.Delivery{MessageId: "alone", DeliveryTag: 4}); err != nil {
		t.Fatal(err)
	}
	w.ack()

	processed, acks := named(r, "process q"), named(r, "ack q")
	if len(processed) != 4 || len(acks) != 2 {
		t.Fatalf("%d process spans, %d ack spans", len(processed), len(acks))
	}
	together, alone := acks[0], acks[1]
	if together.Parent.SpanID() != processed[0].SpanContext.SpanID() || len(together.Links) != 2 ||
		together.Links[0].SpanContext.SpanID() != processed[1].SpanContext.SpanID() ||
		together.Links[1].SpanContext.SpanID() != processed[2].SpanContext.SpanID() {
		t.Errorf("parent %v, links %v", together.Parent.SpanID(), together.Links)
	}
	if got := value(together, "messaging.batch.message_count"); got != "3" {
		t.Errorf("message count %v", got)
	}
	if alone.Parent.SpanID() != processed[3].SpanContext.SpanID() || len(alone.Links) != 0 || value(alone, "messaging.message.id") != "alone" {
		t.Errorf("the single ack: parent %v, links %v", alone.Parent.SpanID(), alone.Links)
	}
}

func named(r *recorder, name string) tracetest.SpanStubs {
	var all tracetest.SpanStubs
	for _, s := range r.GetSpans() {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}
