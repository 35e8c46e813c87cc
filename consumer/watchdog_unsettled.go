package consumer

import (
	"cmp"
	"slices"
	"time"
)

// census is what one session has at one time.
type census struct {
	UnsettledCounts
	delivered uint64 // in all
	settled   int    // in all
	idle      bool   // held or paused, which Health tells
	oldest    string // message-id of the oldest kept delivery, where they are many
	oldestAt  time.Time
}

// many tells whether as much is kept as makes a finding.
func (c census) many() bool { return c.kept() > 0 && 2*c.kept() >= c.Prefetch }

// answer does what was asked of the session from other goroutines.
func (s *session) answer() {
	if s.sub.toReplace.Swap(false) {
		s.retire()
	}
	if reply := s.sub.toCount.Swap(nil); reply != nil {
		*reply <- s.census() // it has room
	}
}

func (s *session) census() census {
	unacked := 0
	for _, m := range s.ledger.state {
		if m == finished {
			unacked++
		}
	}
	c := census{
		UnsettledCounts: UnsettledCounts{
			Prefetch: s.prefetch, Waiting: len(s.waiting), Running: s.running, Pending: s.awaiting, Postponed: len(s.later),
			Returning: len(s.giveBack), Held: len(s.hold.held) + s.hold.probing, HeldAside: len(s.aside), Unacked: unacked,
		},
		delivered: s.ledger.low + uint64(len(s.ledger.state)), settled: s.settled,
		idle: s.held || s.hold.paused || s.stopping,
	}
	if c.many() {
		if u := s.oldestKept(); u != nil {
			c.oldest, c.oldestAt = u.d.MessageId, u.at
		}
	}
	return c
}

// oldestKept is the oldest delivery that neither waits for a worker nor is with one.
func (s *session) oldestKept() *delivery {
	working := make(map[*delivery]bool, len(s.r.workers))
	for _, w := range s.r.workers {
		working[w.current.Load()] = true
	}
	var oldest *delivery
	for tag, u := range s.open {
		if working[u] || oldest != nil && oldest.d.DeliveryTag < tag {
			continue
		}
		if _, waits := slices.BinarySearchFunc(s.waiting, tag, func(w *delivery, tag uint64) int {
			return cmp.Compare(w.d.DeliveryTag, tag)
		}); !waits {
			oldest = u
		}
	}
	return oldest
}

// growth is how often in a row what is kept was found to grow, with nothing settled.
type growth struct {
	last  census
	since time.Time
	steps int
}

// note takes in one look.
func (g *growth) note(c census, now time.Time) {
	kept, before := c.kept(), g.last.kept()
	more := kept > before || kept == before && c.full()
	if kept > 0 && more && c.settled == g.last.settled && !c.idle {
		g.steps++
	} else {
		g.steps, g.since = 0, now
	}
	g.last = c
}

// found tells whether that is Unsettled. Where middleware has handlers at work
// behind pending errors (Subscription.Begin), what is kept may only wait for them, so
// that they have the time of a handler.
func (g *growth) found(cfg WatchdogConfig, now time.Time, handlers bool) bool {
	return g.steps >= cfg.Looks && g.last.many() && (!handlers || now.Sub(g.since) >= cfg.StuckAfter)
}

// noteGrowth tells when it has come to a finding, and when that is over.
func (w *watchdog) noteGrowth(c census) {
	if c.settled != w.growth.last.settled {
		w.endUnsettled()
	}
	now := time.Now()
	w.growth.note(c, now)
	if w.unsettled || !w.growth.found(w.cfg, now, w.r.behind.Load() > 0) {
		return
	}
	w.unsettled = true
	age := now.Sub(c.oldestAt)
	w.r.cfg.Logger.Error("deliveries are kept unsettled, ever more of them, and nothing is settled",
		"looks", w.growth.steps, "oldest", c.oldest, "age", age, "unsettled", c.UnsettledCounts)
	w.tell(WatchdogEvent{Finding: Unsettled, For: age, MessageID: c.oldest, Unsettled: c.UnsettledCounts})
}

func (w *watchdog) endUnsettled() {
	if !w.unsettled {
		return
	}
	w.unsettled = false
	w.r.cfg.Logger.Info("kept deliveries are settled again, or their session has ended")
	w.tell(WatchdogEvent{Finding: Unsettled, Over: true, Unsettled: w.growth.last.UnsettledCounts})
}
