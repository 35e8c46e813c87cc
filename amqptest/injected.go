package amqptest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
)

// faults are a broker's injected faults.
type faults struct {
	on   bool // there is at least one
	list []*Injected
}

// Injected is a fault that a broker has. Its methods may be called
// concurrently.
type Injected struct {
	broker *Broker
	fault  Fault
	// class and method are those of fault.On, unless that is no method.
	class, method uint16

	// Under Broker.mu:
	seen, hits int
	removed    bool
	held       []func()         // send confirms that are kept back
	stalled    map[*conn]*timer // that this fault stalls, and until when; nil: until it is removed
	changed    chan struct{}    // closed at the next hit; nil: nobody waits
}

// Inject has f happen from now on, until it happened Times times or is
// removed. The error names the field that is wrong, and the fix. Faults are
// looked for in the order in which they were injected; one that keeps a method
// from being done hides it from those after it.
func (b *Broker) Inject(f Fault) (*Injected, error) {
	f = f.withDefaults()
	if err := f.validate(); err != nil {
		return nil, err
	}
	n := &Injected{broker: b, fault: f}
	n.class, n.method, _ = clientMethod(f.On)
	b.lock()
	defer b.unlock()
	if b.closed {
		return nil, errClosed
	}
	b.faults.list = append(b.faults.list, n)
	b.faults.on = true
	if f.On == Now {
		n.seen++
		n.hit(faultPoint{})
		b.later(n.doNow)
	}
	return n, nil
}

// Faults are the faults that were injected and not removed, also those that
// will not happen again.
func (b *Broker) Faults() []*Injected {
	b.lock()
	defer b.unlock()
	return slices.Clone(b.faults.list)
}

// Fault is what was injected, with its defaults filled in.
func (n *Injected) Fault() Fault { return n.fault }

// Hits is how often the fault happened.
func (n *Injected) Hits() int {
	n.broker.lock()
	defer n.broker.unlock()
	return n.hits
}

// Seen is how often the fault's point was passed: what Nth and Every count.
func (n *Injected) Seen() int {
	n.broker.lock()
	defer n.broker.unlock()
	return n.seen
}

// Wait blocks until the fault happened at least hits times. It fails when ctx
// ends, or the fault or the broker is gone before.
func (n *Injected) Wait(ctx context.Context, hits int) error {
	for {
		n.broker.lock()
		done, gone := n.hits >= hits, n.removed
		if n.changed == nil {
			n.changed = make(chan struct{})
		}
		changed := n.changed
		n.broker.unlock()
		switch {
		case done:
			return nil
		case gone:
			return fmt.Errorf("amqptest: the fault %q was removed", n.fault.Name)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Remove takes the fault back: confirms that it holds are sent, connections
// that it stalls go on. An alarm that it raised stays. It may be called again.
func (n *Injected) Remove() {
	b := n.broker
	b.lock()
	defer b.unlock()
	n.remove()
	b.faults.list = slices.DeleteFunc(b.faults.list, func(other *Injected) bool { return other == n })
	b.faults.on = len(b.faults.list) > 0
}

func (n *Injected) remove() {
	if n.removed {
		return
	}
	n.removed = true
	n.release(false)
	for c := range n.stalled {
		n.resume(c)
	}
	n.tell()
}

func (n *Injected) tell() {
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// close ends all waits for faults, when the broker ends.
func (f *faults) close() {
	for _, n := range f.list {
		n.held = nil
		n.remove()
	}
	f.list, f.on = nil, false
}

// takes tells whether the fault is for this point, and counts it.
func (n *Injected) takes(p *faultPoint) bool {
	if n.removed || !n.waitsAt(p) || !n.matches(p) {
		return false
	}
	n.seen++
	f := n.fault
	return n.seen >= f.Nth && (n.seen-f.Nth)%f.Every == 0 && (f.Times < 0 || n.hits < f.Times)
}

func (n *Injected) waitsAt(p *faultPoint) bool {
	switch n.fault.On {
	case Now:
		return false
	case OnConnect:
		return p.isConnect()
	case onDeliver:
		return p.isDelivery()
	case OnAny:
		if p.isConnect() || p.isDelivery() || p.class == 10 && p.method < 40 {
			return false
		}
		s := scopes[n.fault.Do]
		return p.channel != nil || !s.channel && !s.queue
	}
	return n.class == p.class && n.method == p.method
}

func (n *Injected) matches(p *faultPoint) bool {
	f := n.fault
	if f.Connection != "" && !n.matchesConnection(p.conn) {
		return false
	}
	if f.VHost != "" && (p.conn == nil || p.conn.vhost == nil || !glob(f.VHost, p.conn.vhost.name)) {
		return false
	}
	if f.Exchange != "" && !n.matchesExchange(p) {
		return false
	}
	if f.Key != "" && !glob(f.Key, p.key) {
		return false
	}
	if f.Queue == "" {
		return true
	}
	if !p.isPublish() {
		return glob(f.Queue, p.queueName())
	}
	return slices.ContainsFunc(p.queues, func(q *queue) bool { return glob(f.Queue, q.name) })
}

func (n *Injected) matchesExchange(p *faultPoint) bool {
	if n.fault.Exchange == DefaultExchange {
		return p.hasExchange && p.exchange == ""
	}
	return p.hasExchange && glob(n.fault.Exchange, p.exchange)
}

func (n *Injected) matchesConnection(c *conn) bool {
	if c == nil {
		return false
	}
	pattern := n.fault.Connection
	return pattern == strconv.FormatUint(c.id, 10) || glob(pattern, c.clientName())
}

// glob tells whether name matches a pattern that was checked. Names of queues
// and keys may hold "/", at which path.Match would stop.
func glob(pattern, name string) bool {
	ok, err := path.Match(escapeSlash(pattern), escapeSlash(name))
	return err == nil && ok
}
