package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/retry"
)

func TestParse(t *testing.T) {
	t.Setenv("AMQP_URL", "")
	for _, c := range []struct {
		name string
		args []string
		want string // in the error; "" is none
	}{
		{"no broker: one of its own", nil, ""},
		{"url", []string{"-url", "amqp://h/"}, ""},
		{"no users", []string{"-url", "amqp://h/", "-users", "0"}, "-users"},
		{"no time", []string{"-url", "amqp://h/", "-timeout", "0s"}, "-timeout"},
		{"argument", []string{"-url", "amqp://h/", "more"}, `"more"`},
		{"unknown flag", []string{"-x"}, "-x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.args, io.Discard)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that holds %q", err, c.want)
			}
		})
	}
	t.Setenv("AMQP_URL", "amqp://h/")
	cfg, err := parse(nil, io.Discard)
	if err != nil || cfg.url != "amqp://h/" || cfg.users != 3 || cfg.seed != defaultSeed {
		t.Errorf("defaults are %+v, %v", cfg, err)
	}
}

func TestBrokerOfItsOwn(t *testing.T) {
	cfg, err := parse([]string{"-url", "", "-timeout", "30s"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), cfg, &out, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if want := "TOTAL published=14 handled=13 buried=1 missing=0 duplicates=0\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("it says\n%s\nwant %s in the end", &out, want)
	}
}

// attempts is how many attempts analytics takes for an event; 0 is never, in four.
func attempts(seed uint64, event string) int {
	for n := 1; n <= 4; n++ {
		if !fails(seed, event, 0, n) {
			return n
		}
	}
	return 0
}

func TestDefaultSeed(t *testing.T) {
	var got []int
	for _, v := range viewings(3) {
		got = append(got, attempts(defaultSeed, "video.watch_started "+v.userID))
	}
	if slices.Max(got) != 3 || slices.Contains(got, 0) {
		t.Errorf("attempts are %v; want one event that fails twice, and all to succeed", got)
	}
}

func TestFailureRate(t *testing.T) {
	const n = 20_000
	failed := 0
	for _, v := range viewings(n) {
		if fails(defaultSeed, v.userID, 0, 1) {
			failed++
		}
	}
	if rate := float64(failed) / n; rate < failureRate-0.02 || rate > failureRate+0.02 {
		t.Errorf("fails %.3f of the time, want about %.1f", rate, failureRate)
	}
}

func TestAnalytics(t *testing.T) {
	quiet := &stage{quiet: true, out: io.Discard}
	s := &analyticsService{seed: defaultSeed, stage: quiet}
	event := func(body string, attempt int) bus.Received {
		return bus.Received{Type: "video.watch_started", Payload: []byte(body), Attempt: attempt}
	}
	ctx := context.Background()
	if err := s.handleVideoEvent(ctx, event(`{"user_id":"user123","percent":140}`, 3)); retry.Classify(err) != retry.VerdictUnexpected {
		t.Errorf("the bug is %v, want it unexpected", err)
	}
	if err := s.handleVideoEvent(ctx, event(`{"user_id":1}`, 3)); retry.Classify(err) != retry.VerdictMalformed {
		t.Errorf("a wrong payload is %v, want it malformed", err)
	}
	s.fixed.Store(true)
	var got []bool
	for n := 1; n <= 3; n++ {
		err := s.handleVideoEvent(ctx, event(`{"user_id":"user123","percent":140}`, n))
		if err != nil && retry.Classify(err) != retry.VerdictTransient {
			t.Fatalf("attempt %d: %v, want it transient", n, err)
		}
		got = append(got, err == nil)
	}
	if want := []bool{false, false, true}; !slices.Equal(got, want) {
		t.Errorf("attempts succeed as %v, want %v", got, want)
	}
}

