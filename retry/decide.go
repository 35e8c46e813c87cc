package retry

import (
	"fmt"
	"time"

	"github.com/hareline/hareline/story"
)

// DeadError says that a message gets no further attempt. The middleware above
// buries it; without one, the consumer gives the message back for ever.
type DeadError struct {
	Reason  string // one of story's Reason constants
	Attempt int    // the attempt that failed, from 1
	Of      int    // how many there were to be
	Err     error
}

func (e *DeadError) Error() string {
	return fmt.Sprintf("attempt %d of %d failed, no further one (%s): %v", e.Attempt, e.Of, e.Reason, e.Err)
}

// Unwrap returns the handler's error.
func (e *DeadError) Unwrap() error { return e.Err }

// DeadReason returns Reason; burial writes it into the story.
func (e *DeadError) DeadReason() string { return e.Reason }

// decision is what to do with one failure: park a copy with the story for the
// delay, or give up with the reason. Exactly one of the two.
type decision struct {
	verdict Verdict
	policy  Policy // for this error
	reason  string // why not to park; empty: park
	delay   time.Duration
	story   story.Story // of the copy to park
}

func (d decision) park() bool { return d.reason == "" }

// decide judges the failure of an attempt, with no I/O: s is the story of the
// delivery, round gives what the ladder makes of a delay. p has its defaults.
func decide(now time.Time, s story.Story, err error, p Policy, round func(time.Duration) time.Duration) decision {
	v, p := p.judge(err)
	d := decision{verdict: v, policy: p}
	switch v {
	case VerdictTransient:
	case VerdictMalformed:
		d.reason = story.ReasonMalformed
	case VerdictPermanent:
		d.reason = story.ReasonPermanent
	default:
		d.reason = story.ReasonUnexpected
	}
	if d.reason != "" {
		return d
	}

	delay, ok := p.delay(s.RetryCount + 1)
	if !ok {
		d.reason = story.ReasonExhausted
		return d
	}
	if asked, ok := delayOf(err); ok {
		delay = asked
	}
	if s.FirstFailedAt.IsZero() {
		s.FirstFailedAt = now
	}
	due := now.Add(round(delay))
	switch {
	case p.MaxElapsed > 0 && due.Sub(s.FirstFailedAt) > p.MaxElapsed:
		d.reason = story.ReasonElapsed
	case !s.ExpiresAt.IsZero() && due.After(s.ExpiresAt):
		d.reason = story.ReasonExpired
	default:
		s.RetryCount++
		s.RetryMax = p.MaxRetries
		s.LastError = p.Redact(err.Error())
		s.ErrorClass = story.Class(err)
		d.delay, d.story = delay, s
	}
	return d
}
