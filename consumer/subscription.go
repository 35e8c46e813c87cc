package consumer

import (
	"context"
	"sync"
	"sync/atomic"
)

// Subscription is one session of a consumer: basic.consume on one channel, until
// that is lost, replaced or drained. What it delivered and nobody settled then is
// delivered again, here or elsewhere. It is for middleware that keeps deliveries
// for a while behind a pending error, as package ordered does. Safe for concurrent
// use.
type Subscription struct {
	run      *runner
	mu       sync.Mutex // of closing stopping
	stopping chan struct{}
	ended    chan struct{}
	asked    chan struct{} // toReplace or toCount is set

	toReplace atomic.Bool
	toCount   atomic.Pointer[chan census]
	watched   watched
}

type subscriptionKey struct{}

// SubscriptionOf gives the subscription that a handler's delivery came on; false
// for a ctx that no consumer made.
func SubscriptionOf(ctx context.Context) (*Subscription, bool) {
	s, ok := ctx.Value(subscriptionKey{}).(*Subscription)
	return s, ok
}

// Stopping is closed when this subscription starts no handler any more: the
// drain, a replacement, or its loss. From then on an error that would give a
// delivery back settles nothing: the end of the channel gives back all, in order
// (R 8).
func (s *Subscription) Stopping() <-chan struct{} { return s.stopping }

// Held tells whether the consumer's Control holds or pauses it. Middleware that
// made a delivery wait before the handler asks when the wait is over, and then
// returns [Postpone](0, nil): no handler starts meanwhile.
func (s *Subscription) Held() bool { return s.run.cfg.Control.load().held() }

// Ended is closed when nothing can be settled on it any more.
func (s *Subscription) Ended() <-chan struct{} { return s.ended }

// Begin makes a handler that starts behind a pending error one of the consumer's:
// the drain waits for it, and a *DrainError tells of it. end is to be called when it
// has returned. False: no handler starts on this subscription any more.
func (s *Subscription) Begin() (end func(), ok bool) {
	s.mu.Lock() // Run waits for helpers after beginStop
	defer s.mu.Unlock()
	if isClosed(s.stopping) {
		return nil, false
	}
	s.run.helpers.Add(1)
	s.run.behind.Add(1)
	return sync.OnceFunc(func() {
		s.run.behind.Add(-1)
		s.run.helpers.Done()
	}), true
}

// Replace asks the consumer to close this subscription, which gives everything
// unsettled back in order, and to subscribe anew. Handlers that run, and pending
// errors, are waited for first, up to DrainTimeout.
func (s *Subscription) Replace() {
	s.toReplace.Store(true)
	s.rouse()
}

// rouse has the session answer.
func (s *Subscription) rouse() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// Report tells OnHealth of a state that the consumer itself does not see. What the
// consumer tells itself goes before: nothing is told any more when the subscription
// is stopping, and Consuming is Paused while a Control says so.
func (s *Subscription) Report(status Status, err error) {
	if isClosed(s.stopping) {
		return
	}
	if why := s.run.cfg.Control.load().why(); why != nil && status == Consuming {
		status, err = Paused, why
	}
	s.run.tell(status, err)
}

// beginStop is the moment after which no handler starts.
func (s *session) beginStop() {
	if !s.stopping {
		s.stopping = true
		s.sub.mu.Lock()
		defer s.sub.mu.Unlock()
		close(s.sub.stopping)
	}
}
