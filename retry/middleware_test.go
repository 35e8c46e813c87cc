package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

type handler = func(context.Context, amqp.Delivery) error

// publisher records copies; each gets the next outcome, nil when there is none.
type publisher struct {
	sent     []sent
	outcomes []error
}

type sent struct {
	exchange, key string
	msg           amqp.Publishing
}

func (p *publisher) Start(_ context.Context, exchange, key string, msg amqp.Publishing) error {
	p.sent = append(p.sent, sent{exchange, key, msg})
	var out error
	if len(p.outcomes) > 0 {
		out, p.outcomes = p.outcomes[0], p.outcomes[1:]
	}
	return underWay(out)
}

type pending struct {
	done chan struct{}
	out  error
}

func (p *pending) Error() string         { return "under way" }
func (p *pending) Done() <-chan struct{} { return p.done }
func (p *pending) Outcome() error        { return p.out }

// underWay is a pending error that is done already.
func underWay(outcome error) error {
	p := &pending{make(chan struct{}), outcome}
	close(p.done)
	return p
}

func fails(err error) handler { return func(context.Context, amqp.Delivery) error { return err } }

var orders = topology.WorkQueue("orders", topology.WorkConfig{})

func run(t *testing.T, pub Starter, p Policy, d amqp.Delivery, h handler) error {
	t.Helper()
	p.Logger = slog.New(slog.DiscardHandler)
	return Middleware(pub, orders, p)(h)(t.Context(), d)
}

// settle follows pending errors to what the consumer would act on.
func settle(t *testing.T, err error) error {
	t.Helper()
	for {
		p, ok := verdict.AsPending(err)
		if !ok {
			return err
		}
		<-p.Done()
		err = p.Outcome()
	}
}

func TestSuccessIsLeftAlone(t *testing.T) {
	pub := &publisher{}
	if err := run(t, pub, Policy{}, amqp.Delivery{}, fails(nil)); err != nil || len(pub.sent) != 0 {
		t.Errorf("%v, %d copies", err, len(pub.sent))
	}
}

func TestTransientIsParked(t *testing.T) {
	pub := &publisher{}
	d := amqp.Delivery{Exchange: "events", RoutingKey: "a.b", MessageId: "m", Body: []byte("body"), Priority: 4, UserId: "u"}
	err := run(t, pub, Policy{BackOff: Constant(time.Second)}, d, fails(fmt.Errorf("db: %w", io.EOF)))
	p, ok := verdict.AsPending(err)
	if !ok {
		t.Fatalf("%v is not pending", err)
	}
	if !errors.Is(verdict.Cause(p), io.EOF) || !strings.Contains(p.Error(), "retry 1 of 3") {
		t.Errorf("%v, cause %v", p, verdict.Cause(p))
	}
	if errors.Is(err, io.EOF) {
		t.Error("the cause must not be unwrapped: an attempt whose copy is under way is no failure")
	}
	if got := settle(t, err); got != nil {
		t.Errorf("outcome %v", got)
	}
	exchange, key, _ := orders.Park(time.Second)
	got := pub.sent[0]
	if len(pub.sent) != 1 || got.exchange != exchange || got.key != key {
		t.Fatalf("%d copies, to %q %q, want %q %q", len(pub.sent), got.exchange, got.key, exchange, key)
	}
	s, err := story.Read(got.msg.Headers)
	if err != nil || s.RetryCount != 1 || s.RetryMax != 3 || s.LastError != "db: EOF" || s.OriginQueue != "orders" || s.OriginKey != "a.b" {
		t.Errorf("story %+v, %v", s, err)
	}
	if got.msg.MessageId != "m" || string(got.msg.Body) != "body" || got.msg.Priority != 0 || got.msg.UserId != "" {
		t.Errorf("copy %+v", got.msg)
	}
}

// A message that always fails, fed back as the ladder would: attempts are read as
// 1, 2, 3, 4, then it is dead.
func TestAttemptsAreCounted(t *testing.T) {
	pub := &publisher{}
	d := amqp.Delivery{RoutingKey: "orders", Headers: amqp.Table{"x-death": "forged", "x-delivery-count": int64(50)}}
	for attempt := 1; attempt <= 3; attempt++ {
		if err := settle(t, run(t, pub, Policy{}, d, fails(io.EOF))); err != nil {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
		copied := pub.sent[attempt-1].msg
		d = amqp.Delivery{Exchange: "due", Headers: copied.Headers, MessageId: copied.MessageId, Body: copied.Body}
	}
	err := run(t, pub, Policy{}, d, fails(io.EOF))
	var dead *DeadError
	if !errors.As(err, &dead) || dead.Reason != story.ReasonExhausted || dead.Attempt != 4 || dead.Of != 4 {
		t.Fatalf("%v", err)
	}
	if len(pub.sent) != 3 || pub.sent[0].msg.MessageId != pub.sent[2].msg.MessageId {
		t.Errorf("%d copies, message-ids %q %q", len(pub.sent), pub.sent[0].msg.MessageId, pub.sent[2].msg.MessageId)
	}
}

func TestForgedCountIsNotHandled(t *testing.T) {
	pub := &publisher{}
	d := amqp.Delivery{Headers: amqp.Table{story.HeaderRetryCount: int32(-5)}}
	err := run(t, pub, Policy{}, d, func(context.Context, amqp.Delivery) error {
		t.Error("handled")
		return nil
	})
	var dead *DeadError
	if !errors.As(err, &dead) || dead.Reason != story.ReasonMalformed || len(pub.sent) != 0 {
		t.Errorf("%v, %d copies", err, len(pub.sent))
	}
}

type shutdown struct{}

func (shutdown) Error() string  { return "shutting down" }
func (shutdown) Shutdown() bool { return true }

func TestShutdownIsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(shutdown{})
	pub := &publisher{}
	for _, err := range []error{context.Canceled, io.EOF, Permanent(io.EOF), errors.New("x"), underWay(io.EOF)} {
		got := Middleware(pub, orders, Policy{})(fails(err))(ctx, amqp.Delivery{})
		if got != err { //nolint:errorlint // untouched
			t.Errorf("%v became %v", err, got)
		}
	}
	if len(pub.sent) != 0 {
		t.Errorf("%d copies", len(pub.sent))
	}
}

