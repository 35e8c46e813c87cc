package consumer

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSight(t *testing.T) {
	counted, both := presence{counted: true}, presence{counted: true, listed: true}
	for name, tt := range map[string]struct {
		p    presence
		l    look
		want sight
	}{
		"nothing asked":                      {counted, look{}, unclear},
		"delivered to":                       {counted, look{delivered: true, asked: true, gone: true}, known},
		"somebody":                           {presence{}, look{asked: true, consumers: 1}, known},
		"nobody":                             {counted, look{asked: true}, missing},
		"nobody, and nothing there":          {counted, look{asked: true, empty: true}, unclear},
		"not listed, and nothing there":      {both, look{asked: true, empty: true, lists: true}, missing},
		"list fails, nothing there":          {both, look{asked: true, empty: true, lists: true, listErr: errors.New("503")}, unclear},
		"nobody, where nobody ever counted":  {presence{}, look{asked: true}, unclear},
		"no answer":                          {counted, look{asked: true, err: errors.New("late")}, unclear},
		"no queue":                           {presence{}, look{asked: true, err: errors.New("404"), gone: true}, missing},
		"listed":                             {both, look{asked: true, consumers: 1, lists: true, listed: true}, known},
		"listed, no answer of the queue":     {both, look{asked: true, err: errors.New("late"), lists: true, listed: true}, known},
		"listed, but nobody":                 {both, look{asked: true, lists: true, listed: true}, unclear},
		"listed, where nobody ever counted":  {presence{listed: true}, look{asked: true, lists: true, listed: true}, known},
		"not listed, beside others":          {both, look{asked: true, consumers: 2, lists: true}, missing},
		"not listed, and never before":       {counted, look{asked: true, consumers: 2, lists: true}, unclear},
		"not listed, too young":              {both, look{asked: true, consumers: 2, lists: true, young: true}, unclear},
		"not listed, too young, and nobody":  {both, look{asked: true, lists: true, young: true}, missing},
		"list fails, somebody":               {both, look{asked: true, consumers: 2, lists: true, listErr: errors.New("503")}, unclear},
		"list fails, nobody":                 {both, look{asked: true, lists: true, listErr: errors.New("503")}, missing},
		"not listed, no answer of the queue": {both, look{asked: true, err: errors.New("late"), lists: true}, missing},
	} {
		if got := tt.p.sight(tt.l); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// Whatever looks tell, a session is replaced only after looks in a row that miss it,
// twice as many after each replacement that did not help.
func TestReplacedOnlyAfterLooksInARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := presence{counted: true, listed: true}
		row, need := 0, missingLooks
		flag := rapid.Bool()
		for range rapid.IntRange(1, 300).Draw(t, "looks") {
			l := look{delivered: rapid.IntRange(0, 20).Draw(t, "delivered") == 0, asked: flag.Draw(t, "asked"), lists: flag.Draw(t, "lists"), listed: false}
			l.consumers = rapid.IntRange(0, 1).Draw(t, "consumers")
			if rapid.IntRange(0, 10).Draw(t, "mostly missing") > 0 {
				l = look{asked: true}
			}
			s, replace := p.note(l)
			switch s {
			case missing:
				row++
			case known:
				row, need = 0, missingLooks
			default:
				row = 0
			}
			if replace != (row >= need) {
				t.Fatalf("replaced: %v after %d looks in a row, of %d", replace, row, need)
			}
			if replace {
				row, need = 0, min(2*need, missingLooks<<maxReplaced)
			}
		}
	})
}

// A finding takes as many looks as it says, each of them with more kept or with all
// that the prefetch allows, nothing settled between them, and at least half of the
// prefetch at the end.
func TestGrowth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := WatchdogConfig{Looks: rapid.IntRange(1, 4).Draw(t, "looks"), StuckAfter: time.Minute}
		var g growth
		now := time.Unix(0, 0)
		g.since = now
		rows := []census{{}}
		for range rapid.IntRange(1, 40).Draw(t, "censuses") {
			now = now.Add(time.Second)
			before := rows[len(rows)-1]
			c := census{UnsettledCounts: UnsettledCounts{Prefetch: 10}, settled: before.settled}
			c.Pending = min(10, before.kept()+rapid.SampledFrom([]int{1, 1, 1, 2, 3, 0, -1}).Draw(t, "more"))
			c.Pending = max(0, c.Pending)
			c.Running = rapid.IntRange(0, 10-c.Pending).Draw(t, "running")
			if rapid.IntRange(0, 9).Draw(t, "what") == 0 {
				c.settled++
			}
			c.idle = rapid.IntRange(0, 9).Draw(t, "idle") == 0
			rows = append(rows, c)
			g.note(c, now)
			want := len(rows) > cfg.Looks && 2*c.kept() >= 10
			for i := len(rows) - cfg.Looks; want && i < len(rows); i++ {
				a, b := rows[i-1], rows[i]
				want = !b.idle && b.kept() > 0 && b.settled == a.settled && (b.kept() > a.kept() || b.kept() == a.kept() && b.kept()+b.Running >= 10)
			}
			if got := g.found(cfg, now, false); got != want {
				t.Fatalf("found: %v, want %v, after %+v", got, want, rows)
			}
			if g.found(cfg, now, true) && now.Sub(time.Unix(0, 0)) < cfg.StuckAfter {
				t.Fatal("found before handlers had their time")
			}
		}
	})
}

func TestStacks(t *testing.T) {
	ids := make(chan uint64)
	release := make(chan struct{})
	for range 2 {
		go func() { ids <- goroutineID(); <-release }()
	}
	a, b := <-ids, <-ids
	all := stacks(a, b, 1<<60)
	if len(all) != 2 || all[a] == "" || all[b] == "" || all[a] == all[b] {
		t.Errorf("stacks: %v", all)
	}
	close(release)
	for _, text := range []string{"", "goroutine", "goroutine ", "goroutine x [running]:", "main.go:3"} {
		if id := goroutineOf([]byte(text)); id != 0 {
			t.Errorf("%q: %d", text, id)
		}
	}
	if id := goroutineOf([]byte("goroutine 17 gp=0xc000 m=3 [chan receive, 5 minutes]:\nmain.main()")); id != 17 {
		t.Errorf("goroutine %d", id)
	}
}
