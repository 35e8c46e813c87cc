package retry

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func exact(d time.Duration) time.Duration { return d }

func TestDecide(t *testing.T) {
	plain := errors.New("plain")
	minute := Policy{MaxRetries: 2, BackOff: Constant(time.Minute)}
	with := func(f func(*Policy)) Policy { p := minute; f(&p); return p }
	for _, tc := range []struct {
		name   string
		story  story.Story
		err    error
		policy Policy
		reason string        // of the burial, or
		delay  time.Duration // of the parking
	}{
		{"first failure", story.Story{}, io.EOF, minute, "", time.Minute},
		{"second", story.Story{RetryCount: 1}, io.EOF, minute, "", time.Minute},
		{"last", story.Story{RetryCount: 2}, io.EOF, minute, story.ReasonExhausted, 0},
		{"beyond the last, policy shortened", story.Story{RetryCount: 9, RetryMax: 10}, io.EOF, minute, story.ReasonExhausted, 0},
		{"schedule ends", story.Story{RetryCount: 1}, io.EOF, with(func(p *Policy) { p.BackOff = Schedule(1) }), story.ReasonExhausted, 0},
		{"no retries", story.Story{}, io.EOF, with(func(p *Policy) { p.MaxRetries = -1 }), story.ReasonExhausted, 0},
		{"malformed", story.Story{}, malformedError(true), minute, story.ReasonMalformed, 0},
		{"permanent", story.Story{}, Permanent(io.EOF), minute, story.ReasonPermanent, 0},
		{"unknown", story.Story{}, plain, minute, story.ReasonUnexpected, 0},
		{"unknown, tried again by option", story.Story{}, plain, with(func(p *Policy) { p.Unknown = VerdictTransient }), "", time.Minute},
		{"panic stays unexpected", story.Story{}, panicError{plain}, with(func(p *Policy) { p.Unknown = VerdictTransient }), story.ReasonUnexpected, 0},
		{"asked delay", story.Story{}, After(plain, time.Hour), minute, "", time.Hour},
		{"asked delay counts", story.Story{RetryCount: 2}, After(plain, time.Hour), minute, story.ReasonExhausted, 0},
		{"elapsed", story.Story{FirstFailedAt: now.Add(-time.Hour)}, io.EOF, with(func(p *Policy) { p.MaxElapsed = time.Hour }), story.ReasonElapsed, 0},
		{"elapsed, just not", story.Story{FirstFailedAt: now.Add(-time.Hour)}, io.EOF, with(func(p *Policy) { p.MaxElapsed = time.Hour + time.Minute }), "", time.Minute},
		{"first failure longer than allowed", story.Story{}, io.EOF, with(func(p *Policy) { p.MaxElapsed = time.Second }), story.ReasonElapsed, 0},
		{"expires before the next", story.Story{ExpiresAt: now.Add(59 * time.Second)}, io.EOF, minute, story.ReasonExpired, 0},
		{"expires after the next", story.Story{ExpiresAt: now.Add(time.Minute)}, io.EOF, minute, "", time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decide(now, tc.story, tc.err, tc.policy.withDefaults(), exact)
			if d.reason != tc.reason || d.delay != tc.delay || d.park() != (tc.reason == "") {
				t.Errorf("%+v, want reason %q, delay %v", d, tc.reason, tc.delay)
			}
		})
	}
}

func TestDecideRoundsBeforeItCompares(t *testing.T) {
	up := func(d time.Duration) time.Duration { return d + time.Second }
	s := story.Story{ExpiresAt: now.Add(time.Minute)}
	d := decide(now, s, io.EOF, Policy{BackOff: Constant(time.Minute)}.withDefaults(), up)
	if d.reason != story.ReasonExpired {
		t.Errorf("%+v: the ladder's delay passes the expiry", d)
	}
}

func TestParkedStory(t *testing.T) {
	p := Policy{MaxRetries: 5, Redact: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }}.withDefaults()
	before := story.Story{RetryCount: 1, OriginQueue: "orders", OriginKey: "k", ExpiresAt: now.Add(time.Hour)}
	d := decide(now, before, Transient(errors.New("the secret")), p, exact)
	want := before
	want.RetryCount, want.RetryMax, want.FirstFailedAt, want.LastError, want.ErrorClass = 2, 5, now, "the ***", "error"
	if got := d.story; got.RetryCount != want.RetryCount || got.RetryMax != want.RetryMax || got.LastError != want.LastError ||
		got.ErrorClass != want.ErrorClass || !got.FirstFailedAt.Equal(now) || got.OriginKey != "k" || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("%+v, want %+v", got, want)
	}
	later := decide(now.Add(time.Minute), d.story, io.EOF, p, exact)
	if !later.story.FirstFailedAt.Equal(now) {
		t.Errorf("first-failed-at moved to %v", later.story.FirstFailedAt)
	}
}

// A message that fails for ever is buried after MaxRetries+1 attempts at the
// latest, its count goes up by one each time, no copy goes past its expiry or the
// elapsed time, and each failure is either parked or buried.
func TestRetriesAreBounded(t *testing.T) {
	errs := []error{io.EOF, Transient(io.EOF), After(io.EOF, time.Hour), Permanent(io.EOF), malformedError(true), errors.New("x")}
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{
			MaxRetries: rapid.IntRange(-1, 20).Draw(t, "retries"),
			MaxElapsed: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "elapsed")),
			BackOff:    Exponential(time.Second, time.Hour),
			Unknown:    Verdict(rapid.IntRange(0, 3).Draw(t, "unknown")),
		}.withDefaults()
		s := story.Story{RetryCount: rapid.IntRange(0, 30).Draw(t, "count")}
		if rapid.Bool().Draw(t, "expires") {
			s.ExpiresAt = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "life")))
		}
		clock, start := now, s.RetryCount
		for attempt := 1; ; attempt++ {
			d := decide(clock, s, rapid.SampledFrom(errs).Draw(t, "err"), p, exact)
			if !d.park() {
				return
			}
			if attempt > p.MaxRetries || d.story.RetryCount != start+attempt || d.story.RetryCount > p.MaxRetries {
				t.Fatalf("attempt %d of %d, count %d from %d", attempt, p.MaxRetries, d.story.RetryCount, start)
			}
			if d.verdict != VerdictTransient {
				t.Fatalf("parked though %v", d.verdict)
			}
			clock = clock.Add(d.delay)
			if !s.ExpiresAt.IsZero() && clock.After(s.ExpiresAt) {
				t.Fatal("parked past its expiry")
			}
			if p.MaxElapsed > 0 && clock.Sub(now) > p.MaxElapsed {
				t.Fatal("parked past MaxElapsed")
			}
			s = d.story
		}
	})
}

func TestDeadError(t *testing.T) {
	err := &DeadError{Reason: story.ReasonExhausted, Attempt: 4, Of: 4, Err: io.EOF}
	if !errors.Is(err, io.EOF) || err.DeadReason() != story.ReasonExhausted {
		t.Error(err)
	}
	if got := err.Error(); got != "attempt 4 of 4 failed, no further one (exhausted): EOF" {
		t.Error(got)
	}
	if story.Class(err) != "error" {
		t.Errorf("class %q", story.Class(err))
	}
}
