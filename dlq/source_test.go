package dlq

import "testing"

// What a channel holds is bounded by the size of the letters, and by the number of
// channels that a connection may have.
func TestPrefetch(t *testing.T) {
	for name, tc := range map[string]struct {
		set, total, got, sources int
		bytes                    int64
		want                     int
	}{
		"nothing known":       {total: 1000, want: minPrefetch},
		"the user's word":     {set: 7, total: 1_000_000, got: 10, bytes: 1 << 30, want: 7},
		"small letters":       {total: 1_000_000, got: 100, bytes: 100 << 8, want: memory / (overhead + 1<<8)},
		"large letters":       {total: 1000, got: 100, bytes: 100 << 20, want: minPrefetch},
		"many, nothing known": {total: 1_500_000, want: 1000},
		"many large letters":  {total: 1_500_000, got: 300_000, sources: 300, bytes: 300_000 << 20, want: 1000},
		"no channels left":    {total: 1_000_000, got: 1000, sources: maxSources, bytes: 1000 << 20, want: maxPrefetch},
	} {
		s := &scan{q: &Queue{cfg: QueueConfig{Prefetch: tc.set}}, got: tc.got, bytes: tc.bytes, sources: make([]*source, tc.sources)}
		s.report.Total = tc.total
		if got := s.prefetch(); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
