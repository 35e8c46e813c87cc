package retry

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/hareline/hareline/story"
)

// Next says what the middleware would do, without a ladder.
func TestNext(t *testing.T) {
	p := Policy{MaxRetries: 2, BackOff: Constant(time.Second), Classes: []Class{{Match: is(errQuota), MaxRetries: 4, BackOff: Constant(77 * time.Millisecond)}},
		Budget: &Budget{Share: 1, MinPerSecond: 0.3}}
	p.First(now) // earns one
	for _, tc := range []struct {
		name   string
		story  story.Story
		err    error
		delay  time.Duration
		reason string
		of     int
	}{
		{"first", story.Story{}, io.EOF, time.Second, "", 0},
		{"not rounded, by class", story.Story{RetryCount: 3}, errQuota, 77 * time.Millisecond, "", 0},
		{"exhausted", story.Story{RetryCount: 2}, io.EOF, 0, story.ReasonExhausted, 3},
		{"exhausted, by class", story.Story{RetryCount: 4}, errQuota, 0, story.ReasonExhausted, 5},
		{"permanent", story.Story{}, Permanent(io.EOF), 0, story.ReasonPermanent, 3},
		{"the last but one that the budget allows", story.Story{RetryCount: 1}, io.EOF, time.Second, "", 0},
		{"the last", story.Story{RetryCount: 1}, io.EOF, time.Second, "", 0},
		{"spent", story.Story{RetryCount: 1}, io.EOF, 0, story.ReasonBudget, 3},
	} {
		s, delay, err := p.Next(now, tc.story, tc.err)
		var dead *DeadError
		switch {
		case tc.reason == "" && (err != nil || delay != tc.delay || s.RetryCount != tc.story.RetryCount+1):
			t.Errorf("%s: %v, %d, %v", tc.name, delay, s.RetryCount, err)
		case tc.reason != "" && (!errors.As(err, &dead) || dead.Reason != tc.reason || dead.Of != tc.of || s.RetryCount != tc.story.RetryCount):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// First notes a first attempt once for each Budget, that of a class too.
func TestFirst(t *testing.T) {
	own, shared := &Budget{}, &Budget{}
	p := Policy{Budget: shared, Classes: []Class{{Match: is(errQuota), Budget: own}, {Match: is(io.EOF), Budget: shared}, {Match: is(io.EOF)}}}
	p.First(now)
	p.First(now)
	if own.slots[0].firsts != 2 || shared.slots[0].firsts != 2 {
		t.Errorf("noted %d and %d", own.slots[0].firsts, shared.slots[0].firsts)
	}
	Policy{}.First(now)
}

// Total bounds the delays of a message whose failures may be of any class.
func TestTotal(t *testing.T) {
	const s = time.Second
	hours := Class{Match: is(errQuota), BackOff: Schedule(time.Hour, time.Hour)}
	for name, tc := range map[string]struct {
		policy Policy
		want   time.Duration
	}{
		"none":                      {Policy{MaxRetries: -1}, 0},
		"a schedule":                {Policy{BackOff: Schedule(s, 2*s, 3*s)}, 6 * s},
		"up to MaxRetries":          {Policy{MaxRetries: 2, BackOff: Schedule(s, 2*s, 3*s)}, 3 * s},
		"its jitter only shortens":  {Policy{BackOff: Schedule(s, 2*s), Jitter: FullJitter}, 3 * s},
		"spread":                    {Policy{MaxRetries: 2, BackOff: Exponential(s, time.Hour)}, 3600*time.Millisecond + 2},
		"spread left out":           {Policy{MaxRetries: 2, BackOff: Exponential(s, time.Hour), Jitter: NoJitter}, 3 * s},
		"MaxElapsed":                {Policy{BackOff: Schedule(s, 20*s), MaxElapsed: 5 * s}, 5 * s},
		"a class":                   {Policy{BackOff: Schedule(s, s, s), Classes: []Class{hours}}, 2*time.Hour + s},
		"classes in turn":           {Policy{BackOff: Schedule(s, 9*s), Classes: []Class{{Match: is(errQuota), BackOff: Schedule(5*s, s, 2*s)}}}, 16 * s},
		"a class within MaxElapsed": {Policy{BackOff: Schedule(s), MaxElapsed: time.Minute, Classes: []Class{hours}}, time.Minute},
		"a class without such end":  {Policy{BackOff: Schedule(s), MaxElapsed: time.Minute, Classes: []Class{{Match: is(errQuota), BackOff: Schedule(time.Hour), MaxElapsed: -1}}}, time.Hour},
		"endless":                   {Policy{MaxRetries: 1_000_000, BackOff: Constant(0)}, 0},
		"beyond all time":           {Policy{BackOff: Schedule(math.MaxInt64, math.MaxInt64)}, math.MaxInt64},
		"negative":                  {Policy{BackOff: Schedule(-s*2, s)}, s},
	} {
		if got := tc.policy.Total(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
