package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Exponential is a schedule that starts at initial, doubles, and is spread by
// 20 % either way (unless Policy.Jitter says otherwise), so that messages which
// failed together do not come back together. largest caps the delay before the
// spreading.
func Exponential(initial, largest time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff {
		return backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(initial),
			backoff.WithMaxInterval(largest),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0.2),
			backoff.WithMaxElapsedTime(0), // Policy.MaxElapsed counts from the first failure, not from here
		)
	}
}

// Constant is a schedule with the same delay before every retry.
func Constant(d time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return backoff.NewConstantBackOff(d) }
}

// Schedule is a list of delays: the first before the first retry, and so on.
// After the last one there are no more retries, whatever Policy.MaxRetries says.
func Schedule(delays ...time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return &list{delays: delays} }
}

type list struct {
	delays []time.Duration
	next   int
}

func (l *list) NextBackOff() time.Duration {
	if l.next >= len(l.delays) {
		return backoff.Stop
	}
	l.next++
	return l.delays[l.next-1]
}

func (l *list) Reset() { l.next = 0 }

// longest is the upper bound of the first n delays of a schedule. A schedule
// with a spread that is not backoff's exponential one is only sampled.
func longest(b backoff.BackOff, n int) time.Duration {
	var most time.Duration
	e, spread := b.(*backoff.ExponentialBackOff)
	factor := 1.0
	if spread {
		factor += e.RandomizationFactor
		b = still(e)
	}
	for range n {
		d := b.NextBackOff()
		if d == backoff.Stop {
			break
		}
		most = max(most, d)
	}
	if !spread {
		return most
	}
	return time.Duration(float64(most)*factor) + 1 // backoff's formula reaches one nanosecond further
}
