package verdict

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// script answers each Start with the next of its errors.
type script struct {
	answers []error
	sent    []amqp.Publishing
	ctxs    []context.Context
}

func (s *script) Start(ctx context.Context, _, _ string, msg amqp.Publishing) error {
	s.sent = append(s.sent, msg)
	s.ctxs = append(s.ctxs, ctx)
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return answer
}

type refused int

func (r refused) Error() string          { return fmt.Sprintf("refused %d", int(r)) }
func (r refused) Refused() (int, string) { return int(r), "reason" }

func newCopy(backstop bool, answers ...error) (*Copy, *script) {
	s := &script{answers: answers}
	return &Copy{
		Starter: s, Exchange: "x", Key: "k", Message: amqp.Publishing{MessageId: "m"},
		Timeout: time.Minute, Backstop: backstop, Text: "retry 1 of 3", Cause: errors.New("cause"),
	}, s
}

// kind names what the core would do with err.
func kind(err error) string {
	if err == nil {
		return "nil"
	}
	if _, ok := AsPending(err); ok {
		return "pending"
	}
	if _, ok := AsAgain(err); ok {
		return "again"
	}
	if r, ok := AsReject(err); ok {
		return fmt.Sprintf("reject %v", r.Reject())
	}
	return "other"
}

func TestOutcomes(t *testing.T) {
	other := errors.New("nacked, returned, unsent, unknown")
	for _, tc := range []struct {
		outcome error
		want    string
	}{
		{nil, "nil"},
		{other, "again"},
		{refused(0), "reject true"},
		{refused(amqp.PreconditionFailed), "reject true"},
		{refused(amqp.FrameError), "reject true"},
		{refused(amqp.AccessRefused), "again"},
		{refused(amqp.NotFound), "again"},
		{refused(amqp.ResourceError), "again"},
		{fmt.Errorf("wrapped: %w", refused(0)), "reject true"},
	} {
		t.Run(fmt.Sprint(tc.outcome), func(t *testing.T) {
			if tc.outcome != nil { // final at once
				c, _ := newCopy(true, tc.outcome)
				if got := kind(c.Start(context.Background())); got != tc.want {
					t.Errorf("final at once: %s, want %s", got, tc.want)
				}
			}
			c, _ := newCopy(true, doneWith(tc.outcome))
			p, ok := AsPending(c.Start(context.Background()))
			if !ok {
				t.Fatal("not pending")
			}
			if got := kind(p.Outcome()); got != tc.want {
				t.Errorf("as an outcome: %s, want %s", got, tc.want)
			}
			if !errors.Is(Cause(p), c.Cause) {
				t.Errorf("cause = %v", Cause(p))
			}
		})
	}
}

func TestRejectSaysWhetherTheBrokerHasABackstop(t *testing.T) {
	c, _ := newCopy(false, refused(0))
	if got := kind(c.Start(context.Background())); got != "reject false" {
		t.Errorf("without a backstop: %s", got)
	}
}

func TestNilFromStartIsNoConfirm(t *testing.T) {
	c, _ := newCopy(true, nil)
	if got := kind(c.Start(context.Background())); got != "again" {
		t.Errorf("Start returned nil: %s, want again", got)
	}
}

func TestOutcomeThatIsPending(t *testing.T) {
	c, _ := newCopy(true, doneWith(fmt.Errorf("wrapped: %w", doneWith(errors.New("nacked")))))
	p, _ := AsPending(c.Start(context.Background()))
	next, ok := AsPending(p.Outcome())
	if !ok {
		t.Fatalf("outcome is %s, want pending", kind(p.Outcome()))
	}
	if got := kind(next.Outcome()); got != "again" {
		t.Errorf("outcome of the outcome: %s, want again", got)
	}
	if Cause(next) == nil {
		t.Error("the cause is lost")
	}
}

func TestAgainSendsTheSameCopy(t *testing.T) {
	c, s := newCopy(true, errors.New("nacked"), doneWith(errors.New("unknown")), refused(0))
	a, ok := AsAgain(c.Start(context.Background()))
	if !ok {
		t.Fatal("not again")
	}
	p, ok := AsPending(a.Again(context.Background()))
	if !ok {
		t.Fatal("second: not pending")
	}
	a, ok = AsAgain(p.Outcome())
	if !ok {
		t.Fatal("second: outcome not again")
	}
	if got := kind(a.Again(context.Background())); got != "reject true" {
		t.Errorf("third: %s", got)
	}
	if len(s.sent) != 3 {
		t.Fatalf("sent %d times, want 3", len(s.sent))
	}
	for _, msg := range s.sent {
		if msg.MessageId != "m" {
			t.Errorf("message-id %q", msg.MessageId)
		}
	}
}

// A copy is often made because a deadline is over: it must not inherit it.
func TestCopyHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		p := pendingNow()
		c, s := newCopy(true, p, p)
		err := c.Start(over)
		if s.ctxs[0].Err() != nil {
			t.Fatal("the copy was started with a ctx that is over")
		}
		if a := (&again{copy: c}); kind(a.Again(over)) != "pending" || s.ctxs[1].Err() == nil {
			t.Error("Again must end with the consumer's ctx")
		}
		close(p.done)
		if kind(err) != "pending" {
			t.Fatal(kind(err))
		}
		got, _ := AsPending(err)
		if got.Outcome() != nil || s.ctxs[0].Err() == nil {
			t.Error("the timer outlives the outcome")
		}
	})
}

func TestUnreadCopyEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newCopy(true, pendingNow())
		_ = c.Start(context.Background())
		<-s.ctxs[0].Done() // in virtual time; a deadlock without an end
		if !errors.Is(s.ctxs[0].Err(), context.DeadlineExceeded) {
			t.Errorf("after the timeout: %v", s.ctxs[0].Err())
		}
	})
}
