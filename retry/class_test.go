package retry

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hareline/hareline/story"
)

var errQuota, errDeadlock = errors.New("quota"), errors.New("deadlock")

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// What a class makes of a failure: where its policy differs from the one it
// stands in, and what it takes from that.
func TestClasses(t *testing.T) {
	p := Policy{
		MaxRetries: 2, BackOff: Constant(time.Second), MaxElapsed: time.Hour,
		Rules: []Rule{func(err error) (Verdict, bool) { return VerdictMalformed, errors.Is(err, io.ErrNoProgress) }},
		Classes: []Class{
			{Match: is(errQuota), MaxRetries: 5, BackOff: Constant(time.Minute), MaxElapsed: -1},
			{Match: is(errDeadlock), BackOff: Schedule(1, 2, 3, 4)},
			{Match: is(io.EOF), MaxRetries: -1},
			{Match: is(io.ErrUnexpectedEOF), MaxRetries: 9},
			{Match: is(io.ErrClosedPipe), BackOff: Constant(time.Minute)},
			{Match: func(err error) bool { return errors.Is(err, errQuota) || errors.Is(err, io.ErrNoProgress) }, MaxRetries: 100},
		},
	}
	long := now.Add(-2 * time.Hour)
	for _, tc := range []struct {
		name   string
		story  story.Story
		err    error
		reason string
		delay  time.Duration
		max    int
	}{
		{"unknown errors of a class are transient", story.Story{}, errQuota, "", time.Minute, 5},
		{"the first class that matches", story.Story{RetryCount: 4}, errQuota, "", time.Minute, 5},
		{"and its end", story.Story{RetryCount: 5}, errQuota, story.ReasonExhausted, 0, 0},
		{"an end by the clock that the class takes off", story.Story{FirstFailedAt: long}, errQuota, "", time.Minute, 5},
		{"one that it does not", story.Story{FirstFailedAt: long}, errDeadlock, story.ReasonElapsed, 0, 0},
		{"its own list says how many", story.Story{RetryCount: 3}, errDeadlock, "", 4, 4},
		{"and ends", story.Story{RetryCount: 4}, errDeadlock, story.ReasonExhausted, 0, 0},
		{"no retries for a class", story.Story{}, io.EOF, story.ReasonExhausted, 0, 0},
		{"more of them on the policy's schedule", story.Story{RetryCount: 8}, io.ErrUnexpectedEOF, "", time.Second, 9},
		{"an endless schedule takes the policy's count", story.Story{RetryCount: 1}, io.ErrClosedPipe, "", time.Minute, 2},
		{"which ends it", story.Story{RetryCount: 2}, io.ErrClosedPipe, story.ReasonExhausted, 0, 0},
		{"retries of another class count", story.Story{RetryCount: 3}, io.ErrClosedPipe, story.ReasonExhausted, 0, 0},
		{"an error of no class", story.Story{}, io.ErrShortWrite, story.ReasonUnexpected, 0, 0},
		{"transient, of no class", story.Story{}, temporary(true), "", time.Second, 2},
		{"a mark wins", story.Story{}, Permanent(errQuota), story.ReasonPermanent, 0, 0},
		{"a rule wins", story.Story{}, io.ErrNoProgress, story.ReasonMalformed, 0, 0},
		{"a panic wins", story.Story{}, panicError{errQuota}, story.ReasonUnexpected, 0, 0},
		{"a delay that is asked for", story.Story{}, After(errQuota, time.Second), "", time.Second, 5},
		{"malformed wins", story.Story{}, malformedError(true), story.ReasonMalformed, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decide(now, tc.story, tc.err, p.withDefaults(), exact)
			if d.reason != tc.reason || d.delay != tc.delay || d.story.RetryMax != tc.max {
				t.Errorf("reason %q, delay %v, of %d, want %q, %v, %d", d.reason, d.delay, d.story.RetryMax, tc.reason, tc.delay, tc.max)
			}
		})
	}
}

