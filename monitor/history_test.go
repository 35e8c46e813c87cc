package monitor

import (
	"errors"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/management"
)

// Rates and growth: from the counters of two rounds, else unknown.
func TestHistory(t *testing.T) {
	h := history{}
	round := func(after time.Duration, published, acked, messages float64) QueueReport {
		count := func(n float64) management.Count { return management.Count{Known: true, N: n} }
		q := management.Queue{Messages: count(messages), Stats: management.Stats{Publish: count(published), Ack: count(acked)}}
		r := QueueReport{Queue: "q", Messages: number(q.Messages)}
		h.fill(&r, answer{found: true, queue: q}, true, start.Add(after))
		return r
	}
	want := func(what string, r QueueReport, publish, consume, growth Number) {
		t.Helper()
		if r.PublishRate != publish || r.ConsumeRate != consume || r.Growth != growth {
			t.Errorf("%s: %v, %v, %v; want %v, %v, %v", what, r.PublishRate, r.ConsumeRate, r.Growth, publish, consume, growth)
		}
	}
	none := Number{}
	want("first", round(0, 100, 50, 50), none, none, none)
	want("too soon", round(5*time.Second, 110, 50, 60), none, none, none)
	want("a minute", round(60*time.Second, 700, 110, 640), known(10), known(1), known(590))
	want("soon after: since the one before", round(65*time.Second, 750, 115, 635), known(10), known(1), known(585))
	broken, missing, empty := QueueReport{Queue: "q"}, QueueReport{Queue: "q"}, QueueReport{Queue: "q"}
	h.fill(&broken, answer{err: errors.New("x")}, true, start.Add(2*time.Minute))
	want("not read", broken, none, none, none)
	h.fill(&empty, answer{found: true}, true, start.Add(2*time.Minute))
	want("no numbers", empty, none, none, none)
	want("after three minutes", round(4*time.Minute, 700+180, 110, 640), known(1), known(0), known(0))
	want("set back", round(5*time.Minute, 10, 0, 640), none, none, none)
	want("and on", round(6*time.Minute, 70, 60, 580), known(1), known(1), known(-60))
	h.fill(&missing, answer{}, true, start.Add(7*time.Minute))
	want("another queue of that name", round(8*time.Minute, 1000, 0, 5), none, none, none)
}
