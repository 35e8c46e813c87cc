package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
)

// This file is what a session does with deliveries that stay unacked for a
// while: held because their copy cannot be stored, to be given back, or old.

// againTimeout bounds one repeat of a copy.
const againTimeout = 30 * time.Second

// hold is the pause of a session whose copies cannot be stored.
type hold struct {
	paused  bool
	held    []*delivery
	probing int // repeated copies without an answer
	failed  int // rounds of repeats in a row that failed
	nextAt  time.Time
}

// keep holds a delivery whose copy cannot be stored for now. While any is
// held, no handler starts: the queue stays where it is safe.
func (s *session) keep(u *delivery, res result) {
	u.again, _ = verdict.AsAgain(res.err)
	if !s.hold.paused {
		s.r.cfg.Logger.Error("a copy cannot be stored; no handler starts until it can", "message_id", u.d.MessageId, "error", s.r.text(res.err))
		s.r.tell(Paused, res.err)
	}
	if now := time.Now(); !s.hold.paused || res.probe && !s.hold.nextAt.After(now) { // once a round
		s.hold.failed++
		s.hold.nextAt = now.Add(jitter(pause(s.hold.failed)))
	}
	s.hold.paused = true
	s.hold.held = append(s.hold.held, u)
}

// resume takes note of a result: a repeat that worked means that all held
// copies may go; when none is left the pause is over.
func (s *session) resume(res result) {
	h := &s.hold
	if res.probe && decide(res.err) != doHold {
		h.failed, h.nextAt = 0, time.Time{}
	}
	if h.paused && len(h.held) == 0 && h.probing == 0 {
		s.hold, s.freeAt = hold{}, time.Now()
		s.r.cfg.Logger.Info("copies are stored again; handling goes on")
		if why := s.r.cfg.Control.load().why(); why == nil {
			s.r.tellState(Consuming, nil)
		} else {
			s.r.toldPaused = true
			s.r.tell(Paused, why)
		}
		s.noteSettled()
	}
}

// repeat publishes held copies once more: one, to see whether it works, or
// all, when the last one did.
func (s *session) repeat() {
	h := &s.hold
	n := len(h.held)
	if h.failed > 0 {
		n = 1
	}
	for _, u := range h.held[:n] {
		h.probing++
		tag, again := u.d.DeliveryTag, u.again
		s.r.helpers.Go(func() { s.report(result{tag: tag, err: s.callAgain(again), probe: true}) })
	}
	h.held = h.held[n:]
}

// callAgain repeats a copy and waits for what comes of it.
func (s *session) callAgain(again verdict.Again) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	ctx, cancel := context.WithTimeout(s.lifetime, againTimeout)
	defer cancel()
	err = probed(again.Again(ctx))
	for range maxWaits {
		p, pending := verdict.AsPending(err)
		if !pending {
			return err
		}
		err = s.outcome(p)
	}
	return fmt.Errorf("%w: %w", errNoOutcome, err)
}

var errEnded = errors.New("consumer: session ended")

// reject settles a delivery whose copy no time can mend: into the broker's
// at-least-once dead-letter exchange, or, where there is none, not at all.
func (s *session) reject(u *delivery, cause error, backstop bool) {
	if !backstop {
		s.aside = append(s.aside, u)
		s.r.cfg.Logger.Error("a message can be neither copied nor dead-lettered safely; it stays unacked until this session ends",
			"message_id", u.d.MessageId, "error", s.r.text(cause))
		s.r.tell(HeldAside, cause)
		return
	}
	s.r.cfg.Logger.Error("a copy can never be published; message rejected into the queue's dead-letter exchange", "message_id", u.d.MessageId, "error", s.r.text(cause))
	s.settleOne(u, "reject", func(tag uint64) error { return s.sess.Channel().Reject(tag, false) })
}

