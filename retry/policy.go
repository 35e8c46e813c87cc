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
	// message that was duplicated counts for each of its copies. Immediate
	// retries are not counted.
	MaxRetries int

	// MaxElapsed ends the retries of a message when the next one would come
	// later than this after the first failure. 0 means no such end.
	MaxElapsed time.Duration

	// BackOff makes a fresh schedule of delays; it is called for every failure
	// and stepped to the attempt at hand, so it must not return a shared one. A
	// schedule that answers backoff.Stop ends the retries. Nil means
	// Exponential(1 s, 10 min). The ladder rounds each delay up to its steps.
	BackOff func() backoff.BackOff

	// Jitter spreads the delays. The default is what the schedule does itself.
	Jitter Jitter

	// Immediate is how often the handler is called again at once, by the same
	// worker, when it failed transiently, before a copy is parked: for failures
	// that are over in a moment, such as a deadlock. 0 means none; at most 100.
	//
	// Immediate retries are remembered by nobody: they are no attempts in the
	// story or in a DeadError, each attempt has as many, and a message is handled
	// (Immediate+1)*(MaxRetries+1) times at most. All calls for one delivery have
	// to be over within the broker's consumer timeout (30 min). There is none
	// after a panic, an error of any other verdict, a delay that was asked for
	// ([After], also from a Retry-After header), the failed outcome of a publish
	// that was pending, or the end of the handler's ctx, and when MaxElapsed, the
	// message's life or half of the Budget are over.
	Immediate int

	// Classes are policies for some errors: the first that matches decides. An
	// error of a class that no rule knows is transient. All classes count the
	// same retries: those of the message.
	Classes []Class

	// Budget bounds the share of retries. Nil means no such bound.
	Budget *Budget

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

	classes []Policy // what Classes come to; filled by withDefaults
}

// defaultRetries is how many follow a schedule without end.
const defaultRetries = 3

// retriesOf counts the delays of a schedule that ends.
func retriesOf(schedule func() backoff.BackOff) (n int, ends bool) {
	if schedule == nil {
		return 0, false
	}
	const endless = 1000
	b := schedule()
	for n := range endless {
		if b.NextBackOff() == backoff.Stop {
			return n, true
		}
	}
	return 0, false
}

// atMost is a number of retries that a story can count.
func atMost(n int) int { return min(max(n, 0), story.MaxCount) }

func (p Policy) withDefaults() Policy {
	if p.MaxRetries == 0 {
		n, ends := retriesOf(p.BackOff)
		if !ends {
			n = defaultRetries
		}
		p.MaxRetries = n
	}
	p.MaxRetries = atMost(p.MaxRetries)
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
	p.classes = nil
	for _, c := range p.Classes {
		p.classes = append(p.classes, c.over(p))
	}
	return p
}

// Delay is the time before the given retry of an error of no class; 1 is the
// first one. False: there is no such retry. It is pure when the schedule is and
// Jitter does not draw: the default schedule is spread by 20 %, so two calls
// differ by that.
func (p Policy) Delay(attempt int) (time.Duration, bool) {
	return p.withDefaults().delay(attempt)
}

// delay works on a filled policy, as the rest of the package does: filling one
// twice would read "no retries" as "the default".
func (p Policy) delay(attempt int) (time.Duration, bool) {
	if attempt < 1 || attempt > p.MaxRetries {
		return 0, false
	}
	schedule := p.Jitter.schedule(p.BackOff())
	var d time.Duration
	for range attempt {
		if d = schedule.NextBackOff(); d == backoff.Stop {
			return 0, false
		}
	}
	return p.Jitter.spread(d), true
}

// Longest is the upper bound of all delays of this policy and its classes, spread
// included. A schedule of the user's own that is random is sampled, so its bound
// is a guess; the delays that a handler gives by After are not known here.
func (p Policy) Longest() time.Duration {
	p = p.withDefaults()
	var most time.Duration
	for _, own := range append([]Policy{p}, p.classes...) {
		most = max(most, longest(own.Jitter.schedule(own.BackOff()), own.MaxRetries))
	}
	return most
}
