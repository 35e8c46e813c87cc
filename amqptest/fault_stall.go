package amqptest

import (
	"maps"
	"sync/atomic"
)

// stallGate keeps a connection's reader from reading. It is set and opened
// under Broker.mu, and looked at by the reader without it.
type stallGate struct {
	closed atomic.Pointer[chan struct{}]
	faults int // that keep it closed
}

// wait is closed when the reader may go on; nil: it may.
func (g *stallGate) wait() <-chan struct{} {
	if c := g.closed.Load(); c != nil {
		return *c
	}
	return nil
}

func (g *stallGate) close() {
	g.faults++
	if g.faults == 1 {
		c := make(chan struct{})
		g.closed.Store(&c)
	}
}

func (g *stallGate) open() {
	g.faults--
	if g.faults == 0 {
		close(*g.closed.Swap(nil))
	}
}

// stall has the connection's reader wait. What the reader has in hand, it does.
// A connection that the fault stalls already is stalled for longer.
func (n *Injected) stall(c *conn) {
	if c == nil || c.gone {
		return
	}
	end, already := n.stalled[c]
	end.stop()
	if !already {
		maps.DeleteFunc(n.stalled, func(c *conn, _ *timer) bool { return c.gone })
		c.stall.close()
		c.wakeReader()
	}
	end = nil
	if n.fault.Delay > 0 {
		end = n.broker.clock.after(n.fault.Delay, func() { n.resume(c) })
	}
	if n.stalled == nil {
		n.stalled = make(map[*conn]*timer)
	}
	n.stalled[c] = end
}

// resume has it go on, unless another fault stalls it too.
func (n *Injected) resume(c *conn) {
	end, stalled := n.stalled[c]
	if !stalled {
		return
	}
	end.stop()
	delete(n.stalled, c)
	c.stall.open()
}
