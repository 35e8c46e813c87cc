package verdict_test

import (
	"errors"
	"testing"

	"github.com/hareline/hareline/internal/verdict"
)

type done struct{}

func (done) Error() string { return "copy under way" }
func (done) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
func (done) Outcome() error { return nil }

// chain is how hashicorp/go-multierror unwraps: one error after the other, each
// found by As alone.
type chain []error

func (c chain) Error() string      { return c[0].Error() }
func (c chain) As(target any) bool { return errors.As(c[0], target) }
func (c chain) Unwrap() error {
	if len(c) == 1 {
		return nil
	}
	return c[1:]
}

func TestAChainOfSeveralErrorsIsAJoin(t *testing.T) {
	err := chain{errors.New("the database said no"), done{}}
	if p, ok := verdict.AsPending(err); ok {
		t.Errorf("pending, outcome %v: the delivery would be acked though its handler failed", p.Outcome())
	}
	if !verdict.Unsettled(err) {
		t.Error("it holds a pending error all the same")
	}
}
