package topology

import (
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// faultsOf are the faults of t; it fails when the error is of another kind.
func faultsOf(tb tester, t Topology) []Fault {
	tb.Helper()
	err := t.Validate()
	if err == nil {
		return nil
	}
	var ve *ValidationError
	if !errors.As(err, &ve) {
		tb.Fatalf("Validate gave %T, want *ValidationError: %v", err, err)
	}
	return ve.Faults
}

// mustBeValid fails with the faults of t.
func mustBeValid(tb tester, t Topology) {
	tb.Helper()
	if err := t.Validate(); err != nil {
		tb.Fatal(err)
	}
}
