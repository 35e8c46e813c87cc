package amqptest

import (
	"slices"
	"sync/atomic"
)

// stallGate keeps a connection's reader from reading. It is set and opened
// under Broker.mu, and looked at by the reader without it.
type stallGate struct {
	closed atomic.Pointer[chan struct{}]
}

// wait is closed when the reader may go on; nil: it may.
func (g *stallGate) wait() <-chan struct{} {
	if c := g.closed.Load(); c != nil {
		return *c
	}
	return nil
}

// stall has the connection's reader wait. What the reader has in hand, it does.
func (n *Injected) stall(c *conn) {
	if c == nil || c.stall.wait() != nil {
		return
	}
	gate := make(chan struct{})
	c.stall.closed.Store(&gate)
	c.wakeReader()
	n.stalled = append(slices.DeleteFunc(n.stalled, func(c *conn) bool { return c.gone }), c)
	if n.fault.Delay > 0 {
		n.broker.clock.after(n.fault.Delay, func() { n.resume(c) })
	}
}

// resume has it go on, if it is this fault that stalls it.
func (n *Injected) resume(c *conn) {
	i := slices.Index(n.stalled, c)
	if i < 0 {
		return
	}
	n.stalled = slices.Delete(n.stalled, i, i+1)
	close(*c.stall.closed.Swap(nil))
}
