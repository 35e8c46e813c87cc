package telemetry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

// A Redact that panics, or an error whose text does, is the span's loss alone: a panic
// would end a publisher's goroutine, and the process, or give a delivery back whose copy
// is under way.
func TestTextsThatPanic(t *testing.T) {
	broken := telemetry.Config{Redact: func(string) string { panic("no such pattern") }}
	for name, tc := range map[string]struct {
		cfg telemetry.Config
		err error
	}{
		"redact": {broken, errors.New("secret")},
		"error":  {telemetry.Config{}, (*nobody)(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t)
			tel := traced(t, r, tc.cfg)
			tel.Publish(t.Context(), "", "q", &amqp.Publishing{Headers: amqp.Table{}})(tc.err, 0)
			_, ended := tel.Batch(t.Context(), 1)
			ended(tc.err)
			handle := tel.Middleware()(func(context.Context, amqp.Delivery) error { return tc.err })
			w := &writes{}
			if err := handle(settlement.With(t.Context(), w), amqp.Delivery{DeliveryTag: 1}); err != tc.err { //nolint:errorlint // the very same
				t.Errorf("the handler's error became %v", err)
			}
			for _, told := range *w {
				told(settlement.Result{Method: "ack", Began: time.Now(), Ended: time.Now(), Err: tc.err, Of: 1})
			}
			spans := r.GetSpans()
			if len(spans) != 4 {
				t.Fatalf("%d spans", len(spans))
			}
			for _, s := range spans {
				if strings.Contains(s.Status.Description, "secret") || s.Status.Description == "" {
					t.Errorf("%s: status %q", s.Name, s.Status.Description)
				}
			}
		})
	}
}

// nobody is an error whose text panics, as that of a nil pointer to one that has fields.
type nobody struct{ text string }

func (n *nobody) Error() string { return n.text }

// A message whose headers leave no room for more stays in its trace.
func TestFullHeadersKeepTheirTrace(t *testing.T) {
	r := record(t)
	tel := traced(t, r, telemetry.Config{})
	msg := amqp.Publishing{Headers: amqp.Table{"traceparent": foreign, "big": strings.Repeat("x", 106<<10)}}
	tel.Publish(t.Context(), "", "q", &msg)(nil, 0)
	if msg.Headers["traceparent"] != foreign {
		t.Errorf("traceparent became %v", msg.Headers["traceparent"])
	}
}

// A copy that is repeated belongs to its attempt, also where whoever published the
// message has no telemetry.
func TestTraceOfRepeatedCopiesOfAnUntracedMessage(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		ladder, _, _ := r.w.Park(time.Second)
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Exchange: ladder, Times: 2})
		stop := r.run(t, r.w, failing(1))
		operate(t, b, func(ch *amqp.Channel) error {
			return ch.Publish("", "orders", false, false, amqp.Publishing{MessageId: "1"})
		})
		pass(time.Minute)
		r.empty(t, r.w.Queue)
		stop()
		connected(t, r.spans.GetSpans(), false)
	})
}

// So do the attempts of package ordered, and the burial.
func TestTraceInOrderOfAnUntracedMessage(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, telemetry.Config{})
		p := topology.PartitionedQueue("accounts", topology.PartitionsConfig{Count: 1})
		if err := topology.Declare(soon(t), r.l, p.Topology); err != nil {
			t.Fatal(err)
		}
		c, err := ordered.New(ordered.Config{
			Partitions: p, Copies: r.copies, DeadLetters: dlq.Config{Logger: quiet},
			Retry:    retry.Policy{MaxRetries: 1, BackOff: retry.Constant(time.Second), Logger: quiet},
			Consumer: consumer.Config{Logger: quiet, Handler: consumer.Chain(failing(2), r.tel.Middleware())},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx, r.l) }()
		operate(t, b, func(ch *amqp.Channel) error {
			exchange, key := p.Route("a")
			return ch.Publish(exchange, key, false, false, amqp.Publishing{MessageId: "1"})
		})
		pass(time.Minute)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		connected(t, r.spans.GetSpans(), false)
	})
}

// perMember writes one header for each member of the baggage, as Jaeger's and
// OpenTracing's propagators do.
type perMember struct{ propagation.TraceContext }

func (p perMember) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	p.TraceContext.Inject(ctx, c)
	for _, m := range baggage.FromContext(ctx).Members() {
		c.Set("uberctx-"+m.Key(), m.Value())
	}
}

// What a propagator of the program's adds is bounded, too: a name that AMQP does not
// allow, or many of them, would have the message refused.
func TestOtherPropagatorsFitIntoHeaders(t *testing.T) {
	r := record(t)
	tel := traced(t, r, telemetry.Config{Propagator: perMember{}})
	var members []baggage.Member
	for i := range 60 {
		m, err := baggage.NewMemberRaw(strings.Repeat(string(rune('a'+i%26)), 20+i*6), strings.Repeat("v", 100))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	bag := baggage.Baggage{}
	for _, m := range members {
		if with, err := bag.SetMember(m); err == nil {
			bag = with
		}
	}
	msg := amqp.Publishing{Headers: amqp.Table{}}
	tel.Publish(baggage.ContextWithBaggage(t.Context(), bag), "", "q", &msg)(nil, 0)
	size := 0
	for name, v := range msg.Headers {
		if len(name) > 255 {
			t.Errorf("a name of %d bytes", len(name))
		}
		text, _ := v.(string)
		size += len(name) + len(text) + 6
	}
	if size > 8<<10 || msg.Headers["traceparent"] == nil || len(msg.Headers) < 3 {
		t.Errorf("%d bytes in %d headers", size, len(msg.Headers))
	}
}

// The name of a queue that a server has named is in no span's name: each is another one.
func TestServerNamedQueuesAreInNoSpanName(t *testing.T) {
	r := record(t)
	handle := traced(t, r, telemetry.Config{}).Middleware()(func(context.Context, amqp.Delivery) error { return nil })
	ctx := settlement.With(t.Context(), temporary{})
	if err := handle(ctx, amqp.Delivery{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.GetSpans() {
		if strings.Contains(s.Name, "amq.gen") || value(s, "hareline.queue") != "amq.gen-x" || value(s, "messaging.destination.temporary") != "true" {
			t.Errorf("span %q: %v", s.Name, s.Attributes)
		}
	}
}

type temporary struct{}

func (temporary) Queue() string { return "amq.gen-x" }
func (temporary) OnSettled(_ uint64, f func(settlement.Result)) bool {
	f(settlement.Result{Method: "ack", Began: time.Now(), Ended: time.Now(), Of: 1})
	return true
}
