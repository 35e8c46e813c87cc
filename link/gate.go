package link

import (
	"sync"
	"time"
)

// gate is the blocked state of one connection.
type gate struct {
	mu    sync.Mutex
	open  chan struct{} // closed while not blocked
	since time.Time     // when blocked
	total time.Duration // blocked before since
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(blocked bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case blocked && g.since.IsZero():
		g.open = make(chan struct{})
		g.since = now
	case !blocked && !g.since.IsZero():
		g.total += now.Sub(g.since)
		g.since = time.Time{}
		close(g.open)
	}
}

func (g *gate) unblocked() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *gate) blockedFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		return g.total
	}
	return g.total + now.Sub(g.since)
}
