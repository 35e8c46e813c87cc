package bubble

import (
	"context"
	"testing/synctest"
	"time"
)

// Patience ends what hangs. A few hours of the bubble are next to nothing.
const Patience = 3 * time.Hour

// Soon is a ctx that ends after Patience, and with the test.
func Soon(t TB) context.Context {
	t.Helper()
	return After(t, Patience)
}

// After is a ctx that ends after d, and with the test.
func After(t TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Pass lets d go by, and whatever falls due at its end happen.
func Pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Eventually waits for a state of the broker. It looks less often as time goes by.
func Eventually(t TB, what string, reached func() bool) {
	t.Helper()
	synctest.Wait()
	for began := time.Now(); !reached(); Pass(10*time.Millisecond + time.Since(began)/20) {
		if time.Since(began) > Patience {
			t.Fatalf("never: %s", what)
		}
	}
}

// Wait waits for a signal of the code under test.
func Wait[T any](t TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(Patience):
		t.Fatalf("never: %s", what)
	}
	return v
}
