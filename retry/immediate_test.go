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
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/story"
)

// calls is a handler that returns the errors in turn, the last one again and
// again, and counts.
func calls(n *int, errs ...error) handler {
	return func(context.Context, amqp.Delivery) error {
		*n++
		return errs[min(*n, len(errs))-1]
	}
}

func TestImmediate(t *testing.T) {
	always := func(p Policy) Policy { p.Immediate = 3; return p }
	for _, tc := range []struct {
		name   string
		policy Policy
		errs   []error
		calls  int
		parked bool
		reason string
	}{
		{"none by default", Policy{}, []error{io.EOF}, 1, true, ""},
		{"success at once", always(Policy{}), []error{nil}, 1, false, ""},
		{"success at the second call", always(Policy{}), []error{io.EOF, nil}, 2, false, ""},
		{"success at the last", always(Policy{}), []error{io.EOF, io.EOF, io.EOF, nil}, 4, false, ""},
		{"all fail", always(Policy{}), []error{io.EOF}, 4, true, ""},
		{"without delayed ones", always(Policy{MaxRetries: -1}), []error{io.EOF}, 4, false, story.ReasonExhausted},
		{"permanent", always(Policy{}), []error{Permanent(io.EOF)}, 1, false, story.ReasonPermanent},
		{"permanent at the second call", always(Policy{}), []error{io.EOF, Permanent(io.EOF)}, 2, false, story.ReasonPermanent},
		{"unexpected", always(Policy{}), []error{errors.New("a bug")}, 1, false, story.ReasonUnexpected},
		{"malformed", always(Policy{}), []error{malformedError(true)}, 1, false, story.ReasonMalformed},
		{"panic", always(Policy{Unknown: VerdictTransient}), []error{panicError{io.EOF}}, 1, false, story.ReasonUnexpected},
		{"panic at the second call", always(Policy{}), []error{io.EOF, panicError{io.EOF}}, 2, false, story.ReasonUnexpected},
		{"a delay that is asked for", always(Policy{}), []error{After(io.EOF, time.Minute)}, 1, true, ""},
		{"asked for at the second call", always(Policy{}), []error{io.EOF, After(io.EOF, time.Minute)}, 2, true, ""},
		{"unknown, by option", always(Policy{Unknown: VerdictTransient}), []error{errors.New("x")}, 4, true, ""},
		{"a copy of the handler's own", always(Policy{}), []error{underWay(temporary(true))}, 1, true, ""},
		{"a copy of the handler's own, when all is transient", always(Policy{Unknown: VerdictTransient}), []error{underWay(temporary(true))}, 1, true, ""},
		{"a join with one", always(Policy{Unknown: VerdictTransient}), []error{errors.Join(underWay(nil), io.EOF)}, 1, false, story.ReasonUnexpected},
		{"a class that has none", always(Policy{Classes: []Class{{Match: is(io.EOF), Immediate: -1}}}), []error{io.EOF}, 1, true, ""},
		{"a class that has some", Policy{Classes: []Class{{Match: is(errDeadlock), Immediate: 2}}}, []error{errDeadlock}, 3, true, ""},
		{"of another class at the second call", Policy{Classes: []Class{{Match: is(errDeadlock), Immediate: 2}}}, []error{errDeadlock, io.EOF}, 2, true, ""},
		{"a budget for two", always(Policy{Budget: &Budget{Share: 2, MinPerSecond: -1}}), []error{io.EOF}, 2, true, ""},
		{"a budget for four", always(Policy{Budget: &Budget{Share: 4, MinPerSecond: -1}}), []error{io.EOF}, 3, true, ""},
		{"a budget for six", always(Policy{Budget: &Budget{Share: 6, MinPerSecond: -1}}), []error{io.EOF}, 4, true, ""},
		{"a budget for one", always(Policy{Budget: &Budget{Share: 1, MinPerSecond: -1}}), []error{io.EOF}, 1, true, ""},
		{"no budget left", always(Policy{Budget: &Budget{Share: -1, MinPerSecond: -1}}), []error{io.EOF}, 1, false, story.ReasonBudget},
		{"panic, when a rule has all tried again", always(Policy{Rules: []Rule{func(error) (Verdict, bool) { return VerdictTransient, true }}}), []error{panicError{io.EOF}}, 1, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pub, n := &publisher{}, 0
			err := settle(t, run(t, pub, tc.policy, amqp.Delivery{RoutingKey: "orders"}, calls(&n, tc.errs...)))
			var dead *DeadError
			_ = errors.As(err, &dead)
			if dead == nil {
				dead = &DeadError{}
				if err != nil {
					t.Errorf("error %v", err)
				}
			}
			if n != tc.calls || (len(pub.sent) > 0) != tc.parked || dead.Reason != tc.reason {
				t.Errorf("%d calls, %d copies, reason %q; want %d, %v, %q", n, len(pub.sent), dead.Reason, tc.calls, tc.parked, tc.reason)
			}
			for _, s := range pub.sent {
				if got, err := story.Read(s.msg.Headers); err != nil || got.RetryCount != 1 {
					t.Errorf("story %+v, %v: an immediate retry is no attempt", got, err)
				}
			}
		})
	}
}

