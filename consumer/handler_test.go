package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestChainFirstIsOutermost(t *testing.T) {
	var got []string
	mark := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(ctx context.Context, d amqp.Delivery) error {
				got = append(got, name)
				return next(ctx, d)
			}
		}
	}
	h := Chain(func(context.Context, amqp.Delivery) error { got = append(got, "handler"); return nil }, mark("a"), mark("b"))
	if err := h(t.Context(), amqp.Delivery{}); err != nil || strings.Join(got, " ") != "a b handler" {
		t.Fatalf("order %v, error %v", got, err)
	}
}

func TestJSON(t *testing.T) {
	type order struct {
		ID int `json:"id"`
	}
	tests := []struct {
		name              string
		body, kind, coded string
		malformed         bool
	}{
		{"plain", `{"id":7}`, "", "", false},
		{"json type", `{"id":7}`, "application/json; charset=utf-8", "", false},
		{"suffix type", `{"id":7}`, "application/cloudevents+json", "utf-8", false},
		{"syntax", `{"id":`, "", "", true},
		{"type", `{"id":"x"}`, "application/json", "", true},
		{"empty", ``, "", "", true},
		{"trailing", `{"id":7} x`, "", "", true},
		{"other content type", `{"id":7}`, "text/plain", "", true},
		{"nonsense content type", `{"id":7}`, "///", "", true},
		{"compressed", "\x1f\x8b", "application/json", "gzip", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := 0
			h := JSON(func(_ context.Context, o order, _ amqp.Delivery) error { got = o.ID; return nil })
			err := h(t.Context(), amqp.Delivery{Body: []byte(tt.body), ContentType: tt.kind, ContentEncoding: tt.coded})
			var malformed *MalformedError
			if errors.As(err, &malformed) != tt.malformed || !tt.malformed && (err != nil || got != 7) {
				t.Fatalf("got %d, error %v", got, err)
			}
			if tt.malformed && !malformed.Malformed() {
				t.Fatal("not marked as malformed")
			}
		})
	}
}

func TestRecover(t *testing.T) {
	h := Recover()(func(context.Context, amqp.Delivery) error { panic(io.EOF) })
	err := h(t.Context(), amqp.Delivery{})
	var p *PanicError
	if !errors.As(err, &p) || !p.Panicked() || !errors.Is(err, io.EOF) || !bytes.Contains(p.Stack, []byte("TestRecover")) {
		t.Fatalf("error %v", err)
	}
	if err := Recover()(func(context.Context, amqp.Delivery) error { return nil })(t.Context(), amqp.Delivery{}); err != nil {
		t.Fatal(err)
	}
}

func TestTimeout(t *testing.T) {
	other := errors.New("other")
	tests := []struct {
		name    string
		handler Handler
		timeout bool
		is      error
	}{
		{"in time", func(context.Context, amqp.Delivery) error { return nil }, false, nil},
		{"past its deadline", func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return ctx.Err() }, true, context.DeadlineExceeded},
		{"wrapped", func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return fmt.Errorf("db: %w", ctx.Err()) }, true, context.DeadlineExceeded},
		{"finished all the same", func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return nil }, false, nil},
		{"another error", func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return other }, false, other},
		{"failed in time", func(context.Context, amqp.Delivery) error { return context.Canceled }, false, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := Timeout(time.Minute)(tt.handler)(t.Context(), amqp.Delivery{})
				var timeout *TimeoutError
				if errors.As(err, &timeout) != tt.timeout || !errors.Is(err, tt.is) {
					t.Fatalf("error %v", err)
				}
				if tt.timeout && !timeout.Timeout() {
					t.Fatal("no timeout in the sense of net.Error")
				}
			})
		})
	}
}

