package retry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Jitter spreads the delays of messages that failed together, so that they do
// not come back together. It is drawn anew for each failure, before the ladder
// rounds the delay up: to 100 ms below 1.6 s, above to one of 8 steps between a
// delay and its double. So of a crowd that fails together, equal jitter makes
// about nine groups, and full jitter of 10 min makes 84.
type Jitter uint8

// The jitters. A delay that a handler asks for ([After]) is never changed.
const (
	ScheduleJitter Jitter = iota // what the schedule does: Exponential is spread by 20 %, Constant and Schedule are not
	NoJitter                     // the delay itself; an exponential schedule's own spread is left out
	EqualJitter                  // half of the delay, and a random part of the other half
	FullJitter                   // a random part of the delay: the best spread, and the shortest delays
)

// String returns the jitter's word.
func (j Jitter) String() string {
	switch j {
	case ScheduleJitter:
		return "schedule"
	case NoJitter:
		return "none"
	case EqualJitter:
		return "equal"
	case FullJitter:
		return "full"
	}
	return fmt.Sprintf("jitter(%d)", uint8(j))
}

// schedule is b as this jitter wants it.
func (j Jitter) schedule(b backoff.BackOff) backoff.BackOff {
	if e, ok := b.(*backoff.ExponentialBackOff); ok && j != ScheduleJitter {
		return still(e)
	}
	return b
}

// still is the exponential schedule without its spread, from its start.
func still(e *backoff.ExponentialBackOff) *backoff.ExponentialBackOff {
	own := *e
	own.RandomizationFactor = 0
	own.Reset()
	return &own
}

// spread draws a delay up to d.
func (j Jitter) spread(d time.Duration) time.Duration {
	d = min(max(d, 0), math.MaxInt64-1)
	switch j {
	case EqualJitter:
		return d - rand.N(d/2+1)
	case FullJitter:
		return rand.N(d + 1)
	case ScheduleJitter, NoJitter:
	}
	return d
}
