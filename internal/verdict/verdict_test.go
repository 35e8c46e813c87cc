package verdict

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// fakePending is a pending error in the hands of a test.
type fakePending struct {
	done    chan struct{}
	outcome error
	asked   int
}

func (p *fakePending) Error() string         { return "under way" }
func (p *fakePending) Done() <-chan struct{} { return p.done }
func (p *fakePending) Outcome() error        { p.asked++; return p.outcome }
func (p *fakePending) Cause() error          { return errors.New("the cause") }

func pendingNow() *fakePending { return &fakePending{done: make(chan struct{})} }

func doneWith(outcome error) *fakePending {
	p := &fakePending{done: make(chan struct{}), outcome: outcome}
	close(p.done)
	return p
}

type fakeAgain struct{ error }

func (fakeAgain) Again(context.Context) error { return nil }

type fakeReject struct{ error }

func (fakeReject) Reject() bool { return true }

// asPending is found by an As method instead of by its type.
type asPending struct{ inner Pending }

func (asPending) Error() string { return "as" }
func (a asPending) As(target any) bool {
	p, ok := target.(*Pending)
	if ok {
		*p = a.inner
	}
	return ok
}

func TestAs(t *testing.T) {
	plain := errors.New("plain")
	p := pendingNow()
	a := fakeAgain{plain}
	r := fakeReject{plain}
	for _, tc := range []struct {
		name                   string
		err                    error
		pending, again, reject bool
		unsettled              bool
	}{
		{"nil", nil, false, false, false, false},
		{"plain", plain, false, false, false, false},
		{"pending", p, true, false, false, true},
		{"wrapped", fmt.Errorf("w: %w", p), true, false, false, true},
		{"by As", asPending{p}, false, false, false, true},
		{"again", fmt.Errorf("w: %w", a), false, true, false, true},
		{"reject", r, false, false, true, true},
		{"joined with another", errors.Join(p, plain), false, false, false, true},
		{"joined with another, by verbs", fmt.Errorf("%w and %w", plain, p), false, false, false, true},
		{"two pending ones", errors.Join(p, pendingNow()), false, false, false, true},
		{"join of one", errors.Join(nil, p, nil), true, false, false, true},
		{"join of none left", fmt.Errorf("w: %w", errors.Join(plain)), false, false, false, false},
		{"join below the reject", fakeReject{errors.Join(p, plain)}, false, false, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, pending := AsPending(tc.err)
			_, again := AsAgain(tc.err)
			_, reject := AsReject(tc.err)
			if pending != tc.pending || again != tc.again || reject != tc.reject {
				t.Errorf("pending, again, reject = %v, %v, %v, want %v, %v, %v", pending, again, reject, tc.pending, tc.again, tc.reject)
			}
			if got := Unsettled(tc.err); got != tc.unsettled {
				t.Errorf("Unsettled = %v, want %v", got, tc.unsettled)
			}
		})
	}
}

// tree draws an error tree around a pending error, or around none, and tells
// what a dumb reader of it would say.
func tree(t *rapid.T) (holds, joined bool, err error) {
	if holds = rapid.Bool().Draw(t, "holds"); holds {
		err = pendingNow()
	} else {
		err = errors.New("leaf")
	}
	for range rapid.IntRange(0, 6).Draw(t, "depth") {
		switch rapid.IntRange(0, 3).Draw(t, "node") {
		case 0:
			err = fmt.Errorf("wrap: %w", err)
		case 1:
			err = errors.Join(nil, err)
		case 2:
			err, joined = errors.Join(err, errors.New("other")), true
		case 3:
			err, joined = fmt.Errorf("%w, %w", errors.New("other"), err), true
		}
	}
	return holds, joined, err
}

func TestJoinIsNeverPending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holds, joined, err := tree(t)
		if _, ok := AsPending(err); ok != (holds && !joined) {
			t.Fatalf("AsPending = %v for a tree that holds a pending error: %v, and joins: %v", ok, holds, joined)
		}
		if Unsettled(err) != holds {
			t.Fatalf("Unsettled = %v, want %v", !holds, holds)
		}
	})
}

func TestThen(t *testing.T) {
	failed, mapped := errors.New("failed"), errors.New("mapped")
	p := pendingNow()
	calls := 0
	err := Then(p, func(outcome error) error {
		calls++
		if !errors.Is(outcome, failed) {
			t.Errorf("f was given %v", outcome)
		}
		return mapped
	})
	got, ok := AsPending(fmt.Errorf("wrapped: %w", err))
	if !ok {
		t.Fatal("Then's error is not pending")
	}
	if got.Error() != "under way" || Cause(err).Error() != "the cause" {
		t.Errorf("text %q, cause %v", got.Error(), Cause(err))
	}
	if early := got.Outcome(); early != err { //nolint:errorlint // itself, not one like it
		t.Errorf("asked too early, Outcome = %v, want itself", early)
	}
	p.outcome = failed
	close(p.done)
	for range 2 {
		if out := got.Outcome(); !errors.Is(out, mapped) {
			t.Errorf("Outcome = %v, want mapped", out)
		}
	}
	if calls != 1 || p.asked != 1 {
		t.Errorf("f was called %d times, p asked %d times, want once", calls, p.asked)
	}
}

func TestThenPanicIsNoSuccess(t *testing.T) {
	err := Then(doneWith(nil), func(error) error { panic("boom") })
	p, _ := AsPending(err)
	for range 2 {
		if p.Outcome() == nil {
			t.Fatal("a panic became a nil outcome: the delivery would be acked")
		}
	}
}

func TestCause(t *testing.T) {
	if Cause(nil) != nil || Cause(errors.New("x")) != nil {
		t.Error("an error without a cause has one")
	}
	if Cause(Then(fakeNoCause{doneWith(nil)}, nil)) != nil {
		t.Error("Then invented a cause")
	}
}

// fakeNoCause hides Cause.
type fakeNoCause struct{ Pending }

type shutdown bool

func (shutdown) Error() string    { return "shutting down" }
func (s shutdown) Shutdown() bool { return bool(s) }

func TestIsShutdown(t *testing.T) {
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		return ctx
	}
	child := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}
	for _, tc := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a row of the table
		want bool
	}{
		{"alive", context.Background(), false},
		{"cancelled", ended(nil), false},
		{"shutdown", ended(shutdown(true)), true},
		{"wrapped shutdown", ended(fmt.Errorf("drain: %w", shutdown(true))), true},
		{"says no", ended(shutdown(false)), false},
		{"child of a shutdown", child(ended(shutdown(true))), true},
		{"child ended by itself", child(context.Background()), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := IsShutdown(tc.ctx); got != tc.want {
				t.Errorf("IsShutdown = %v, want %v", got, tc.want)
			}
		})
	}
}
