package retry

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/topology"
)

// What each jitter makes of the delays: the bounds hold always, and three
// hundred draws come near both of them.
func TestJitterBounds(t *testing.T) {
	for _, tc := range []struct {
		name      string
		policy    Policy
		attempt   int
		low, high time.Duration
	}{
		{"schedule: exponential", Policy{BackOff: Exponential(10*time.Second, time.Hour)}, 2, 16 * time.Second, 24*time.Second + 1},
		{"schedule: constant", Policy{BackOff: Constant(time.Minute)}, 1, time.Minute, time.Minute},
		{"none: exponential", Policy{BackOff: Exponential(10*time.Second, time.Hour), Jitter: NoJitter}, 2, 20 * time.Second, 20 * time.Second},
		{"none: exponential, capped", Policy{BackOff: Exponential(10*time.Second, 30*time.Second), Jitter: NoJitter}, 3, 30 * time.Second, 30 * time.Second},
		{"none: list", Policy{BackOff: Schedule(1, time.Minute), Jitter: NoJitter}, 2, time.Minute, time.Minute},
		{"equal: exponential", Policy{BackOff: Exponential(10*time.Second, time.Hour), Jitter: EqualJitter}, 2, 10 * time.Second, 20 * time.Second},
		{"equal: constant", Policy{BackOff: Constant(time.Minute), Jitter: EqualJitter}, 1, 30 * time.Second, time.Minute},
		{"full: exponential", Policy{BackOff: Exponential(10*time.Second, time.Hour), Jitter: FullJitter}, 2, 0, 20 * time.Second},
		{"full: list", Policy{BackOff: Schedule(1, time.Minute), Jitter: FullJitter}, 2, 0, time.Minute},
		{"full: nothing to spread", Policy{BackOff: Constant(0), Jitter: FullJitter}, 1, 0, 0},
		{"full: as long as can be", Policy{BackOff: Constant(math.MaxInt64), Jitter: FullJitter}, 1, 0, math.MaxInt64},
	} {
		p := tc.policy.withDefaults()
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for range 300 {
			d, ok := p.delay(tc.attempt)
			if !ok || d < tc.low || d > tc.high {
				t.Fatalf("%s: %v, %v, want %v to %v", tc.name, d, ok, tc.low, tc.high)
			}
			least, most = min(least, d), max(most, d)
		}
		tenth := (tc.high - tc.low) / 10 // a fair draw misses one end that often once in 10^13
		if least > tc.low+tenth || most < tc.high-tenth {
			t.Errorf("%s: from %v to %v, want about %v to %v", tc.name, least, most, tc.low, tc.high)
		}
	}
}

// How many moments a jitter makes of one delay, on the ladder.
func TestJitterOnTheLadder(t *testing.T) {
	for _, tc := range []struct {
		delay  time.Duration
		jitter Jitter
		want   int
	}{
		{time.Second, NoJitter, 1},
		{time.Second, EqualJitter, 6}, // 0.5 to 1.0 s
		{time.Second, FullJitter, 10},
		{10 * time.Minute, NoJitter, 1},
		{10 * time.Minute, EqualJitter, 9},
		{10 * time.Minute, FullJitter, 15 + 8*8 + 5},
	} {
		moments := map[time.Duration]bool{}
		for range 10_000 {
			_, _, actual := topology.Ladder{}.Park("q", tc.jitter.spread(tc.delay))
			moments[actual] = true
		}
		if got := len(moments); got > tc.want || got < tc.want*3/4 { // the shortest of many are seldom drawn
			t.Errorf("%v of %v: %d moments, want %d", tc.jitter, tc.delay, got, tc.want)
		}
	}
}

func TestNoDelayIsOverLongestWithAnyJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "delay"))
		})
		schedule := rapid.Custom(func(t *rapid.T) func() backoff.BackOff {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				return Exponential(second.Draw(t, "initial"), time.Hour+second.Draw(t, "largest"))
			case 1:
				return Constant(second.Draw(t, "constant"))
			}
			return Schedule(rapid.SliceOf(second).Draw(t, "list")...)
		})
		jitter := rapid.Custom(func(t *rapid.T) Jitter { return Jitter(rapid.IntRange(0, 3).Draw(t, "jitter")) })
		p := Policy{MaxRetries: rapid.IntRange(-1, 9).Draw(t, "retries"), BackOff: schedule.Draw(t, "schedule"), Jitter: jitter.Draw(t, "jitter")}
		for range rapid.IntRange(0, 2).Draw(t, "classes") {
			c := Class{Match: func(error) bool { return true }, MaxRetries: rapid.IntRange(-1, 9).Draw(t, "class retries"), Jitter: jitter.Draw(t, "class jitter")}
			if rapid.Bool().Draw(t, "own schedule") {
				c.BackOff = schedule.Draw(t, "class schedule")
			}
			p.Classes = append(p.Classes, c)
		}
		longest := p.Longest()
		p = p.withDefaults()
		for _, own := range append([]Policy{p}, p.classes...) {
			for n := 1; n <= own.MaxRetries; n++ {
				if d, _ := own.delay(n); d < 0 || d > longest {
					t.Fatalf("delay(%d) = %v, Longest %v", n, d, longest)
				}
			}
		}
	})
}

func TestJitterString(t *testing.T) {
	if got := fmt.Sprint(ScheduleJitter, NoJitter, EqualJitter, FullJitter, Jitter(9)); got != "schedule none equal full jitter(9)" {
		t.Error(got)
	}
}