// A class is not asked about errors on which it has no say.
func TestClassesAreNotAskedInVain(t *testing.T) {
	p := Policy{Classes: []Class{{Match: func(err error) bool { t.Errorf("asked about %v", err); return true }}}}.withDefaults()
	for _, err := range []error{Permanent(io.EOF), malformedError(true), panicError{io.EOF}, errors.Join(outcome{io.EOF}, io.EOF)} {
		if v, _ := p.judge(err); v == VerdictTransient {
			t.Errorf("%v is transient", err)
		}
	}
}

func TestClassesTakeWhatTheyDoNotSay(t *testing.T) {
	common, own := &Budget{}, &Budget{}
	p := Policy{Immediate: 2, Budget: common, Jitter: FullJitter, Classes: []Class{
		{Match: is(errQuota)},
		{Match: is(errDeadlock), Immediate: 7, Budget: own, Jitter: NoJitter, MaxElapsed: time.Second},
		{Match: is(io.EOF), Immediate: -1},
	}}.withDefaults()
	for i, want := range []Policy{
		{Immediate: 2, Budget: common, Jitter: FullJitter},
		{Immediate: 7, Budget: own, Jitter: NoJitter, MaxElapsed: time.Second},
		{Immediate: 0, Budget: common, Jitter: FullJitter},
	} {
		got := p.classes[i]
		if got.Immediate != want.Immediate || got.Budget != want.Budget || got.Jitter != want.Jitter || got.MaxElapsed != want.MaxElapsed || got.MaxRetries != 3 {
			t.Errorf("class %d: %+v", i, got)
		}
	}
	if got := p.mostImmediate(); got != 7 {
		t.Errorf("most immediate retries: %d", got)
	}
	if got := p.budgets(); len(got) != 2 || got[0] != common || got[1] != own {
		t.Errorf("%d budgets", len(got))
	}
}

func TestValidate(t *testing.T) {
	always := func(error) bool { return true }
	for _, tc := range []struct {
		field  string
		policy Policy
	}{
		{"", Policy{}},
		{"", Policy{MaxRetries: -1, MaxElapsed: -1, Immediate: 100, Jitter: FullJitter, Budget: &Budget{Share: -1, MinPerSecond: -1, Window: time.Second},
			Classes: []Class{{Match: always, Immediate: -1, MaxRetries: -1, MaxElapsed: -1}}}},
		{"Jitter", Policy{Jitter: 4}},
		{"Immediate", Policy{Immediate: 101}},
		{"Immediate", Policy{Immediate: -1}},
		{"Unknown", Policy{Unknown: 4}},
		{"Rules[1]", Policy{Rules: []Rule{func(error) (Verdict, bool) { return 0, false }, nil}}},
		{"Budget.Share", Policy{Budget: &Budget{Share: 1001}}},
		{"Budget.Share", Policy{Budget: &Budget{Share: nan()}}},
		{"Budget.MinPerSecond", Policy{Budget: &Budget{MinPerSecond: nan()}}},
		{"Budget.Window", Policy{Budget: &Budget{Window: time.Millisecond}}},
		{"Budget.Window", Policy{Budget: &Budget{Window: -time.Minute}}},
		{"Classes[1].Match", Policy{Classes: []Class{{Match: always}, {}}}},
		{"Classes[0].Jitter", Policy{Classes: []Class{{Match: always, Jitter: 4}}}},
		{"Classes[0].Immediate", Policy{Classes: []Class{{Match: always, Immediate: 101}}}},
		{"Classes[0].Budget.Window", Policy{Classes: []Class{{Match: always, Budget: &Budget{Window: 1}}}}},
	} {
		err := tc.policy.Validate()
		var refused *ConfigError
		switch {
		case tc.field == "" && err != nil:
			t.Errorf("%+v: %v", tc.policy, err)
		case tc.field != "" && (!errors.As(err, &refused) || refused.Field != tc.field || refused.Problem == "" || refused.Fix == ""):
			t.Errorf("%s: %v", tc.field, err)
		}
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}
