package consumer

import (
	"time"

	"github.com/hareline/hareline/internal/verdict"
)

// step is what the session does next with a delivery.
type step uint8

const (
	doAck step = iota
	doAwait
	doHold
	doReject
	doHoldAside
	doGiveBack
	doPostpone
)

// decide reads the result of a handler chain, of a pending copy or of a
// repeated one: all three speak the same language.
func decide(err error) step {
	if err == nil {
		return doAck
	}
	if _, ok := verdict.AsPending(err); ok {
		return doAwait
	}
	if _, ok := verdict.AsPostponed(err); ok { // looks like the next one to all others
		return doPostpone
	}
	if _, ok := verdict.AsAgain(err); ok {
		return doHold
	}
	if r, ok := verdict.AsReject(err); ok {
		if r.Reject() {
			return doReject
		}
		return doHoldAside
	}
	return doGiveBack
}

// The backoff of give-backs and of copies that cannot be stored.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
)

// pause is the wait after the nth failure in a row.
func pause(n int) time.Duration {
	if n > 8 {
		return backoffMax
	}
	return min(backoffMin<<max(0, n-1), backoffMax)
}
