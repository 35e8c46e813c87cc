package dlq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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
	done  chan struct{}
	out   error
	cause error
}

func (p *pending) Error() string         { return "under way" }
func (p *pending) Done() <-chan struct{} { return p.done }
func (p *pending) Outcome() error        { return p.out }
func (p *pending) Cause() error          { return p.cause }

func underWay(outcome error) error {
	p := &pending{done: make(chan struct{}), out: outcome}
	close(p.done)
	return p
}

func fails(err error) handler { return func(context.Context, amqp.Delivery) error { return err } }

var orders = topology.WorkQueue("orders", topology.WorkConfig{})

var quiet = Config{Logger: slog.New(slog.DiscardHandler)}

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

type dead struct {
	reason string
	err    error
}

func (d dead) Error() string      { return "attempt 4 of 4: " + d.err.Error() }
func (d dead) Unwrap() error      { return d.err }
func (d dead) DeadReason() string { return d.reason }

type malformed struct{ error }

func (malformed) Malformed() bool { return true }
func (m malformed) Unwrap() error { return m.error }

type panicked struct{}

func (panicked) Error() string  { return "panic: boom" }
func (panicked) Panicked() bool { return true }

func TestBurial(t *testing.T) {
	syntax := json.Unmarshal([]byte("{"), &struct{}{})
	for _, tc := range []struct {
		name          string
		err           error
		reason, class string
		text          string
	}{
		{"malformed", malformed{syntax}, story.ReasonMalformed, "*json.SyntaxError", "unexpected end of JSON input"},
		{"exhausted", dead{story.ReasonExhausted, &net.OpError{Op: "dial", Err: io.EOF}}, story.ReasonExhausted, "*net.OpError", "dial: EOF"},
		{"unexpected", fmt.Errorf("ship: %w", io.EOF), story.ReasonUnexpected, "error", "ship: EOF"},
		{"panic", panicked{}, story.ReasonUnexpected, "panic", "panic: boom"},
		{"join with a copy under way", errors.Join(underWay(nil), io.EOF), story.ReasonUnexpected, "*dlq.pending", "under way\nEOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pub := &publisher{}
			body := []byte{'{', 0, 255}
			d := amqp.Delivery{Exchange: "events", RoutingKey: "a.b", MessageId: "m", Body: body, Headers: amqp.Table{"mine": "x"}}
			err := Middleware(pub, orders, quiet)(fails(tc.err))(t.Context(), d)
			if cause := verdict.Cause(err); cause == nil || cause.Error() != tc.err.Error() {
				t.Errorf("cause %v", cause)
			}
			if got := settle(t, err); got != nil {
				t.Fatalf("outcome %v", got)
			}
			if len(pub.sent) != 1 || pub.sent[0].exchange != "" || pub.sent[0].key != "orders.dlq" {
				t.Fatalf("sent %+v", pub.sent)
			}
			msg := pub.sent[0].msg
			s, err := story.Read(msg.Headers)
			if err != nil || s.DeadReason != tc.reason || s.ErrorClass != tc.class || s.LastError != tc.text {
				t.Errorf("story %+v, %v", s, err)
			}
			if s.OriginQueue != "orders" || s.OriginKey != "a.b" || s.DeadAt.IsZero() || s.FirstFailedAt.IsZero() {
				t.Errorf("story %+v", s)
			}
			if !bytes.Equal(msg.Body, body) || msg.MessageId != "m" || msg.Headers["mine"] != "x" {
				t.Errorf("letter %+v", msg)
			}
			if letter := Parse(amqp.Delivery{Headers: msg.Headers, MessageId: "m"}); letter.Reason != tc.reason || letter.Queue != "orders" || letter.Attempts != 1 {
				t.Errorf("parsed %+v", letter)
			}
		})
	}
}

func TestBurialOfABrokenStory(t *testing.T) {
	_, broken := story.Read(amqp.Table{story.HeaderRetryCount: -5})
	pub := &publisher{}
	d := amqp.Delivery{RoutingKey: "k", Headers: amqp.Table{story.HeaderRetryCount: -5}}
	if err := settle(t, Middleware(pub, orders, quiet)(fails(dead{story.ReasonMalformed, broken}))(t.Context(), d)); err != nil {
		t.Fatal(err)
	}
	letter := Parse(amqp.Delivery{Headers: pub.sent[0].msg.Headers})
	if letter.Reason != story.ReasonMalformed || letter.Queue != "orders" || len(letter.Problems) != 0 || !strings.Contains(letter.LastError, "negative") {
		t.Errorf("%+v", letter)
	}
}

type shutdown struct{}

func (shutdown) Error() string  { return "shutting down" }
func (shutdown) Shutdown() bool { return true }

type again struct{ error }

func (again) Again(context.Context) error { return nil }

type reject struct{ error }

func (reject) Reject() bool { return true }