// Each delayed attempt has its immediate retries; none of them counts.
func TestImmediateAtEachAttempt(t *testing.T) {
	pub, n := &publisher{}, 0
	p := Policy{Immediate: 2, MaxRetries: 2}
	d := amqp.Delivery{RoutingKey: "orders"}
	for attempt := range 2 {
		if err := settle(t, run(t, pub, p, d, calls(&n, io.EOF))); err != nil {
			t.Fatal(err)
		}
		copied := pub.sent[attempt].msg
		d = amqp.Delivery{Headers: copied.Headers, MessageId: copied.MessageId}
	}
	err := run(t, pub, p, d, calls(&n, io.EOF))
	var dead *DeadError
	if !errors.As(err, &dead) || dead.Reason != story.ReasonExhausted || dead.Attempt != 3 || dead.Of != 3 || n != 9 {
		t.Errorf("%v after %d calls", err, n)
	}
}

// The end of the handler's ctx ends the immediate retries: at a shutdown the
// error is handed on untouched, at a deadline the message is parked.
func TestImmediateEndsWithTheCtx(t *testing.T) {
	for _, tc := range []struct {
		cause  error
		copies int
	}{{shutdown{}, 0}, {context.DeadlineExceeded, 1}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		pub, n := &publisher{}, 0
		h := Middleware(pub, orders, Policy{Immediate: 9, Logger: slog.New(slog.DiscardHandler)})(func(context.Context, amqp.Delivery) error {
			if n++; n == 2 {
				cancel(tc.cause)
			}
			return io.EOF
		})
		err := h(ctx, amqp.Delivery{})
		if n != 2 || len(pub.sent) != tc.copies || tc.copies == 0 && err != io.EOF { //nolint:errorlint // untouched
			t.Errorf("%v: %d calls, %d copies, %v", tc.cause, n, len(pub.sent), err)
		}
		_ = settle(t, err)
		cancel(nil)
	}
}

// MaxElapsed counts from the first call's failure, and ends the immediate
// retries, too. So does the end of the message's life (R 14).
func TestImmediateEndsByTheClock(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy Policy
		d      amqp.Delivery
		calls  int
		reason string
	}{
		{"elapsed", Policy{Immediate: 9, MaxElapsed: 25 * time.Second}, amqp.Delivery{}, 4, story.ReasonElapsed},
		{"its life is over", Policy{Immediate: 9}, amqp.Delivery{Expiration: "25000"}, 3, story.ReasonExpired},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			slow := func(context.Context, amqp.Delivery) error {
				n++
				<-time.After(10 * time.Second)
				return io.EOF
			}
			err := run(t, &publisher{}, tc.policy, tc.d, slow)
			var dead *DeadError
			if !errors.As(err, &dead) || dead.Reason != tc.reason || n != tc.calls {
				t.Errorf("%s: %v after %d calls, want %q after %d", tc.name, err, n, tc.reason, tc.calls)
			}
		})
	}
}

// The first failure is that of the first call, though the copy comes later.
func TestFirstFailureBeforeImmediateRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, began := &publisher{}, time.Now()
		slow := func(context.Context, amqp.Delivery) error { <-time.After(time.Minute); return io.EOF }
		_ = settle(t, run(t, pub, Policy{Immediate: 2}, amqp.Delivery{RoutingKey: "orders"}, slow))
		s, err := story.Read(pub.sent[0].msg.Headers)
		if got := s.FirstFailedAt.Sub(began); err != nil || got != time.Minute {
			t.Errorf("first failed after %v, %v", got, err)
		}
	})
}

