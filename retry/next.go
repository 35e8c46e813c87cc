package retry

import (
	"time"

	"github.com/hareline/hareline/story"
)

// Next judges a failed attempt without the ladder, with no I/O, for who repeats
// in process as package ordered does. s is the story before it, now the time of
// the failure. Either the next attempt comes after the delay, with the returned
// story; or the error is a *DeadError and there is none. Immediate is left to the
// caller. A Budget is drawn on, but first attempts that succeed are not known
// here and earn nothing: give it a MinPerSecond that is enough.
func (p Policy) Next(now time.Time, s story.Story, err error) (story.Story, time.Duration, error) {
	p = p.withDefaults()
	d := decide(now, s, err, p, func(delay time.Duration) time.Duration { return delay })
	if !d.park() {
		return s, 0, dead(s, d.policy, d.reason, err)
	}
	if s.RetryCount == 0 {
		for _, b := range p.budgets() {
			b.earn(now)
		}
	}
	if ok, _ := d.policy.Budget.take(now); !ok {
		return s, 0, dead(s, d.policy, story.ReasonBudget, err)
	}
	return d.story, d.delay, nil
}
