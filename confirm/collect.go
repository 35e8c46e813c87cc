package confirm

import (
	"context"
	"time"
)

// The collector waits for the oldest message's confirm. Confirms overtake one
// another (H 1.1); when the oldest stays unanswered it looks at all of them,
// at intervals that grow from sweepMin to sweepMax.
const (
	sweepMin = 2 * time.Millisecond
	sweepMax = 50 * time.Millisecond
)

// collect gives answered messages their outcome until the lane or ctx ends.
// It is the only one to do so, so a return and its confirm cannot race (H 1.2).
func (p *Publisher) collect(ctx context.Context, ln *lane) {
	interval := sweepMin
	timer := time.NewTimer(interval)
	defer timer.Stop()
	armed := true
	for {
		answered, waiting := p.oldest(ln)
		timeout := timer.C
		switch {
		case !waiting:
			timeout, armed = nil, false
		case !armed: // not at every turn: traffic would put the sweep off for ever
			timer.Reset(interval)
			armed = true
		}
		select {
		case <-answered:
			interval, armed = sweepMin, false
			p.mu.Lock()
			p.settle(ln, false)
			p.unlock()
			if ln.ch.IsClosed() { // what is not answered now never will be
				select {
				case <-ln.sess.Done():
				case <-ctx.Done():
				}
				return
			}
		case <-ln.wake:
		case <-timeout:
			interval, armed = min(2*interval, sweepMax), false
			p.mu.Lock()
			p.settle(ln, true)
			silent := p.expire(ln)
			p.unlock()
			if silent {
				p.cfg.Logger.Warn("no confirm at all within ConfirmTimeout; replacing the publishing channel", "timeout", p.cfg.ConfirmTimeout)
				ln.close()
				return
			}
		case <-ln.retired:
			return
		case <-ln.sess.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// oldest gives the confirm to wait for, nil while the oldest message is not
// written, and whether there is any message at all.
func (p *Publisher) oldest(ln *lane) (answered <-chan struct{}, waiting bool) {
	p.mu.Lock()
	defer p.unlock()
	for len(ln.flight) > 0 && ln.flight[0].stage == gone {
		ln.flight[0] = nil
		ln.flight = ln.flight[1:]
	}
	if len(ln.flight) == 0 {
		return nil, false
	}
	if c := ln.flight[0].confirmation.Load(); c != nil {
		return c.Done(), true
	}
	return nil, true
}

// settle gives their outcome to the answered messages at the front of the
// lane, or to all answered ones. First it sees the confirms, then it drains
// the returns, then it decides: in that order (H 1.2).
func (p *Publisher) settle(ln *lane, all bool) {
	answered := ln.answered[:0]
	for _, r := range ln.flight {
		if r.stage == gone {
			continue
		}
		c := r.confirmation.Load()
		if c != nil && isClosed(c.Done()) {
			answered = append(answered, r)
		} else if !all {
			break
		}
	}
	if len(answered) == 0 {
		return
	}
	ln.drain()
	ln.lastAnswer = ln.clock()
	for i, r := range answered {
		p.conclude(ln, r)
		answered[i] = nil
	}
	ln.answered = answered[:0]
}

// conclude decides what an answered message's outcome is. A confirmation that
// is not acked is a nack only while the channel is open: when it closes, the
// client resolves every open one the same way (H 2, rule a).
func (p *Publisher) conclude(ln *lane, r *Receipt) {
	ret, returned := ln.returned[int64(r.id)] //nolint:gosec // counts messages of one process
	switch {
	case returned:
		delete(ln.returned, int64(r.id)) //nolint:gosec // as above
		p.answer(r, &ReturnedError{
			Code: ret.ReplyCode, Text: ret.ReplyText, Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, MaybeStored: r.maybeStored(), via: r.via(),
		})
	case r.confirmation.Load().Acked():
		p.answer(r, nil)
	case ln.ch.IsClosed(): // unknown: reap takes it
	default:
		p.answer(r, &NackedError{Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, MaybeStored: r.maybeStored(), via: r.via()})
	}
}

// expire makes messages unknown that had no answer for ConfirmTimeout, and
// tells whether the broker has answered none at all for so long.
func (p *Publisher) expire(ln *lane) (silent bool) {
	now := ln.clock()
	for i, r := range ln.flight {
		if r.stage == gone || now-r.sentAt <= p.cfg.ConfirmTimeout {
			continue
		}
		if !r.over {
			p.finish(r, r.unknown(errNoConfirm))
		}
		silent = silent || (i == 0 && now-ln.lastAnswer > p.cfg.ConfirmTimeout)
	}
	return silent
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
