package monitor

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Behind each probe that does not come back the wait for the next doubles, up to an hour.
func TestCoursePause(t *testing.T) {
	c := course{every: time.Minute}
	for overdue, want := range map[int]time.Duration{
		0: time.Minute, 1: 2 * time.Minute, 2: 4 * time.Minute, 5: 32 * time.Minute, 6: time.Hour, 100: time.Hour,
	} {
		if got := c.pause(overdue); got != want {
			t.Errorf("behind %d: %v, want %v", overdue, got, want)
		}
	}
	c.every = 3 * time.Hour
	if got := c.pause(4); got != 3*time.Hour {
		t.Errorf("longer than an hour: %v", got)
	}
}

// A later probe's return says that earlier ones are lost; an earlier one's, nothing of
// later ones.
func TestCourseArrivals(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	three := func() *course {
		c := &course{every: time.Minute, limit: 10 * time.Second, delay: time.Second}
		for i, d := range []time.Duration{0, 2 * time.Minute, 6 * time.Minute} {
			c.begin(at(d))
			c.sent(uint64(i+1), at(d))
			if c.overdue(at(d + 11*time.Second)) {
				c.failed(&ProbeError{Reason: ProbeOverdue}, at(d+11*time.Second))
			}
		}
		return c
	}
	c := three()
	if !c.arrived(1, at(7*time.Minute)) || c.err == nil || len(c.flights) != 2 || c.last != 7*time.Minute-time.Second {
		t.Errorf("the first: %+v", c)
	}
	if l := c.lag(at(8 * time.Minute)); !l.OverdueSince.Equal(at(2*time.Minute+time.Second)) || l.Lag != 6*time.Minute-time.Second {
		t.Errorf("the second is overdue now: %+v", l)
	}
	if c.arrived(1, at(8*time.Minute)) {
		t.Error("its second copy was measured")
	}
	if !c.arrived(3, at(9*time.Minute)) || c.err != nil || len(c.flights) != 0 || !c.since.Equal(at(9*time.Minute)) {
		t.Errorf("the last: %+v", c)
	}
	if c.arrived(2, at(9*time.Minute)) {
		t.Error("one that was given up was measured")
	}
	c = three()
	c.interrupted()
	if len(c.flights) != 3 {
		t.Error("a lost link made a probe that was overdue forgotten")
	}
	c.sent(4, at(14*time.Minute))
	c.interrupted()
	if len(c.flights) != 3 || c.flights[2].number != 3 {
		t.Errorf("one on its way when the link was lost is expected still: %+v", c.flights)
	}
}

// Before its limit a probe that is late shows in the lag, but is not overdue.
func TestCourseGrowsBeforeTheLimit(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := course{every: time.Minute, limit: 10 * time.Second, delay: time.Second, at: start, last: 5 * time.Millisecond}
	c.sent(1, start)
	for d, want := range map[time.Duration]time.Duration{0: 5 * time.Millisecond, time.Second: 5 * time.Millisecond, 6 * time.Second: 5 * time.Second} {
		if l := c.lag(start.Add(d)); l.Lag != want || !l.Known() || l.Err != nil {
			t.Errorf("after %v: %+v", d, l)
		}
	}
	c.postpone(1, 4*time.Second)
	if l := c.lag(start.Add(6 * time.Second)); l.Lag != time.Second {
		t.Errorf("put off: %v", l.Lag)
	}
	if c.overdue(start.Add(14*time.Second)) || !c.overdue(start.Add(15*time.Second)) || c.overdue(start.Add(16*time.Second)) {
		t.Error("overdue is told once, at the limit")
	}
}

// Whatever happens: one probe at most is on its way and not overdue; rounds are never
// closer than Every; what does not come back is sent ever more seldom; a lag is never
// negative; and with nothing on its way nothing is overdue.
func TestCourseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &course{every: time.Minute, limit: 10 * time.Second, delay: 1500 * time.Millisecond}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var last time.Time
		number, returned := uint64(0), false
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "later")))
			if c.overdue(now) {
				c.failed(&ProbeError{Reason: ProbeOverdue}, now)
			}
			wake, send := c.next(now)
			if !send && !wake.After(now) {
				t.Fatalf("a wake of %v at %v: a loop that spins", wake, now)
			}
			if send {
				pending := len(c.flights)
				for _, f := range c.flights {
					if !f.overdue {
						t.Fatal("a second one is to be sent")
					}
				}
				if !last.IsZero() && now.Sub(last) < min(time.Minute<<min(pending, 10), time.Hour) {
					t.Fatalf("%v after the last, with %d overdue", now.Sub(last), pending)
				}
				last = now
				number++
				c.begin(now)
				c.sent(number, now)
			}
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				if len(c.flights) > 0 {
					i := rapid.IntRange(0, len(c.flights)-1).Draw(t, "which")
					if !c.arrived(c.flights[i].number, now) || c.arrived(number+1, now) {
						t.Fatal("not measured as it should")
					}
					returned = true
				}
			case 1:
				c.interrupted()
			case 2:
				if n := len(c.flights); n > 0 && !c.flights[n-1].overdue {
					c.retract(number)
					c.failed(&ProbeError{Reason: ProbeRefused}, now)
				}
			}
			l := c.lag(now)
			overdue := len(c.flights) > 0 && c.flights[0].overdue
			switch {
			case l.Lag < 0:
				t.Fatalf("lag %v", l.Lag)
			case l.OverdueSince.IsZero() == overdue:
				t.Fatalf("overdue %v: %+v", overdue, l)
			case overdue && (l.Err == nil || !l.Known()):
				t.Fatalf("overdue, and fine: %+v", l)
			case !returned && !overdue && l.Known():
				t.Fatalf("known before anything came back: %+v", l)
			}
		}
	})
}
