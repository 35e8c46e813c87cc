package story_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/hareline/hareline/story"
)

type panicError struct{ value error }

func (panicError) Error() string   { return "panic" }
func (panicError) Panicked() bool  { return true }
func (p panicError) Unwrap() error { return p.value }

type named struct{}

func (named) Error() string      { return "named" }
func (named) ErrorClass() string { return "payment declined" }

type mark struct{ error }

func (m *mark) Unwrap() error { return m.error }

type dead struct{ error }

func (dead) DeadReason() string { return "exhausted" }
func (d dead) Unwrap() error    { return d.error }

type domainError struct{ err error }

func (d *domainError) Error() string { return "cannot ship: " + d.err.Error() }
func (d *domainError) Unwrap() error { return d.err }

func TestClass(t *testing.T) {
	syntax := json.Unmarshal([]byte("{"), &struct{}{})
	plain := errors.New("plain")
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	_, missing := os.Open("testdata/does-not-exist")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"plain", plain, "error"},
		{"wrapped plain", fmt.Errorf("a: %w", plain), "error"},
		{"joined plain", errors.Join(plain, io.EOF), "error"},
		{"json", syntax, "*json.SyntaxError"},
		{"wrapped json", &domainError{fmt.Errorf("a: %w", syntax)}, "*json.SyntaxError"},
		{"domain over plain", fmt.Errorf("x: %w", &domainError{plain}), "*story_test.domainError"},
		{"network", fmt.Errorf("a: %w", &url.Error{Op: "Get", Err: refused}), "*net.OpError"},
		{"file", missing, "*fs.PathError"},
		{"number", syscall.EPIPE, "syscall.Errno"},
		{"deadline", context.DeadlineExceeded, "context.deadlineExceededError"},
		{"panic", fmt.Errorf("a: %w", panicError{refused}), "panic"},
		{"named", fmt.Errorf("a: %w", &domainError{named{}}), "payment declined"},
		{"mark on plain", &mark{plain}, "error"},
		{"mark on json", &mark{syntax}, "*json.SyntaxError"},
		{"dead", dead{plain}, "error"},
		{"join", errors.Join(plain, syntax), "*json.SyntaxError"},
	} {
		if got := story.Class(tc.err); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
