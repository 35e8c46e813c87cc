package retry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/hareline/hareline/internal/verdict"
)

// Rule gives the verdict on errors it knows; false leaves them to the next rule.
// A rule must be pure: it is called from many goroutines.
type Rule func(err error) (Verdict, bool)

// Classify gives the verdict on a handler's error: the rules in turn, then the
// defaults:
//
//   - a panic (an error with Panicked() bool) is unexpected, whatever it holds;
//   - the outermost of [Transient], [After], [Permanent] and backoff.Permanent;
//   - *json.SyntaxError, *json.UnmarshalTypeError and errors with
//     Malformed() bool are malformed;
//   - deadlines, timeouts, refused, reset and broken connections, unexpected ends
//     of streams, driver.ErrBadConn, sql.ErrConnDone and errors with
//     Temporary() bool are transient.
//
// Everything else is unexpected. So is a join of a copy under way and another
// error, before any rule is asked: one error cannot say both. Nil is unexpected,
// too: it is no error.
func Classify(err error, rules ...Rule) Verdict {
	v, known := classify(err, rules)
	if !known {
		return VerdictUnexpected
	}
	return v
}

// classify reports false for an error that no rule knows.
func classify(err error, rules []Rule) (Verdict, bool) {
	if err == nil || verdict.Unsettled(err) {
		return VerdictUnexpected, true
	}
	for _, rule := range rules {
		if v, ok := rule(err); ok {
			return v, true
		}
	}
	if some(err, panicked) {
		return VerdictUnexpected, true
	}
	if m := outermost(err); m != nil {
		return m.verdict, true
	}
	if some(err, malformed) {
		return VerdictMalformed, true
	}
	if passing(err) {
		return VerdictTransient, true
	}
	return VerdictUnexpected, false
}

func panicked(err error) bool {
	p, ok := err.(interface{ Panicked() bool })
	return ok && p.Panicked()
}

func malformed(err error) bool {
	switch e := err.(type) { //nolint:errorlint // one node of the tree, see some
	case *json.SyntaxError, *json.UnmarshalTypeError:
		return true
	case interface{ Malformed() bool }:
		return e.Malformed()
	}
	return false
}

// passingErrors are failures of a moment (R 31).
var passingErrors = []error{
	context.DeadlineExceeded,
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe,
	driver.ErrBadConn, sql.ErrConnDone,
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
	syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN,
}

func passing(err error) bool {
	for _, known := range passingErrors {
		if errors.Is(err, known) {
			return true
		}
	}
	return some(err, func(err error) bool {
		if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
			return true
		}
		t, ok := err.(interface{ Temporary() bool })
		return ok && t.Temporary()
	})
}

// outermost finds the first mark on the way down, ours or backoff's.
func outermost(err error) *mark {
	var found *mark
	some(err, func(err error) bool {
		switch e := err.(type) { //nolint:errorlint // one node of the tree
		case *mark:
			found = e
		case *backoff.PermanentError:
			found = &mark{err: e.Err, verdict: VerdictPermanent}
		}
		return found != nil
	})
	return found
}

// delayOf is the delay that the handler asked for, where its mark is what
// decided.
func delayOf(err error) (time.Duration, bool) {
	if m := outermost(err); m != nil && m.verdict == VerdictTransient {
		return max(m.delay, 0), m.hasDelay
	}
	return 0, false
}

// some reports whether a node of err's tree has the property, from the outside
// in, joins in their order. Unlike errors.As it does not stop at the first node
// of a type: a timeout may wrap an error that also has Timeout, and is not one.
func some(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // this is the unwrapping
	case interface{ Unwrap() error }:
		return some(e.Unwrap(), is)
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if some(part, is) {
				return true
			}
		}
	}
	return false
}
