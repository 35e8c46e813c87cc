package retry

import (
	"io"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
)

// takes counts how many of n retries the budget allows.
func takes(b *Budget, at time.Time, n int) int {
	taken := 0
	for range n {
		if ok, _ := b.take(at); ok {
			taken++
		}
	}
	return taken
}

func earns(b *Budget, at time.Time, n int) {
	for range n {
		b.earn(at)
	}
}

func TestBudget(t *testing.T) {
	for _, tc := range []struct {
		name   string
		budget *Budget
		firsts int
		want   int
	}{
		{"none", nil, 0, 5000},
		{"the default, at rest", &Budget{}, 0, 100},
		{"the default, at work", &Budget{}, 1000, 100 + 200},
		{"a share alone", &Budget{Share: 0.1, MinPerSecond: -1}, 1000, 100},
		{"a share alone, at rest", &Budget{Share: 0.1, MinPerSecond: -1}, 0, 0},
		{"a tenth of thirty is three", &Budget{Share: 0.1, MinPerSecond: -1}, 30, 3},
		{"29 % of a hundred is 29", &Budget{Share: 0.29, MinPerSecond: -1}, 100, 29},
		{"a tenth of three is none", &Budget{Share: 0.1, MinPerSecond: -1}, 3, 0},
		{"a floor alone", &Budget{Share: -1, MinPerSecond: 0.5, Window: time.Minute}, 1000, 30},
		{"more retries than first attempts", &Budget{Share: 3, MinPerSecond: -1}, 100, 300},
		{"nothing", &Budget{Share: -1, MinPerSecond: -1}, 1000, 0},
	} {
		if tc.budget != nil {
			earns(tc.budget, now, tc.firsts)
		}
		if got := takes(tc.budget, now, 5000); got != tc.want {
			t.Errorf("%s: %d retries, want %d", tc.name, got, tc.want)
		}
	}
}

// Next is not asked to validate, and must not break what it runs in.
func TestBudgetThatIsRefused(t *testing.T) {
	p := Policy{Budget: &Budget{Window: 1}}
	if p.Validate() == nil {
		t.Error("it is not refused")
	}
	if _, _, err := p.Next(now, story.Story{}, io.EOF); err != nil {
		t.Error(err)
	}
	if _, d, err := p.Next(now, story.Story{}, After(io.EOF, -time.Hour)); err != nil || d != 0 {
		t.Errorf("%v, %v", d, err)
	}
}

// What is older than the window counts no more, on either side.
func TestBudgetForgets(t *testing.T) {
	b := &Budget{Share: 0.1, MinPerSecond: -1}
	earns(b, now, 100)
	if got := takes(b, now.Add(5*time.Second), 100); got != 10 {
		t.Errorf("at first %d retries, want 10", got)
	}
	earns(b, now.Add(8*time.Second), 100)
	if got := takes(b, now.Add(9*time.Second), 100); got != 10 {
		t.Errorf("after more work %d retries, want 10", got)
	}
	if got := takes(b, now.Add(11*time.Second), 100); got != 0 {
		t.Errorf("when the first hundred are forgotten: %d retries, want none", got)
	}
	if got := takes(b, now.Add(16*time.Second), 100); got != 0 {
		t.Errorf("10 of 100 are spent, but %d more were allowed", got)
	}
	if got := takes(b, now.Add(time.Hour), 100); got != 0 {
		t.Errorf("without work: %d retries", got)
	}
	earns(b, now.Add(time.Hour), 50)
	if got := takes(b, now.Add(59*time.Minute), 100); got != 5 {
		t.Errorf("by a clock that stands behind: %d retries, want 5", got)
	}
}

// tell is for a line in the log: one per window, however many retries are refused.
func TestBudgetTellsOncePerWindow(t *testing.T) {
	b := &Budget{Share: -1, MinPerSecond: -1}
	told := 0
	for i := range 2500 {
		ok, tell := b.take(now.Add(time.Duration(i) * 10 * time.Millisecond))
		if ok {
			t.Fatal("nothing is allowed")
		}
		if tell {
			told++
		}
	}
	if told != 3 {
		t.Errorf("told %d times in 25 s, want 3", told)
	}
	if ok, tell := (*Budget)(nil).take(now); !ok || tell {
		t.Error("no budget")
	}
}

// Whatever happens when: in no window are there more retries than its first
// attempts and the floor allow, and none is refused that a whole window allows.
func TestBudgetBoundsEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 10 * time.Second
		b := &Budget{Share: rapid.Float64Range(0.01, 2).Draw(t, "share"), MinPerSecond: rapid.Float64Range(0.1, 3).Draw(t, "min")}
		var firsts, retries []time.Duration
		in := func(all []time.Duration, from time.Duration) int {
			n := 0
			for _, at := range all {
				if at > from {
					n++
				}
			}
			return n
		}
		at := time.Duration(0)
		for range rapid.IntRange(1, 150).Draw(t, "events") {
			at += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "pause"))
			if rapid.Bool().Draw(t, "first") {
				b.earn(now.Add(at))
				firsts = append(firsts, at)
				continue
			}
			allowed := func(span time.Duration) float64 {
				return b.Share*float64(in(firsts, at-span)) + b.MinPerSecond*window.Seconds()
			}
			ok, _ := b.take(now.Add(at))
			if short := window * 9 / 10; ok { // a slot is a tenth of it: a window is 9 to 10 of them
				retries = append(retries, at)
				if n := in(retries, at-short); float64(n) > allowed(window)+1e-6 {
					t.Fatalf("at %v: %d retries in %v, allowed %v", at, n, short, allowed(window))
				}
			} else if n := in(retries, at-window); float64(n+1) <= allowed(short)-1e-6 {
				t.Fatalf("at %v: refused after %d retries in %v, allowed %v", at, n, window, allowed(short))
			}
		}
	})
}

func TestBudgetIsShared(t *testing.T) {
	b := &Budget{Share: 0.5, MinPerSecond: -1}
	var all sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		all.Go(func() {
			earns(b, now, 100)
			n := takes(b, now, 100)
			mu.Lock()
			defer mu.Unlock()
			taken += n
		})
	}
	all.Wait()
	if taken += takes(b, now, 1000); taken != 400 {
		t.Errorf("%d retries, want 400", taken)
	}
}
