package verdict

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Pending is an error that says: the attempt is over, and what became of its
// copy is not known yet. The worker is free; the delivery is settled by
// Outcome once Done is closed.
//
// Outcome must be called only after Done is closed. Its result is treated like
// the result of the handler chain: it may be nil, pending, again, reject or
// anything else.
type Pending interface {
	error
	Done() <-chan struct{}
	Outcome() error
}

// Again is an error that says: a copy could not be stored for now. The delivery
// is kept, no new handler is started, and Again is called with backoff. Its
// result is treated like the result of the handler chain. Again blocks until
// the copy is handed over or ctx ends; it is never called by two goroutines at
// once.
type Again interface {
	error
	Again(ctx context.Context) error
}

// Reject is an error that says: no time can mend this copy. True means the
// broker dead-letters at-least-once behind this queue, so the delivery may be
// rejected; false means it is held aside unacked, with an alarm.
type Reject interface {
	error
	Reject() bool
}

// AsPending finds a [Pending] in err's chain. Like [errors.As] it goes from the
// outside in, but it does not look into a join: an error that joins a pending
// one with anything else is neither, for acting on one part would hide the other.
func AsPending(err error) (Pending, bool) { return find[Pending](err) }

// AsAgain finds an [Again] in err's chain, by the rule of [AsPending].
func AsAgain(err error) (Again, bool) { return find[Again](err) }

// AsReject finds a [Reject] in err's chain, by the rule of [AsPending].
func AsReject(err error) (Reject, bool) { return find[Reject](err) }

// As finds a T in err's chain, by the rule of [AsPending].
func As[T error](err error) (T, bool) { return find[T](err) }

// find walks the chain of err up to the first error of type T or the first
// join of two or more errors. A join that holds a single error is a chain. An
// error's own As is not asked, for it may look into a join (multierror does),
// and a panic ends the walk: what it carried is no result of the attempt.
func find[T error](err error) (T, bool) {
	for err != nil {
		if t, ok := err.(T); ok { //nolint:errorlint // this loop is the unwrapping, without joins
			return t, true
		}
		if p, ok := err.(interface{ Panicked() bool }); ok && p.Panicked() {
			break
		}
		err = unwrap(err)
	}
	var none T
	return none, false
}

// unwrap returns the one error below err, or nil where there is none or more
// than one.
func unwrap(err error) error {
	switch e := err.(type) { //nolint:errorlint // see find
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		var only error
		for _, part := range e.Unwrap() {
			switch {
			case part == nil:
			case only == nil:
				only = part
			default:
				return nil
			}
		}
		return only
	}
	return nil
}

// Unsettled reports whether err holds a pending, again or reject error
// anywhere, inside joins too. A tree for which this is true and AsPending,
// AsAgain and AsReject are false is a join of such an error with another.
func Unsettled(err error) bool {
	var (
		p Pending
		a Again
		r Reject
	)
	return errors.As(err, &p) || errors.As(err, &a) || errors.As(err, &r)
}

// Cause returns the failure a pending, again or reject error carries by a
// method Cause() error, or nil. It is what logs and traces show of an attempt
// whose copy is under way.
func Cause(err error) error {
	c, ok := find[interface {
		error
		Cause() error
	}](err)
	if !ok {
		return nil
	}
	return c.Cause()
}

// IsShutdown reports whether ctx ended because its consumer is shutting down:
// the cause in its chain has Shutdown() bool, and it is true. An error returned
// after that is no verdict on the message (R 1).
func IsShutdown(ctx context.Context) bool {
	var s interface {
		error
		Shutdown() bool
	}
	return errors.As(context.Cause(ctx), &s) && s.Shutdown()
}

// Then returns a pending error that is done when p is and whose Outcome is
// f(p.Outcome()), computed once, in the goroutine that asks first. It keeps p's
// text, cause and what it is about. Asked for its outcome before it is done, it answers with
// itself: still pending. A panic of f becomes an error, never a nil outcome.
func Then(p Pending, f func(outcome error) error) error {
	return &then{Pending: p, text: p.Error(), cause: Cause(p), about: AboutErr(p), f: f}
}

type then struct {
	Pending
	text  string
	cause error
	about About
	f     func(error) error

	once   sync.Once
	result error
}

func (t *then) Error() string { return t.text }

func (t *then) Cause() error { return t.cause }

func (t *then) About() About { return t.about }

func (t *then) Outcome() error {
	select {
	case <-t.Done():
	default:
		return t
	}
	t.once.Do(func() {
		defer func() {
			if v := recover(); v != nil {
				t.result = fmt.Errorf("verdict: panic while judging a copy's outcome: %v", v)
			}
		}()
		t.result = t.f(t.Pending.Outcome())
	})
	return t.result
}
