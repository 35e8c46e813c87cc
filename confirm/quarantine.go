package confirm

import (
	"context"
	"time"
)

// fate is how a message fared alone on a lane.
type fate uint8

const (
	answered fate = iota // it has its end
	lost                 // the link went: try again
	killed               // the broker closed the channel because of it
)

// quarantine sends messages that met a channel exception one at a time, each
// alone on its channel, so that only the one that causes it again is refused
// (R 3, R 11). One exception has one culprit: once it is found, the rest go
// back to the shared channel, and are returned.
func (p *Publisher) quarantine(ctx context.Context, suspects []*Receipt) (rest []*Receipt) {
	var ln *lane
	defer func() {
		if ln != nil {
			ln.close()
		}
	}()
	for i, r := range suspects {
		for end := lost; end == lost; {
			if ln == nil {
				if ln = p.reopen(ctx, 1); ln == nil {
					return suspects[i:]
				}
			}
			if end = p.alone(ctx, ln, r); end != answered {
				exception := ln.exception()
				ln = nil
				if end == killed {
					p.mu.Lock()
					p.answer(r, &RefusedError{Code: exception.Code, Reason: exception.Reason, Exchange: r.exchange, Key: r.key, MaybeStored: r.lost})
					p.mu.Unlock()
					return suspects[i+1:]
				}
			}
			if ctx.Err() != nil {
				return suspects[i:]
			}
		}
	}
	return nil
}

// alone writes one message on a lane that has no other, and waits for its end.
func (p *Publisher) alone(ctx context.Context, ln *lane, r *Receipt) fate {
	if !ln.alive(ctx) {
		return lost
	}
	p.mu.Lock()
	if r.over { // its caller has gone meanwhile
		p.answer(r, nil)
		p.mu.Unlock()
		return answered
	}
	r.stage, r.sentAt = inFlight, ln.clock()
	r.sends++
	ln.flight = []*Receipt{r}
	p.mu.Unlock()

	confirmation, err := ln.ch.PublishWithDeferredConfirm(r.exchange, r.key, true, false, r.msg)
	if err == nil {
		r.confirmation.Store(confirmation)
		p.awaitAlone(ctx, ln, r)
	} else {
		ln.close()
	}
	if p.isGone(r) {
		return answered
	}
	ln.close()
	if again := p.reap(ln); len(again) == 0 {
		return answered
	}
	if ln.exception() != nil {
		return killed
	}
	return lost
}

// awaitAlone waits until the message is answered, the lane ends or it is
// silent for ConfirmTimeout.
func (p *Publisher) awaitAlone(ctx context.Context, ln *lane, r *Receipt) {
	tick := time.NewTicker(sweepMax)
	defer tick.Stop()
	for {
		select {
		case <-r.confirmation.Load().Done():
			p.mu.Lock()
			p.settle(ln, true)
			p.mu.Unlock()
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
			p.mu.Lock()
			silent := p.expire(ln)
			p.mu.Unlock()
			if silent {
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
	defer p.mu.Unlock()
	return r.stage == gone
}