func TestTimeoutLeavesTheConsumersOwnEndAlone(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(shutdown{})
	err := Timeout(time.Minute)(func(ctx context.Context, _ amqp.Delivery) error { return ctx.Err() })(ctx, amqp.Delivery{})
	var timeout *TimeoutError
	if errors.As(err, &timeout) {
		t.Fatalf("a shutdown was taken for a timeout: %v", err)
	}
}

func TestLogging(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"handled", nil, []string{"level=DEBUG", "message handled"}},
		{"failed", errors.New("card 4111"), []string{"level=ERROR", "attempt failed", "card ****"}},
		{"copy under way", pendingStub{cause: errors.New("card 4111")}, []string{"level=WARN", "copy under way", "card ****"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := Logging(LoggingConfig{
				Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
				Redact: func(s string) string { return strings.ReplaceAll(s, "4111", "****") },
			})
			err := log(func(context.Context, amqp.Delivery) error { return tt.err })(t.Context(), amqp.Delivery{MessageId: "m1", Body: []byte("secret")})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error changed to %v", err)
			}
			for _, want := range append(tt.want, "message_id=m1") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("line %q lacks %q", out.String(), want)
				}
			}
			if strings.Contains(out.String(), "4111") || strings.Contains(out.String(), "secret") {
				t.Errorf("line %q shows what it must not", out.String())
			}
		})
	}
}

type pendingStub struct{ cause error }

func (p pendingStub) Error() string         { return "pending" }
func (p pendingStub) Done() <-chan struct{} { return nil }
func (p pendingStub) Outcome() error        { return nil }
func (p pendingStub) Cause() error          { return p.cause }

type againStub struct{ error }

func (againStub) Again(context.Context) error { return nil }

type rejectStub bool

func (rejectStub) Error() string  { return "reject" }
func (r rejectStub) Reject() bool { return bool(r) }

func TestDecide(t *testing.T) {
	plain := errors.New("plain")
	tests := []struct {
		err  error
		want step
	}{
		{nil, doAck},
		{pendingStub{}, doAwait},
		{fmt.Errorf("wrapped: %w", pendingStub{}), doAwait},
		{againStub{plain}, doHold},
		{rejectStub(true), doReject},
		{rejectStub(false), doHoldAside},
		{plain, doGiveBack},
		{context.Canceled, doGiveBack},
		{&PanicError{}, doGiveBack},
		{errors.Join(pendingStub{}, plain), doGiveBack}, // a join is unexpected
	}
	for _, tt := range tests {
		if got := decide(tt.err); got != tt.want {
			t.Errorf("decide(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestPauseGrowsToItsLimit(t *testing.T) {
	for n, last := 0, time.Duration(0); n < 1000; n++ {
		d := pause(n)
		if d < last || d < backoffMin || d > backoffMax {
			t.Fatalf("pause(%d) = %s after %s", n, d, last)
		}
		last = d
	}
	if pause(1000) != backoffMax {
		t.Fatal("the limit is not reached")
	}
}

func TestConfigErrorsNameFieldAndFix(t *testing.T) {
	ok := Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error { return nil }}
	tests := map[string]func(*Config){
		"Queue":    func(c *Config) { c.Queue = "" },
		"Handler":  func(c *Config) { c.Handler = nil },
		"Workers":  func(c *Config) { c.Workers = -1 },
		"Prefetch": func(c *Config) { c.Prefetch = 70000 },
		"DrainTimeout, ConsumerTimeout or GiveUpAfter": func(c *Config) { c.DrainTimeout = -1 },
	}
	for field, spoil := range tests {
		c := ok
		spoil(&c)
		var bad *ConfigError
		if err := Run(t.Context(), nil, c); !errors.As(err, &bad) || bad.Field != field || bad.Fix == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := ok.withDefaults().validate(); err != nil {
		t.Error(err)
	}
	small := Config{Queue: "q", Handler: ok.Handler, Workers: 8, Prefetch: 2}
	if err := small.withDefaults().validate(); err == nil {
		t.Error("a prefetch below the workers passed")
	}
}
