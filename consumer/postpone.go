package consumer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/verdict"
)

// Postpone is the error of middleware that does not let a delivery through for
// now, for a reason that lies elsewhere: a limit, a copy of it being handled. The
// worker is free at once, the delivery stays unsettled in this consumer, and
// meets the chain again after that time, 100 ms at least; while a [Control] holds
// the consumer, not before its end. Nothing is counted, and retry and dlq hand
// it on. It uses up prefetch meanwhile; after half of Config.ConsumerTimeout it
// is given back (R 19). Other deliveries overtake it. why is for logs; it may be
// nil.
func Postpone(after time.Duration, why error) error { return &postponed{after: after, why: why} }

// stopping is closed when the consumer starts no handler on the subscription of
// this ctx any more; nil without one. Middleware that waits before it calls the
// handler must give up then: otherwise it would hold up the drain, or have a
// delivery handled that somebody else has got meanwhile.
func stopping(ctx context.Context) <-chan struct{} {
	if s, ok := SubscriptionOf(ctx); ok {
		return s.Stopping()
	}
	return nil
}

// held tells whether the consumer of this ctx is held.
func held(ctx context.Context) bool {
	s, ok := SubscriptionOf(ctx)
	return ok && s.Held()
}

type postponed struct {
	after time.Duration
	why   error
}

func (p *postponed) Error() string {
	if p.why == nil {
		return "consumer: not handled yet, postponed"
	}
	return fmt.Sprintf("consumer: not handled yet, postponed: %v", p.why)
}

func (p *postponed) Unwrap() error { return p.why }

func (p *postponed) Postpone() time.Duration { return p.after }

// Again makes retry and dlq hand the error on; nothing here can be repeated.
func (p *postponed) Again(context.Context) error { return p }

// postponeMin keeps middleware that asks for no delay from spinning.
const postponeMin = 100 * time.Millisecond

// postpone keeps a delivery that no handler has seen yet.
func (s *session) postpone(u *delivery, err error) {
	if s.stopping { // it goes back with the channel
		return
	}
	p, _ := verdict.AsPostponed(err)
	after := p.Postpone()
	if after <= 0 && s.r.cfg.Control.load().held() {
		s.queue(u) // next does not look at it before the hold ends
		return
	}
	u.backAt = time.Now().Add(max(after, postponeMin))
	s.later = append(s.later, u)
	s.laterAt = firstOf(s.laterAt, u.backAt)
}

// firstOf is the earlier time; zero is none.
func firstOf(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// queue puts a delivery back to its place among those that wait for a worker.
func (s *session) queue(u *delivery) {
	u.began.Store(0)
	at, _ := slices.BinarySearchFunc(s.waiting, u.d.DeliveryTag, func(w *delivery, tag uint64) int {
		return cmp.Compare(w.d.DeliveryTag, tag)
	})
	s.waiting = slices.Insert(s.waiting, at, u)
}