func TestImmediateIsLogged(t *testing.T) {
	var out bytes.Buffer
	p := Policy{
		Immediate: 1,
		Logger:    slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Redact:    func(s string) string { return strings.ReplaceAll(s, "secret", "***") },
	}
	_ = Middleware(&publisher{}, orders, p)(fails(Transient(errors.New("a secret"))))(t.Context(), amqp.Delivery{MessageId: "m"})
	for _, want := range []string{"called again at once", "message_id=m", "immediate=1", `error="a ***"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "secret") {
		t.Error("the log tells the secret")
	}
}

// A budget that is spent buries what would be parked, and says so in the log
// once; what is no retry costs nothing.
func TestBudgetInTheMiddleware(t *testing.T) {
	var out bytes.Buffer
	shared := &Budget{Share: 0.5, MinPerSecond: -1}
	p := Policy{Budget: shared, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})), Classes: []Class{{Match: is(errQuota), Budget: shared}}}
	count := map[string]int{}
	pub := &publisher{}
	deliver := func(d amqp.Delivery, err error) {
		err = settle(t, Middleware(pub, orders, p)(fails(err))(t.Context(), d))
		var dead *DeadError
		if errors.As(err, &dead) {
			count[dead.Reason]++
		}
	}
	retried := amqp.Delivery{Headers: story.Story{RetryCount: 1, OriginQueue: "orders"}.Table()}
	for range 10 {
		deliver(amqp.Delivery{}, nil)
		deliver(amqp.Delivery{}, Permanent(io.EOF))
		deliver(retried, nil) // earns nothing
	}
	for i := range 10 { // ten more first attempts: 30 in all
		deliver(amqp.Delivery{}, []error{io.EOF, errQuota}[i%2])
	}
	for range 10 {
		deliver(retried, io.EOF)
	}
	if len(pub.sent) != 15 || count[story.ReasonBudget] != 5 || count[story.ReasonPermanent] != 10 {
		t.Errorf("%d copies, dead: %v", len(pub.sent), count)
	}
	if n := strings.Count(out.String(), "the budget is spent"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out.String())
	}
	err := run(t, pub, p, retried, fails(io.EOF))
	if got, want := fmt.Sprint(err), "attempt 2 of 4 failed, no further one (budget): EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPolicyThatIsRefusedHandlesNothing(t *testing.T) {
	err := run(t, &publisher{}, Policy{Immediate: 1000}, amqp.Delivery{}, func(context.Context, amqp.Delivery) error { t.Error("handled"); return nil })
	var refused *ConfigError
	if !errors.As(err, &refused) || refused.Field != "Immediate" {
		t.Errorf("error %v", err)
	}
}

func BenchmarkMiddleware(b *testing.B) {
	for name, p := range map[string]Policy{"plain": {}, "budget": {Budget: &Budget{}}, "immediate and classes": {Immediate: 3, Classes: []Class{{Match: is(io.EOF)}}}} {
		b.Run(name, func(b *testing.B) {
			h := Middleware(&publisher{}, orders, p)(fails(nil))
			d := amqp.Delivery{RoutingKey: "orders", MessageId: "m", Headers: amqp.Table{}}
			b.ReportAllocs()
			for b.Loop() {
				_ = h(b.Context(), d)
			}
		})
	}
}

// However an outage is met, by immediate retries too, the log says once that
// the budget is spent.
func TestSpentBudgetIsToldWithImmediateRetries(t *testing.T) {
	var out bytes.Buffer
	p := Policy{Immediate: 3, Budget: &Budget{Share: -1, MinPerSecond: -1}, Logger: slog.New(slog.NewTextHandler(&out, nil))}
	for range 5 {
		_ = Middleware(&publisher{}, orders, p)(fails(io.EOF))(t.Context(), amqp.Delivery{})
	}
	if n := strings.Count(out.String(), "the budget is spent"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out.String())
	}
}

// A delivery that a breaker or a limit postpones meets the chain again and again:
// it earns once, when it is handled.
func TestPostponedDeliveriesEarnNothing(t *testing.T) {
	b := &Budget{Share: 1, MinPerSecond: -1}
	h := func(err error) {
		_ = settle(t, run(t, &publisher{}, Policy{Budget: b}, amqp.Delivery{}, fails(err)))
	}
	for range 100 {
		h(consumer.Postpone(time.Second, errors.New("open")))
	}
	if ok, _ := b.take(time.Now()); ok {
		t.Error("earned by deliveries that nobody handled")
	}
	h(nil)
	if ok, _ := b.take(time.Now()); !ok {
		t.Error("the first attempt earned nothing")
	}
}
