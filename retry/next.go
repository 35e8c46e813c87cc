package retry

import (
	"log/slog"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/hareline/hareline/story"
)

// Next judges a failed attempt without the ladder, with no I/O, for who repeats
// in process as package ordered does. s is the story before it, now the time of
// the failure. Either the next attempt comes after the delay, with the returned
// story; or the error is a *DeadError and there is none. Immediate and CopyTimeout
// are left to the caller. A Budget is drawn on; its first attempts are to be told by
// First.
func (p Policy) Next(now time.Time, s story.Story, err error) (story.Story, time.Duration, error) {
	p = p.withDefaults()
	d := decide(now, s, err, p, func(delay time.Duration) time.Duration { return delay })
	if !d.park() {
		return s, 0, dead(s, d.policy, d.reason, err)
	}
	ok, tell := d.policy.Budget.take(now)
	if tell {
		p.Logger.Warn("retry: the budget is spent; messages that fail are given up until retries are fewer, or first attempts more",
			slog.String("error", d.story.LastError))
	}
	if !ok {
		return s, 0, dead(s, d.policy, story.ReasonBudget, err)
	}
	return d.story, d.delay, nil
}

// First notes the first attempt of a message, whatever comes of it, for the Budgets
// of the policy and its classes: for who judges by Next.
func (p Policy) First(now time.Time) {
	seen := map[*Budget]bool{nil: true}
	note := func(b *Budget) {
		if !seen[b] {
			seen[b] = true
			b.earn(now)
		}
	}
	note(p.Budget)
	for _, c := range p.Classes {
		note(c.Budget)
	}
}

// Total is the upper bound of all delays of one message together, of whatever class
// each of its failures is, spread included. As for Longest, a random schedule of the
// user's own is sampled, and what a handler gives by After is not known.
func (p Policy) Total() time.Duration {
	p = p.withDefaults()
	all := append([]Policy{p}, p.classes...)
	next := make([]func() (time.Duration, bool), len(all))
	for i, own := range all {
		next[i] = upper(own.Jitter.schedule(own.BackOff()))
	}
	var total time.Duration
	for n, more := 1, true; more && total < math.MaxInt64; n++ {
		more = false
		longest := total
		for i, own := range all {
			if n > own.MaxRetries || next[i] == nil {
				continue
			}
			d, ok := next[i]()
			if !ok {
				next[i] = nil
				continue
			}
			more = true
			sum := total + min(d, math.MaxInt64-total)
			if own.MaxElapsed > 0 {
				sum = min(sum, own.MaxElapsed)
			}
			longest = max(longest, sum)
		}
		total = longest
	}
	return total
}

// upper gives the upper bounds of a schedule's delays, one after the other.
func upper(b backoff.BackOff) func() (time.Duration, bool) {
	factor := 0.0
	if e, ok := b.(*backoff.ExponentialBackOff); ok {
		factor, b = e.RandomizationFactor, still(e)
	}
	return func() (time.Duration, bool) {
		d := b.NextBackOff()
		if d == backoff.Stop {
			return 0, false
		}
		d = max(d, 0)
		if factor > 0 {
			d += min(time.Duration(float64(d)*factor)+1, math.MaxInt64-d) // backoff's formula reaches one nanosecond further
		}
		return d, true
	}
}