func TestWhatIsNotBuried(t *testing.T) {
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(shutdown{})
	for _, tc := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a row of the table
		err  error
	}{
		{"success", t.Context(), nil},
		{"shutdown", stopped, context.Canceled},
		{"shutdown, whatever the error", stopped, dead{story.ReasonExhausted, io.EOF}},
		{"again", t.Context(), again{io.EOF}},
		{"reject", t.Context(), fmt.Errorf("w: %w", reject{io.EOF})},
	} {
		pub := &publisher{}
		got := Middleware(pub, orders, quiet)(fails(tc.err))(tc.ctx, amqp.Delivery{})
		if got != tc.err || len(pub.sent) != 0 { //nolint:errorlint // untouched
			t.Errorf("%s: %v, %d letters", tc.name, got, len(pub.sent))
		}
	}
}

func TestPendingFromBelow(t *testing.T) {
	cause := errors.New("cause")
	for _, tc := range []struct {
		name    string
		outcome error
		buried  bool
		want    string
	}{
		{"confirmed", nil, false, ""},
		{"again", again{io.EOF}, false, "EOF"},
		{"reject", reject{io.EOF}, false, "EOF"},
		{"failed", io.EOF, true, ""},
		{"dead", dead{story.ReasonExhausted, io.EOF}, true, ""},
		{"pending, then failed", underWay(io.EOF), true, ""},
	} {
		pub := &publisher{}
		below := &pending{done: make(chan struct{}), out: tc.outcome, cause: cause}
		close(below.done)
		err := Middleware(pub, orders, quiet)(fails(below))(t.Context(), amqp.Delivery{})
		if verdict.Cause(err) != cause || len(pub.sent) != 0 { //nolint:errorlint // the very one
			t.Errorf("%s: cause %v, %d letters before the outcome", tc.name, verdict.Cause(err), len(pub.sent))
		}
		got := settle(t, err)
		if (len(pub.sent) == 1) != tc.buried || fmt.Sprint(got) != tc.want && got != nil {
			t.Errorf("%s: %v, %d letters", tc.name, got, len(pub.sent))
		}
	}
}

type refused int

func (r refused) Error() string          { return fmt.Sprint("refused ", int(r)) }
func (r refused) Refused() (int, string) { return int(r), "" }

func TestLetterThatIsNotStored(t *testing.T) {
	pub := &publisher{outcomes: []error{errors.New("returned"), refused(404), nil}}
	err := settle(t, Middleware(pub, orders, quiet)(fails(io.EOF))(t.Context(), amqp.Delivery{}))
	for tries := 0; err != nil; tries++ {
		a, ok := verdict.AsAgain(err)
		if !ok || tries > 3 {
			t.Fatalf("%v after %d tries", err, tries)
		}
		err = settle(t, a.Again(t.Context()))
	}
	if len(pub.sent) != 3 || pub.sent[0].msg.MessageId != pub.sent[2].msg.MessageId {
		t.Errorf("%d letters", len(pub.sent))
	}
	pub = &publisher{outcomes: []error{refused(0)}}
	err = settle(t, Middleware(pub, orders, quiet)(fails(io.EOF))(t.Context(), amqp.Delivery{}))
	if r, ok := verdict.AsReject(err); !ok || !r.Reject() {
		t.Errorf("%v", err)
	}
}

func TestHugeMessagesAreBuried(t *testing.T) {
	for _, kib := range []int{40, 100, 120} {
		pub := &publisher{}
		d := amqp.Delivery{Headers: amqp.Table{"big": strings.Repeat("x", kib<<10), "small": "x"}}
		err := errors.New(strings.Repeat("stack\n", 40_000))
		if got := settle(t, Middleware(pub, orders, quiet)(fails(err))(t.Context(), d)); got != nil {
			t.Fatal(got)
		}
		if h := pub.sent[0].msg.Headers; story.Size(h) > story.DefaultLimit || h["small"] != "x" || (h["big"] != nil) != (kib < 110) {
			t.Errorf("%d KiB: %d bytes of headers, big kept: %v", kib, story.Size(h), h["big"] != nil)
		}
	}
}

func TestRedactAndLog(t *testing.T) {
	var out bytes.Buffer
	cfg := Config{
		Logger: slog.New(slog.NewTextHandler(&out, nil)), CopyTimeout: time.Second,
		Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") },
	}
	pub := &publisher{}
	_ = Middleware(pub, orders, cfg)(fails(errors.New("a secret")))(t.Context(), amqp.Delivery{MessageId: "m"})
	for _, want := range []string{"message buried", "message_id=m", "reason=unexpected", `error="a ***"`, "dead_letter_queue=orders.dlq"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "secret") || pub.sent[0].msg.Headers[story.HeaderLastError] != "a ***" {
		t.Error("the secret is out")
	}
}

func TestWithoutItsPartsNothingIsHandled(t *testing.T) {
	never := func(context.Context, amqp.Delivery) error { t.Error("handled"); return nil }
	if Middleware(nil, orders, quiet)(never)(t.Context(), amqp.Delivery{}) == nil ||
		Middleware(&publisher{}, topology.Work{Queue: "orders"}, quiet)(never)(t.Context(), amqp.Delivery{}) == nil {
		t.Error("no error")
	}
}
