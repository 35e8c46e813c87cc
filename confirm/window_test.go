package confirm

import (
	"testing"

	"pgregory.net/rapid"
)

// The window never holds more than it may, but for one message too large for
// it, loses no waiter, and serves them in order.
func TestWindowProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{maxCount: rapid.IntRange(1, 5).Draw(t, "count"), maxBytes: rapid.IntRange(1, 20).Draw(t, "bytes")}
		var inside []int // sizes
		var waiting []*waiter
		admit := func() {
			for len(waiting) > 0 && isClosed(waiting[0].granted) {
				inside = append(inside, waiting[0].size)
				waiting = waiting[1:]
			}
			for _, wt := range waiting {
				if isClosed(wt.granted) {
					t.Fatal("a waiter was served before one that came earlier")
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				size := rapid.IntRange(0, 25).Draw(t, "size")
				if wt := w.take(size); wt != nil {
					waiting = append(waiting, wt)
				} else {
					inside = append(inside, size)
				}
			},
			"release": func(t *rapid.T) {
				if len(inside) == 0 {
					return // nothing to release
				}
				i := rapid.IntRange(0, len(inside)-1).Draw(t, "which")
				size := inside[i]
				inside = append(inside[:i:i], inside[i+1:]...)
				w.release(size)
			},
			"leave": func(t *rapid.T) {
				if len(waiting) == 0 {
					return // nobody to leave
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
				if !w.leave(waiting[i]) {
					t.Fatal("a waiter that was not served could not leave")
				}
				waiting = append(waiting[:i:i], waiting[i+1:]...)
			},
			"": func(t *rapid.T) {
				admit()
				bytes := 0
				for _, size := range inside {
					bytes += size
				}
				if w.count != len(inside) || w.bytes != bytes {
					t.Fatalf("counts %d/%d, want %d/%d", w.count, w.bytes, len(inside), bytes)
				}
				if len(inside) > 1 && (w.count > w.maxCount || w.bytes > w.maxBytes) {
					t.Fatalf("over the limit: %d/%d of %d/%d", w.count, w.bytes, w.maxCount, w.maxBytes)
				}
				if len(waiting) > 0 && w.fits(waiting[0].size) {
					t.Fatal("a waiter that fits waits")
				}
			},
		})
	})
}

func TestWindowCloseEndsEveryWait(t *testing.T) {
	w := window{maxCount: 1, maxBytes: 10}
	if w.take(1) != nil {
		t.Fatal("an empty window made the first message wait")
	}
	a, b := w.take(1), w.take(1)
	w.close()
	for _, wt := range []*waiter{a, b} {
		if !isClosed(wt.granted) || !wt.closed {
			t.Fatal("a waiter was left behind")
		}
	}
}