// A deadline that is the failure itself must not end the copy, too.
func TestDeadlineIsParked(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	p := Policy{Logger: slog.New(slog.DiscardHandler)}
	var started error
	pub := starter(func(ctx context.Context) error { started = ctx.Err(); return underWay(nil) })
	err := Middleware(pub, orders, p)(func(ctx context.Context, _ amqp.Delivery) error { return ctx.Err() })(ctx, amqp.Delivery{})
	if started != nil || settle(t, err) != nil {
		t.Errorf("copy's ctx %v, %v", started, err)
	}
}

type starter func(context.Context) error

func (s starter) Start(ctx context.Context, _, _ string, _ amqp.Publishing) error { return s(ctx) }

type refused int

func (r refused) Error() string          { return fmt.Sprint("refused ", int(r)) }
func (r refused) Refused() (int, string) { return int(r), "" }

func TestCopyThatFails(t *testing.T) {
	classic := topology.WorkQueue("orders", topology.WorkConfig{Type: topology.Classic})
	for _, tc := range []struct {
		outcome error
		work    topology.Work
		want    string
	}{
		{errors.New("nacked"), orders, "again"},
		{refused(404), orders, "again"},
		{refused(0), orders, "reject true"},
		{refused(406), classic, "reject false"},
	} {
		pub := &publisher{outcomes: []error{tc.outcome}}
		err := settle(t, Middleware(pub, tc.work, Policy{Logger: slog.New(slog.DiscardHandler)})(fails(io.EOF))(t.Context(), amqp.Delivery{}))
		got := "other"
		if a, ok := verdict.AsAgain(err); ok {
			got = "again"
			if err := settle(t, a.Again(t.Context())); err != nil {
				t.Errorf("%v: again: %v", tc.outcome, err)
			}
			if pub.sent[0].msg.MessageId != pub.sent[1].msg.MessageId || pub.sent[0].key != pub.sent[1].key {
				t.Error("again sent another copy")
			}
		} else if r, ok := verdict.AsReject(err); ok {
			got = fmt.Sprint("reject ", r.Reject())
		}
		if got != tc.want {
			t.Errorf("%v: %s, want %s", tc.outcome, got, tc.want)
		}
	}
}

// A handler that forwards with Start returns a pending error of its own.
func TestHandlersOwnPending(t *testing.T) {
	for _, tc := range []struct {
		name    string
		outcome error
		copies  int
		dead    bool
	}{
		{"confirmed", nil, 0, false},
		{"failed for now", temporary(true), 1, false},
		{"failed for good", errors.New("returned"), 0, true},
		{"pending again, then failed for now", underWay(temporary(true)), 1, false},
	} {
		pub := &publisher{}
		err := settle(t, run(t, pub, Policy{}, amqp.Delivery{}, fails(underWay(tc.outcome))))
		var dead *DeadError
		if errors.As(err, &dead) != tc.dead || len(pub.sent) != tc.copies || !tc.dead && err != nil {
			t.Errorf("%s: %v, %d copies", tc.name, err, len(pub.sent))
		}
	}
}

type again struct{ error }

func (again) Again(context.Context) error { return nil }

type reject struct{ error }

func (reject) Reject() bool { return true }

func TestOthersWordsAreLeftAlone(t *testing.T) {
	for _, err := range []error{again{io.EOF}, fmt.Errorf("w: %w", reject{io.EOF})} {
		pub := &publisher{}
		if got := run(t, pub, Policy{}, amqp.Delivery{}, fails(err)); got != err || len(pub.sent) != 0 { //nolint:errorlint // untouched
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestJoinWithPendingIsUnexpected(t *testing.T) {
	pub := &publisher{}
	err := run(t, pub, Policy{Unknown: VerdictTransient}, amqp.Delivery{}, fails(errors.Join(underWay(nil), Transient(io.EOF))))
	var dead *DeadError
	if !errors.As(err, &dead) || dead.Reason != story.ReasonUnexpected {
		t.Errorf("%v", err)
	}
	if _, ok := verdict.AsPending(err); ok {
		t.Error("still pending")
	}
}

func TestWithoutItsPartsNothingIsHandled(t *testing.T) {
	never := func(context.Context, amqp.Delivery) error { t.Error("handled"); return nil }
	if err := Middleware(nil, orders, Policy{})(never)(t.Context(), amqp.Delivery{}); err == nil {
		t.Error("no publisher: no error")
	}
	if err := Middleware(&publisher{}, topology.Work{}, Policy{})(never)(t.Context(), amqp.Delivery{}); err == nil {
		t.Error("no queue: no error")
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	p := Policy{
		Logger: slog.New(slog.NewTextHandler(&out, nil)),
		Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") },
	}
	d := amqp.Delivery{MessageId: "m", Headers: amqp.Table{"big": strings.Repeat("x", 120_000)}}
	err := After(errors.New("a secret"), 1000*24*time.Hour)
	_ = Middleware(&publisher{}, orders, p)(fails(err))(t.Context(), d)
	for _, want := range []string{"message_id=m", "retry=1", `error="a ***"`, "message parked", "was cut", "headers=[big]"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "secret") {
		t.Error("the log tells the secret")
	}
}
