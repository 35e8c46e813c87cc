package confirm

import (
	"context"
	"math/rand/v2"
	"time"
)

// fate is how a message fared alone on a lane.
type fate uint8

const (
	settled fate = iota // it has its end, or its caller has gone
	lost                // the link went: try again
	killed              // the broker closed the channel because of it
)

// aloneLimit is how long a message alone on its lane holds up the next one.
const aloneLimit = 5 * time.Second

// quarantine sends messages that met a channel exception one at a time, each
// alone on its channel, so that only the one that causes it again is refused
// (R 3, R 11). One exception has one culprit: once it is found, the rest go
// back to the shared channel, and are returned.
//
// Only the end of the channel, which is the message's own, refuses it. A lost
// connection has other users, of whom any may be the cause: a message that sees
// it lost again and again becomes unknown.
func (p *Publisher) quarantine(ctx context.Context, suspects []*Receipt) (rest []*Receipt) {
	q := &quarantine{p: p}
	defer q.close()
	p.setApart(suspects)
	defer p.setApart(nil)
	for i, r := range suspects {
		for end := lost; end == lost; {
			if !q.open(ctx) {
				return suspects[i:]
			}
			p.expireWaiting(suspects[i:], q.waited())
			switch end = q.alone(ctx, r); end {
			case killed:
				return suspects[i+1:]
			case lost:
				if !apart(ctx, r.losses) {
					return suspects[i:]
				}
			case settled:
			}
		}
	}
	return nil
}

func (p *Publisher) setApart(suspects []*Receipt) {
	p.mu.Lock()
	defer p.unlock()
	p.apart = suspects
}

// apart waits for a random while that grows with each loss: other publishers of
// the link are in quarantine for the same loss, and the culprit of one must not
// meet the innocent of another each time. False: ctx has ended.
func apart(ctx context.Context, losses int) bool {
	select {
	case <-time.After(rand.N(time.Duration(losses) * 200 * time.Millisecond)): //nolint:gosec // no secret
		return true
	case <-ctx.Done():
		return false
	}
}

// quarantine is the lane in use and how long the whole has taken.
type quarantine struct {
	p     *Publisher
	ln    *lane
	spent time.Duration // on earlier lanes, on their clocks
}

// open makes sure that there is a lane that may be written to.
func (q *quarantine) open(ctx context.Context) bool {
	for q.ln == nil || !q.ln.alive(ctx) {
		q.close()
		if ctx.Err() != nil {
			return false
		}
		if q.ln = q.p.reopen(ctx, 1); q.ln == nil {
			return false
		}
	}
	return true
}

func (q *quarantine) close() {
	if q.ln != nil {
		q.spent += q.ln.clock()
		q.ln.close()
		q.ln = nil
	}
}

func (q *quarantine) waited() time.Duration { return q.spent + q.ln.clock() }

// expireWaiting makes the suspects unknown that have waited for ConfirmTimeout:
// those before them may be silent for long.
func (p *Publisher) expireWaiting(waiting []*Receipt, waited time.Duration) {
	if waited <= p.cfg.ConfirmTimeout {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	for _, r := range waiting {
		if !r.over {
			p.finish(r, r.unknown(errNoConfirm))
		}
	}
}

// alone writes one message on a lane that has no other, and waits for its end.
func (q *quarantine) alone(ctx context.Context, r *Receipt) fate {
	p, ln := q.p, q.ln
	p.mu.Lock()
	if r.over { // its caller has gone meanwhile
		p.answer(r, nil)
		p.unlock()
		return settled
	}
	r.stage, r.sentAt = inFlight, ln.clock()
	r.sends++
	ln.flight = []*Receipt{r}
	p.unlock()

	confirmation, err := ln.ch.PublishWithDeferredConfirm(r.to.exchange, r.to.key, true, false, r.msg)
	if err == nil {
		r.confirmation.Store(confirmation)
		p.awaitAlone(ctx, ln, r)
	}
	if p.isGone(r) {
		return settled
	}
	q.close()
	exception := ln.exception()
	again := p.reap(ln)
	switch {
	case len(again) == 0:
		return settled
	case exception != nil:
		p.end(r, &RefusedError{Code: exception.Code, Reason: exception.Reason, Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, MaybeStored: r.sends > 1})
		return killed
	case r.losses >= 2*suspicious:
		p.end(r, r.unknown(errKillsLinks))
		return settled
	}
	return lost
}

func (p *Publisher) end(r *Receipt, err error) {
	p.mu.Lock()
	defer p.unlock()
	p.answer(r, err)
}

// awaitAlone waits until the message is answered, the lane ends or it has been
// silent for too long to hold up the others.
func (p *Publisher) awaitAlone(ctx context.Context, ln *lane, r *Receipt) {
	limit := min(aloneLimit, p.cfg.ConfirmTimeout)
	began := ln.clock()
	tick := time.NewTicker(sweepMax)
	defer tick.Stop()
	for {
		select {
		case <-r.confirmation.Load().Done():
			p.mu.Lock()
			p.settle(ln, true)
			p.unlock()
			if p.isGone(r) {
				return
			}
			// Not acked because the channel is closing: its reason follows.
			select {
			case <-ln.sess.Done():
			case <-ctx.Done():
			}
			return
		case <-tick.C:
			if ln.clock()-began > limit {
				p.mu.Lock()
				if !r.over {
					p.finish(r, r.unknown(errNoConfirm))
				}
				p.unlock()
				return
			}
		case <-ln.sess.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *Publisher) isGone(r *Receipt) bool {
	p.mu.Lock()
	defer p.unlock()
	return r.stage == gone
}