func TestViewings(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range viewings(500) {
		if seen[v.userID] {
			t.Fatalf("user %s watches twice: message-ids would be the same", v.userID)
		}
		seen[v.userID] = true
	}
	if len(seen) != 500 || len(viewings(1)) != 1 {
		t.Errorf("%d of 500 and %d of 1 viewings", len(seen), len(viewings(1)))
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"video.*", "video.watch_started", true},
		{"video.*", "video.a.b", false},
		{"video.*", "video", false},
		{"video.watch_started", "video.watch_started", true},
		{"video.watch_started", "video.watch_ended", false},
	} {
		if got := matches(c.pattern, c.key); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.key, got)
		}
	}
}

func TestUntilSure(t *testing.T) {
	ctx := context.Background()
	calls := 0
	err := untilSure(ctx, func() error {
		if calls++; calls < 3 {
			return &confirm.UnknownError{Err: io.EOF}
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v; an unknown outcome is to be repeated until it is known", calls, err)
	}
	var returned *confirm.ReturnedError
	if err := untilSure(ctx, func() error { return &confirm.ReturnedError{} }); !errors.As(err, &returned) {
		t.Errorf("%v, want the first *confirm.ReturnedError", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := untilSure(ended, func() error { return &confirm.UnknownError{Err: io.EOF} }); err == nil {
		t.Error("nil after ctx has ended, want the last outcome")
	}
}

// TestLedger goes through a run: what is open keeps it from being done.
func TestLedger(t *testing.T) {
	l := newLedger()
	l.subscribe("video.*", "a")
	l.subscribe("video.x", "b")
	expect := func(step string, quiet, done bool) {
		t.Helper()
		if l.quiet() != quiet || l.done() != done {
			t.Fatalf("%s: quiet %v, done %v; want %v, %v", step, l.quiet(), l.done(), quiet, done)
		}
	}
	l.handled("a", "1") // the handler may be faster than the confirm
	expect("handled before published", true, true)
	l.published("video.x", "1")
	expect("b has it, too", false, false)
	l.buried("b", "1")
	expect("burial begun", true, false)
	l.looked("b", []string{"1"})
	expect("letter seen", true, true)
	l.replaying("b", "1")
	expect("replay begun", false, false)
	l.handled("b", "1")
	l.looked("b", nil)
	expect("replayed", true, true)
	l.handled("a", "1")
	l.published("video.y", "2")
	expect("another one", false, false)

	a, b := l.totals()[0], l.totals()[1]
	if a.published != 2 || a.handled != 1 || len(a.missing) != 1 || a.duplicates != 1 {
		t.Errorf("a: %+v", a)
	}
	if b.published != 1 || b.handled != 1 || b.buried != 0 || b.duplicates != 0 {
		t.Errorf("b: %+v", b)
	}
}

// TestBooksBalance: whatever happens in whatever order, published is handled plus
// buried plus missing, and done means that nothing is missing.
func TestBooksBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		l.subscribe("k", "g")
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "id")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				l.published("k", id)
			case 1:
				l.handled("g", id)
			case 2:
				l.buried("g", id)
			case 3:
				l.replaying("g", id)
			case 4:
				l.looked("g", rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 4).Draw(t, "letters"))
			}
		}
		got := l.totals()[0]
		if got.published != got.handled+got.buried+len(got.missing) {
			t.Fatalf("the books do not balance: %+v", got)
		}
		if l.done() && len(got.missing) > 0 {
			t.Fatalf("done, with events missing: %+v", got)
		}
		if got.duplicates < 0 {
			t.Fatalf("duplicates: %+v", got)
		}
	})
}

func TestShowTotals(t *testing.T) {
	var out bytes.Buffer
	missing := showTotals(&out, "run.", []total{
		{group: "a", published: 3, handled: 2, buried: 1, duplicates: 2, retries: 4},
		{group: "b", published: 2, handled: 1, missing: []string{"run.watch.x"}},
	})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := "TOTAL published=5 handled=3 buried=1 missing=1 duplicates=2"; lines[len(lines)-1] != want {
		t.Errorf("last line %q, want %q", lines[len(lines)-1], want)
	}
	if missing != 1 || !strings.Contains(out.String(), "missing: watch.x at b") {
		t.Errorf("%d missing in\n%s", missing, out.String())
	}
}
