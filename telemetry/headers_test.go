package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// Whatever headers a message has, it is read and published; what is added is bounded,
// and what was read is what is written.
func FuzzHeaders(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2", "tenant=x;p=1,user=%20", int64(1), uint8(0))
	f.Add("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", "", "", int64(-1), uint8(1))
	f.Add("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", "=", ",,,=", int64(1)<<62, uint8(2))
	f.Add("00-00000000000000000000000000000000-0000000000000000-00", "\xff", "\xff=\xff", int64(0), uint8(3))
	tel, err := New(Config{TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: noop.NewMeterProvider()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, parent, state, bag string, parked int64, form uint8) {
		as := func(v string) any {
			switch form % 4 {
			case 1:
				return []byte(v)
			case 2:
				return []any{v}
			}
			return v
		}
		h := amqp.Table{"traceparent": as(parent), "tracestate": as(state), "baggage": as(bag), verdict.HeaderParkedAt: parked}
		d := amqp.Delivery{Headers: h}
		if form%8 > 3 {
			d.Headers = amqp.Table{laterHeader: amqp.Table{"headers": h}}
		}
		in, own, ok := tel.read(context.Background(), ownHeaders(d.Headers))
		if ok != own.IsValid() {
			t.Errorf("read %v: %t", own, ok)
		}
		now := time.Now()
		if at, ok := parkedAt(h, now); ok && (at.After(now) || now.Sub(at) > maxDelay) {
			t.Errorf("parked at %v", at)
		}
		_ = tel.Middleware()(func(context.Context, amqp.Delivery) error { return nil })(context.Background(), d)

		before := story.Size(h)
		tel.Publish(in, "", "q", &amqp.Publishing{Headers: h})(nil, 0)
		if added := story.Size(h) - before; added > 2*maxBaggage {
			t.Errorf("%d bytes added", added)
		}
		if err := h.Validate(); err != nil {
			t.Error(err)
		}
		again, _, ok := tel.read(context.Background(), h)
		if !ok {
			t.Errorf("what was written cannot be read: %v", h)
		}
		if was := baggage.FromContext(in); was.Len() > 0 && len(was.String()) <= maxBaggage && baggage.FromContext(again).Len() != was.Len() {
			t.Errorf("baggage %q came out as %q", was, baggage.FromContext(again))
		}
	})
}

// What is remembered of routing keys does not grow with them.
func TestNamesOfSpansAreBounded(t *testing.T) {
	var n names
	for i := range 3 * maxNames {
		n.of(place{op: opSend, exchange: "events", key: strconv.Itoa(i)}, nameSend)
		if len(n.known) > maxNames {
			t.Fatalf("%d remembered", len(n.known))
		}
	}
}

type refused int

func (refused) Error() string            { return "refused" }
func (refused) Outcome() string          { return outcomeRefused }
func (r refused) Refused() (int, string) { return int(r), "" }

// What was refused before it was sent is known from what the broker refused.
func TestOutcomeOf(t *testing.T) {
	for err, unsent := range map[error]bool{refused(0): true, refused(404): false, fmt.Errorf("wrapped: %w", refused(0)): true} {
		if outcome, got := outcomeOf(err); outcome != outcomeRefused || got != unsent {
			t.Errorf("%v: %s, unsent %t", err, outcome, got)
		}
	}
	if outcome, unsent := outcomeOf(errors.New("of nobody we know")); outcome != outcomeUnknown || unsent {
		t.Error(outcome, unsent)
	}
}
