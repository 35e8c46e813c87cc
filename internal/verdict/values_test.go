package verdict

import (
	"context"
	"errors"
	"testing"
)

// A copy that is repeated ends with the repeat's ctx, for its cause, and has the values
// of the attempt that made it.
func TestRepeatedCopiesHaveTheAttemptsValues(t *testing.T) {
	type key string
	attempt, over := context.WithCancelCause(context.WithValue(context.Background(), key("span"), "attempt"))
	over(errors.New("the attempt is over"))
	c, s := newCopy(true, errors.New("nacked"), errors.New("nacked"))
	err := c.Start(attempt)
	a, ok := AsAgain(err)
	if !ok {
		t.Fatal(err)
	}
	session, end := context.WithCancelCause(context.WithValue(context.Background(), key("session"), "s"))
	err = errors.New("the session is over")
	end(err)
	_ = a.Again(session)
	got := s.ctxs[1]
	if got.Value(key("span")) != "attempt" || got.Value(key("session")) != "s" || !errors.Is(context.Cause(got), err) {
		t.Errorf("values %v, %v, cause %v", got.Value(key("span")), got.Value(key("session")), context.Cause(got))
	}
}
