package retry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

type panicError struct{ err error }

func (panicError) Error() string   { return "panic" }
func (panicError) Panicked() bool  { return true }
func (p panicError) Unwrap() error { return p.err }

type malformedError bool

func (malformedError) Error() string     { return "malformed" }
func (m malformedError) Malformed() bool { return bool(m) }

type temporary bool

func (temporary) Error() string     { return "temporary" }
func (t temporary) Temporary() bool { return bool(t) }

type outcome struct{ error }

func (outcome) Done() <-chan struct{} { return nil }
func (outcome) Outcome() error        { return nil }

func TestClassify(t *testing.T) {
	plain := errors.New("plain")
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	syntax := json.Unmarshal([]byte("{"), &struct{}{})
	mistyped := json.Unmarshal([]byte(`{"A":"x"}`), &struct{ A int }{})
	for _, tc := range []struct {
		name string
		err  error
		want Verdict
	}{
		{"nil", nil, VerdictUnexpected},
		{"plain", plain, VerdictUnexpected},
		{"cancelled", context.Canceled, VerdictUnexpected},

		{"json syntax", fmt.Errorf("a: %w", syntax), VerdictMalformed},
		{"json type", mistyped, VerdictMalformed},
		{"says malformed", malformedError(true), VerdictMalformed},
		{"says not malformed", malformedError(false), VerdictUnexpected},

		{"marked transient", Transient(plain), VerdictTransient},
		{"marked after", fmt.Errorf("a: %w", After(plain, time.Second)), VerdictTransient},
		{"marked permanent", Permanent(plain), VerdictPermanent},
		{"backoff's permanent", fmt.Errorf("a: %w", backoff.Permanent(plain)), VerdictPermanent},
		{"permanent around transient", Permanent(fmt.Errorf("a: %w", Transient(refused))), VerdictPermanent},
		{"transient around permanent", Transient(Permanent(plain)), VerdictTransient},
		{"transient around backoff's permanent", Transient(backoff.Permanent(plain)), VerdictTransient},
		{"transient around malformed", Transient(syntax), VerdictTransient},

		{"deadline", fmt.Errorf("a: %w", context.DeadlineExceeded), VerdictTransient},
		{"i/o timeout", &url.Error{Op: "Get", Err: os.ErrDeadlineExceeded}, VerdictTransient},
		{"refused", fmt.Errorf("a: %w", refused), VerdictTransient},
		{"reset", syscall.ECONNRESET, VerdictTransient},
		{"pipe", syscall.EPIPE, VerdictTransient},
		{"eof", io.EOF, VerdictTransient},
		{"unexpected eof", io.ErrUnexpectedEOF, VerdictTransient},
		{"bad conn", driver.ErrBadConn, VerdictTransient},
		{"conn done", sql.ErrConnDone, VerdictTransient},
		{"no rows", sql.ErrNoRows, VerdictUnexpected},
		{"temporary", fmt.Errorf("a: %w", temporary(true)), VerdictTransient},
		{"not temporary", temporary(false), VerdictUnexpected},
		{"not temporary around temporary", errors.Join(temporary(false), temporary(true)), VerdictTransient},

		{"panic", panicError{refused}, VerdictUnexpected},
		{"panic with a marked value", Transient(panicError{Transient(refused)}), VerdictUnexpected},
		{"pending joined with transient", errors.Join(outcome{plain}, Transient(plain)), VerdictUnexpected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Classify(tc.err); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestRulesComeFirst(t *testing.T) {
	quota := errors.New("quota")
	rule := func(err error) (Verdict, bool) { return VerdictTransient, errors.Is(err, quota) }
	never := func(err error) (Verdict, bool) { return VerdictPermanent, errors.Is(err, io.EOF) }
	if got := Classify(Permanent(quota), never, rule); got != VerdictTransient {
		t.Errorf("own rule: %v", got)
	}
	if got := Classify(io.EOF, never, rule); got != VerdictPermanent {
		t.Errorf("own rule over a default one: %v", got)
	}
	if got := Classify(io.ErrUnexpectedEOF, never, rule); got != VerdictTransient {
		t.Errorf("left to the defaults: %v", got)
	}
	if got := Classify(errors.Join(outcome{quota}, quota), rule); got != VerdictUnexpected {
		t.Errorf("a join with a pending error is %v", got)
	}
}

func TestMarks(t *testing.T) {
	if Transient(nil) != nil || After(nil, 1) != nil || Permanent(nil) != nil {
		t.Error("nil became an error")
	}
	err := After(io.EOF, 3*time.Second)
	if err.Error() != io.EOF.Error() || !errors.Is(err, io.EOF) {
		t.Errorf("a mark changed the error: %v", err)
	}
	for _, tc := range []struct {
		err  error
		want time.Duration
		ok   bool
	}{
		{io.EOF, 0, false},
		{Transient(io.EOF), 0, false},
		{fmt.Errorf("a: %w", err), 3 * time.Second, true},
		{Transient(err), 0, false}, // the outermost decides
		{After(Transient(io.EOF), 0), 0, true},
		{Permanent(err), 0, false},
	} {
		if got, ok := delayOf(tc.err); got != tc.want || ok != tc.ok {
			t.Errorf("delayOf(%v) = %v, %v, want %v, %v", tc.err, got, ok, tc.want, tc.ok)
		}
	}
}

func TestVerdictString(t *testing.T) {
	got := fmt.Sprint(VerdictUnexpected, VerdictMalformed, VerdictTransient, VerdictPermanent, Verdict(9))
	if got != "unexpected malformed transient permanent verdict(9)" {
		t.Error(got)
	}
}
