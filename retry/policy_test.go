package retry

import (
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
)

func TestDelay(t *testing.T) {
	type step struct {
		attempt int
		want    time.Duration
		ok      bool
	}
	exact := func() backoff.BackOff {
		return backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	}
	for _, tc := range []struct {
		name   string
		policy Policy
		steps  []step
	}{
		{"constant", Policy{BackOff: Constant(time.Minute)}, []step{{0, 0, false}, {1, time.Minute, true}, {3, time.Minute, true}, {4, 0, false}}},
		{"list", Policy{MaxRetries: 9, BackOff: Schedule(1, 5, 3)}, []step{{1, 1, true}, {2, 5, true}, {3, 3, true}, {4, 0, false}}},
		{"list cut by the count", Policy{MaxRetries: 1, BackOff: Schedule(1, 5, 3)}, []step{{1, 1, true}, {2, 0, false}}},
		{"exponential", Policy{MaxRetries: 9, BackOff: exact}, []step{{1, time.Second, true}, {2, 2 * time.Second, true}, {3, 4 * time.Second, true}, {4, 5 * time.Second, true}, {9, 5 * time.Second, true}}},
		{"none", Policy{MaxRetries: -1}, []step{{1, 0, false}}},
		{"empty list", Policy{BackOff: Schedule()}, []step{{1, 0, false}}},
		{"zero delay", Policy{BackOff: Constant(0)}, []step{{1, 0, true}}},
	} {
		for _, s := range tc.steps {
			if got, ok := tc.policy.Delay(s.attempt); got != s.want || ok != s.ok {
				t.Errorf("%s: Delay(%d) = %v, %v, want %v, %v", tc.name, s.attempt, got, ok, s.want, s.ok)
			}
		}
	}
}

func TestZeroPolicy(t *testing.T) {
	var p Policy
	for attempt, middle := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second} {
		got, ok := p.Delay(attempt)
		if low, high := middle*8/10, middle*12/10+1; !ok || got < low || got > high {
			t.Errorf("Delay(%d) = %v, %v, want %v to %v", attempt, got, ok, low, high)
		}
	}
	if _, ok := p.Delay(4); ok {
		t.Error("a fourth retry")
	}
	if got := (Policy{MaxRetries: 1 << 40}).withDefaults().MaxRetries; got != story.MaxCount {
		t.Errorf("MaxRetries = %d: more than a story may count", got)
	}
}

func TestLongest(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy Policy
		want   time.Duration
	}{
		{"zero", Policy{}, 4*time.Second*12/10 + 1},
		{"capped", Policy{MaxRetries: 50, BackOff: Exponential(time.Second, time.Minute)}, time.Minute*12/10 + 1},
		{"constant", Policy{BackOff: Constant(time.Hour)}, time.Hour},
		{"list", Policy{BackOff: Schedule(3, 9, 1)}, 9},
		{"list cut", Policy{MaxRetries: 1, BackOff: Schedule(3, 9, 1)}, 3},
		{"none", Policy{MaxRetries: -1, BackOff: Constant(time.Hour)}, 0},
	} {
		if got := tc.policy.Longest(); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestNoDelayIsOverLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{
			MaxRetries: rapid.IntRange(1, 40).Draw(t, "retries"),
			BackOff: Exponential(
				time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "initial")),
				time.Duration(rapid.Int64Range(int64(time.Hour), int64(24*time.Hour)).Draw(t, "largest"))),
		}
		longest := p.Longest()
		for n := 1; n <= p.MaxRetries; n++ {
			if d, ok := p.Delay(n); !ok || d < 0 || d > longest {
				t.Fatalf("Delay(%d) = %v, %v, Longest %v", n, d, ok, longest)
			}
		}
	})
}

// A schedule that ends says how many retries there are, unless MaxRetries does.
func TestRetriesOfAFiniteSchedule(t *testing.T) {
	second := time.Second
	five := Schedule(second, second, second, second, second)
	for name, tt := range map[string]struct {
		policy Policy
		want   int
	}{
		"default":                {Policy{}, 3},
		"endless":                {Policy{BackOff: Constant(second)}, 3},
		"five delays":            {Policy{BackOff: five}, 5},
		"five delays, two tries": {Policy{BackOff: five, MaxRetries: 2}, 2},
		"none":                   {Policy{BackOff: five, MaxRetries: -1}, 0},
		"no delay":               {Policy{BackOff: Schedule()}, 0},
	} {
		if got := tt.policy.withDefaults().MaxRetries; got != tt.want {
			t.Errorf("%s: %d retries, want %d", name, got, tt.want)
		}
	}
}
