package retry

import (
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/hareline/hareline/story"
)

// Policy says how often and how late a message is tried again. The zero value
// is useful. A Policy is safe for concurrent use when its functions are.
type Policy struct {
	// MaxRetries is how many retries follow the first attempt. Negative means
	// none; 0 means as many as a BackOff that ends has delays, else 3. A
	// message that was duplicated counts for each of its copies.
	MaxRetries int

	// MaxElapsed ends the retries of a message when the next one would come
	// later than this after the first failure. 0 means no such end.
	MaxElapsed time.Duration

	// BackOff makes a fresh schedule of delays; it is called for every failure
	// and stepped to the attempt at hand, so it must not return a shared one. A
	// schedule that answers backoff.Stop ends the retries. Nil means
	// Exponential(1 s, 10 min). The ladder rounds each delay up to its steps.
	BackOff func() backoff.BackOff

	// Rules are asked before the default ones, see Classify.
	Rules []Rule

	// Unknown is the verdict on errors that no rule knows. The default is
	// VerdictUnexpected: bury at once. VerdictTransient tries them again.
	Unknown Verdict

	// Redact cleans error texts before they go into headers and logs. Nil
	// leaves them as they are.
	Redact func(string) string

	// CopyTimeout is how long the publish of a copy may take before its outcome
	// counts as unknown and it is published again. 0 means 30 s.
	CopyTimeout time.Duration

	// Logger gets a line for every parked copy. Nil means slog.Default().
	Logger *slog.Logger
}

// defaultRetries is how many follow a schedule without end.
const defaultRetries = 3

// retriesOf counts the delays of a schedule that ends.
func retriesOf(schedule func() backoff.BackOff) int {
	if schedule == nil {
		return defaultRetries
	}
	const endless = 1000
	b := schedule()
	for n := range endless {
		if b.NextBackOff() == backoff.Stop {
			return n
		}
	}
	return defaultRetries
}

func (p Policy) withDefaults() Policy {
	switch {
	case p.MaxRetries == 0:
		p.MaxRetries = retriesOf(p.BackOff)
	case p.MaxRetries < 0:
		p.MaxRetries = 0
	}
	p.MaxRetries = min(p.MaxRetries, story.MaxCount)
	if p.BackOff == nil {
		p.BackOff = Exponential(time.Second, 10*time.Minute)
	}
	if p.Redact == nil {
		p.Redact = func(s string) string { return s }
	}
	if p.CopyTimeout <= 0 {
		p.CopyTimeout = 30 * time.Second
	}
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	return p
}

// Delay is the time before the given retry; 1 is the first one. False: there is
// no such retry. It is pure when the schedule is: the default one is spread by
// 20 %, so two calls differ by that.
func (p Policy) Delay(attempt int) (time.Duration, bool) {
	return p.withDefaults().delay(attempt)
}

// delay works on a filled policy, as the rest of the package does: filling one
// twice would read "no retries" as "the default".
func (p Policy) delay(attempt int) (time.Duration, bool) {
	if attempt < 1 || attempt > p.MaxRetries {
		return 0, false
	}
	schedule := p.BackOff()
	var d time.Duration
	for range attempt {
		if d = schedule.NextBackOff(); d == backoff.Stop {
			return 0, false
		}
	}
	return max(d, 0), true
}

// Longest is the upper bound of all delays of this policy, spread included. A
// schedule of the user's own that is random is sampled, so its bound is a guess;
// the delays that a handler gives by After are not known here.
func (p Policy) Longest() time.Duration {
	p = p.withDefaults()
	return longest(p.BackOff(), p.MaxRetries)
}
