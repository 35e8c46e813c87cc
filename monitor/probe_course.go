package monitor

import (
	"time"
)

// longestWait is the most that follows a probe that has not come back: an hour of
// standing ladder adds six messages, a day 28.
const longestWait = time.Hour

// course is which probes are on the ladder, and what the last ones said. It is pure: it
// is told of the time.
type course struct {
	every, limit, delay time.Duration

	flights []flight      // oldest first
	tried   time.Time     // when the last round began, or should have
	last    time.Duration // the last lag
	at      time.Time     // when it was measured
	err     *ProbeError
	since   time.Time // of err, or of its end
}

// flight is one probe that has not come back.
type flight struct {
	number  uint64
	due     time.Time
	overdue bool
}

// next tells whether a round is due, and when else to look again. While a probe is on
// its way there is none; behind each that does not come back the wait doubles.
func (c *course) next(now time.Time) (wake time.Time, send bool) {
	overdue := 0
	for _, f := range c.flights {
		if !f.overdue {
			return f.due.Add(c.limit), false
		}
		overdue++
	}
	if c.tried.IsZero() {
		return now, true
	}
	wake = c.tried.Add(c.pause(overdue))
	return wake, !wake.After(now)
}

// pause is the wait behind so many overdue probes.
func (c *course) pause(overdue int) time.Duration {
	wait := c.every
	for range overdue {
		if wait >= longestWait {
			return wait
		}
		wait = min(2*wait, longestWait)
	}
	return wait
}

// begin notes the begin of a round.
func (c *course) begin(now time.Time) { c.tried = now }

// sent puts a probe on its way.
func (c *course) sent(number uint64, now time.Time) {
	c.flights = append(c.flights, flight{number: number, due: now.Add(c.delay)})
}

// postpone makes a probe due later: for so long the broker did not read it.
func (c *course) postpone(number uint64, by time.Duration) {
	for i, f := range c.flights {
		if f.number == number {
			c.flights[i].due = f.due.Add(by)
		}
	}
}

// retract forgets a probe that is not on the ladder.
func (c *course) retract(number uint64) {
	for i, f := range c.flights {
		if f.number == number {
			c.flights = append(c.flights[:i], c.flights[i+1:]...)
			return
		}
	}
}

// interrupted forgets the probe that is on its way: its link was lost, so that it may
// never have come to the broker, or come back to nobody. What is overdue stays so: it was
// before that.
func (c *course) interrupted() {
	if n := len(c.flights); n > 0 && !c.flights[n-1].overdue {
		c.flights = c.flights[:n-1]
	}
}

// arrived measures a probe; false: it is on its way no more. Those sent before it are
// not waited for: on the same way nothing overtakes, so they are lost.
func (c *course) arrived(number uint64, now time.Time) bool {
	for i, f := range c.flights {
		if f.number != number {
			continue
		}
		c.last, c.at = max(0, now.Sub(f.due)), now
		c.flights = c.flights[i+1:]
		if len(c.flights) == 0 || !c.flights[0].overdue {
			c.recovered(now)
		}
		return true
	}
	return false
}

func (c *course) recovered(now time.Time) {
	if c.err != nil || c.since.IsZero() {
		c.err, c.since = nil, now
	}
}

// overdue marks probes that have not come back in time; false: there is no new one.
func (c *course) overdue(now time.Time) bool {
	marked := false
	for i, f := range c.flights {
		if !f.overdue && !now.Before(f.due.Add(c.limit)) {
			c.flights[i].overdue, marked = true, true
		}
	}
	return marked
}

// failed notes why nothing is measured; false: it is what it was.
func (c *course) failed(err *ProbeError, now time.Time) bool {
	another := c.err == nil || c.err.Reason != err.Reason
	if another {
		c.since = now
	}
	c.err = err
	return another
}

// lag is what is known now.
func (c *course) lag(now time.Time) LadderLag {
	l := LadderLag{Lag: c.last, At: c.at, Since: c.since}
	if c.err != nil {
		l.Err = c.err
	}
	if len(c.flights) == 0 {
		return l
	}
	oldest := c.flights[0]
	l.Lag = max(l.Lag, now.Sub(oldest.due))
	if oldest.overdue {
		l.Lag, l.OverdueSince = now.Sub(oldest.due), oldest.due
	}
	return l
}