// returnLater gives a delivery back after a pause that grows with each failure
// in a row, so that a failing handler does not spin (H 8.4). A stopping session
// gives nothing back singly, for that would reorder: the channel's end does (R 8).
func (s *session) returnLater(u *delivery, cause error) {
	if s.stopping {
		return
	}
	s.r.failures++
	wait := jitter(pause(s.r.failures))
	s.r.cfg.Logger.Error("handler failed and nothing took its error; message will be given back", "message_id", u.d.MessageId, "in", wait, "error", s.r.text(cause))
	u.backAt = time.Now().Add(wait)
	s.giveBack = append(s.giveBack, u)
}

// settleOne settles a delivery singly and at once.
func (s *session) settleOne(u *delivery, method string, settle func(tag uint64) error) {
	tag := u.d.DeliveryTag
	s.noteSettled()
	s.ledger.settle(tag)
	s.close(tag)
	began := time.Now()
	err := settle(tag)
	s.sent(err)
	s.sub.watched.tell(tag, settlement.Result{Method: method, Began: began, Ended: time.Now(), Err: err})
}

// untilDue is how long until due has something to do.
func (s *session) untilDue(now time.Time) time.Duration {
	at := now.Add(time.Hour)
	if !s.stopping {
		for _, u := range s.giveBack {
			at = firstOf(u.backAt, at)
		}
		if len(s.later) > 0 {
			at = firstOf(s.laterAt, at)
		}
		if len(s.hold.held) > 0 && s.hold.probing == 0 && s.hold.nextAt.Before(at) {
			at = s.hold.nextAt
		}
	}
	return max(0, at.Sub(now))
}

// due gives back, hands to the workers and repeats what is due.
func (s *session) due() {
	if s.stopping {
		return
	}
	now := time.Now()
	s.giveBack = slices.DeleteFunc(s.giveBack, func(u *delivery) bool {
		if u.backAt.After(now) {
			return false
		}
		s.settleOne(u, "nack", func(tag uint64) error { return s.sess.Channel().Nack(tag, false, true) })
		return true
	})
	s.dueLater(now)
	if len(s.hold.held) > 0 && s.hold.probing == 0 && !s.hold.nextAt.After(now) {
		s.repeat()
	}
}

// dueLater hands what was postponed to the workers again.
func (s *session) dueLater(now time.Time) {
	if len(s.later) == 0 || s.laterAt.After(now) {
		return
	}
	s.laterAt = time.Time{}
	s.later = slices.DeleteFunc(s.later, func(u *delivery) bool {
		if u.backAt.After(now) {
			s.laterAt = firstOf(s.laterAt, u.backAt)
			return false
		}
		s.queue(u)
		return true
	})
}

// checkAge replaces a session in which a delivery has waited half the broker's
// consumer timeout without a handler: the next one asks for less, and what
// waits goes back with the channel (R 19).
func (s *session) checkAge() {
	limit := s.r.cfg.ConsumerTimeout / 2
	old := func(u *delivery) bool { return time.Since(u.at) > limit }
	switch {
	case s.stopping:
	case len(s.waiting) > 0 && old(s.waiting[0]) && !s.hold.paused && !s.held && s.waiting[0].at.After(s.freeAt):
		s.r.prefetch = min(s.r.prefetch, max(s.r.cfg.Workers, s.r.prefetch/2))
		s.r.cfg.Logger.Warn("deliveries wait too long for a worker; giving them back and halving the prefetch",
			"waited", time.Since(s.waiting[0].at), "prefetch", s.r.prefetch)
		s.retire()
	case slices.ContainsFunc(s.hold.held, old) || slices.ContainsFunc(s.aside, old) || slices.ContainsFunc(s.later, old) || len(s.waiting) > 0 && old(s.waiting[0]):
		// Each time counts a delivery for all that is prefetched.
		s.r.lowered = true
		s.r.cfg.Logger.Warn("deliveries held too long; giving them back before the broker's consumer timeout")
		s.retire()
	}
}

// jitter spreads a wait over 50 to 100 % of it.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) } //nolint:gosec // no secret
