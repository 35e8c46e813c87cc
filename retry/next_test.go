package retry

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hareline/hareline/story"
)

// Next says what the middleware would do, without a ladder.
func TestNext(t *testing.T) {
	p := Policy{MaxRetries: 2, BackOff: Constant(time.Second), Classes: []Class{{Match: is(errQuota), MaxRetries: 4, BackOff: Constant(77 * time.Millisecond)}},
		Budget: &Budget{Share: 1, MinPerSecond: 0.3}}
	for _, tc := range []struct {
		name   string
		story  story.Story
		err    error
		delay  time.Duration
		reason string
		of     int
	}{
		{"first, which earns one", story.Story{}, io.EOF, time.Second, "", 0},
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
