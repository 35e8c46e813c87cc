package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Control pauses consumers and changes their prefetch while they run, from any
// goroutine. Its zero value is ready; give it to one or more consumers as
// Config.Control. No method blocks. What it orders outlives sessions and
// reconnects, and holds for consumers that start later.
type Control struct {
	mu       sync.Mutex
	state    atomic.Pointer[orders]
	watchers map[chan struct{}]struct{}
}

// orders is what a Control wants at one time. It is never changed.
type orders struct {
	holds    []*order
	prefetch int // 0: that of the Config
	set      int // how often prefetch was set
}

// order is one Pause or Hold.
type order struct {
	why   error
	pause bool
}

// held tells whether no handler may start.
func (o *orders) held() bool { return o != nil && len(o.holds) > 0 }

// paused tells whether deliveries are given back, too.
func (o *orders) paused() bool {
	return o != nil && slices.ContainsFunc(o.holds, func(h *order) bool { return h.pause })
}

// why is the reason of the oldest order that is not lifted, or nil.
func (o *orders) why() error {
	if !o.held() {
		return nil
	}
	return o.holds[0].why
}

var (
	errPaused = errors.New("consumer: paused by its Control")
	errHeld   = errors.New("consumer: held by its Control")
)

// Pause ends the subscription until resume is called: no handler starts,
// running ones finish within DrainTimeout, and what only waited goes back with
// the channel, in order (R 8), for other consumers to take. That counts once
// against a quorum queue's delivery limit for each delivery that waited (R 6).
// On a queue with single active consumer the next one takes over, in the order of
// the queue where all its consumers have one prefetch, and keep it: see
// Config.FixedPrefetch (F 31).
//
// Several pauses and holds may be on at a time; the consumers go on when all are
// over. Health is Paused meanwhile, with why as its cause; nil stands for a
// plain one. resume may be called more than once.
func (c *Control) Pause(why error) (resume func()) {
	return c.order(&order{why: orElse(why, errPaused), pause: true})
}

// Hold starts no handler until release is called, and keeps what was delivered:
// nothing is counted and no order lost by it. Deliveries go on to come, up to the
// prefetch, and nobody else sees them meanwhile: it is for a moment. A hold
// that lasts half of Config.ConsumerTimeout becomes a Pause (R 19), with what is
// said there of the order. For the rest see [Control.Pause].
func (c *Control) Hold(why error) (release func()) {
	return c.order(&order{why: orElse(why, errHeld)})
}

func orElse(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}

// SetPrefetch sets the prefetch, 1 to 65535, in place of Config.Prefetch; less
// than Workers makes workers idle. AMQP cannot change the prefetch of a
// consumer (basic.qos holds for new ones), so each consumer opens a new session
// once its running handlers are done; what only waited goes back as in Pause. A
// prefetch that had shrunk for the consumer timeout's sake is set anew, too. It does
// not keep the order of a queue with single active consumer: a session that ends
// before it was delivered all that came back from one with a larger prefetch leaves
// its part behind the rest (F 31). It does nothing where Config.FixedPrefetch is set.
func (c *Control) SetPrefetch(n int) error {
	if n < 1 || n > math.MaxUint16 {
		return &ConfigError{Field: "Prefetch", Problem: fmt.Sprintf("is to be %d", n), Fix: "use 1 to 65535"}
	}
	c.change(func(o *orders) { o.prefetch, o.set = n, o.set+1 })
	return nil
}

func (c *Control) order(h *order) (lift func()) {
	c.change(func(o *orders) { o.holds = append(o.holds, h) })
	return sync.OnceFunc(func() {
		c.change(func(o *orders) { o.holds = slices.DeleteFunc(o.holds, func(other *order) bool { return other == h }) })
	})
}

// change makes new orders and wakes whoever watches.
func (c *Control) change(f func(*orders)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var next orders
	if now := c.state.Load(); now != nil {
		next = orders{holds: slices.Clone(now.holds), prefetch: now.prefetch, set: now.set}
	}
	f(&next)
	c.state.Store(&next)
	for w := range c.watchers {
		select {
		case w <- struct{}{}:
		default: // it has yet to look
		}
	}
}

func (c *Control) load() *orders { return c.state.Load() }

// watch tells of changes, those before it included.
func (c *Control) watch() (changed <-chan struct{}, unwatch func()) {
	w := make(chan struct{}, 1)
	w <- struct{}{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = map[chan struct{}]struct{}{}
	}
	c.watchers[w] = struct{}{}
	return w, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, w)
	}
}

// obeyPrefetch takes over a prefetch that the Control has set since the last
// time, and tells whether there was one.
func (r *runner) obeyPrefetch() bool {
	o := r.cfg.Control.load()
	if o == nil || o.set == r.obeyed || r.cfg.FixedPrefetch {
		return false
	}
	r.obeyed, r.prefetch, r.lowered = o.set, o.prefetch, false
	return true
}

// tellState tells a state that is not Paused by the Control.
func (r *runner) tellState(status Status, err error) {
	r.toldPaused = false
	r.tell(status, err)
}

// tellPaused tells that the Control pauses the consumer, once.
func (r *runner) tellPaused(why error) {
	if !r.toldPaused {
		r.toldPaused = true
		r.tell(Paused, why)
	}
}

// awaitRelease waits until no order forbids to subscribe, or the link is closed,
// which subscribe finds; false when ctx has ended. It moves refusedSince, unless
// that is zero, by the wait: a pause is no refusal.
func (r *runner) awaitRelease(ctx context.Context, refusedSince *time.Time) bool {
	began := time.Now()
	defer func() {
		if !refusedSince.IsZero() {
			*refusedSince = refusedSince.Add(time.Since(began))
		}
	}()
	for ctx.Err() == nil {
		o := r.cfg.Control.load()
		r.obeyPrefetch()
		if !o.held() {
			return true
		}
		r.tellPaused(o.why())
		select {
		case <-r.changed:
		case <-r.link.Done():
			return ctx.Err() == nil
		case <-ctx.Done():
		}
	}
	return false
}

// obey does what the Control wants of a session.
func (s *session) obey() {
	o := s.r.cfg.Control.load()
	switch held := o.held(); {
	case held && !s.held:
		s.r.cfg.Logger.Info("held; no handler starts", "why", s.r.text(o.why()))
		s.r.tellPaused(o.why())
	case !held && s.held:
		s.freeAt = time.Now()
		s.r.cfg.Logger.Info("no longer held; handling goes on")
		if s.r.toldPaused = false; !s.hold.paused {
			s.r.tellState(Consuming, nil)
		}
	}
	s.held = o.held()
	if o.paused() {
		s.retire()
	}
	if s.r.obeyPrefetch() && s.r.window() != s.prefetch {
		s.r.cfg.Logger.Info("prefetch changed; opening a new session", "from", s.prefetch, "to", s.r.window())
		s.retire()
	}
}
