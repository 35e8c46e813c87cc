package confirm

import (
	"context"
	"slices"
)

// batch is how many messages the pump takes from the queue at a time.
const batch = 32

// run owns the lanes, one after the other: it writes the queue to the lane,
// and when the lane has ended puts what was not answered in front of the queue.
func (p *Publisher) run(ctx context.Context, ln *lane) {
	defer close(p.ended)
	for ln != nil {
		p.writeTo(ln)
		collected := make(chan struct{})
		go func() {
			defer close(collected)
			p.collect(ctx, ln)
		}()
		p.pump(ctx, ln)
		ln.close()
		<-collected
		again := p.reap(ln)
		if ctx.Err() == nil && len(again) > 0 {
			again = p.sendAgain(ctx, ln, again)
		}
		p.putBack(again)
		if ctx.Err() != nil {
			break
		}
		ln = p.reopen(ctx, p.cfg.Window)
	}
	p.abandon(cmpErr(context.Cause(ctx)))
}

func (p *Publisher) writeTo(ln *lane) {
	p.mu.Lock()
	defer p.unlock()
	p.lane = ln
}

// suspicious is how many links in a row a message may see lost while it is
// unanswered before it is sent alone, and alone before it is given up.
const suspicious = 3

// sendAgain decides how the unanswered messages of an ended lane go on: after
// an exception one at a time, until the one that caused it is found; likewise
// when one has been there at the loss of several links in a row, for a message
// can kill the connection too.
func (p *Publisher) sendAgain(ctx context.Context, ln *lane, again []*Receipt) []*Receipt {
	exception := ln.exception()
	if exception == nil {
		p.cfg.Logger.Warn("link lost; sending unanswered messages again", "messages", len(again), "error", ln.sess.Err())
		if slices.ContainsFunc(again, func(r *Receipt) bool { return r.losses >= suspicious }) {
			return p.quarantine(ctx, again)
		}
		return again
	}
	p.cfg.Logger.Warn("the broker closed the publishing channel; sending its unanswered messages one at a time",
		"messages", len(again), "code", exception.Code, "reason", exception.Reason)
	return p.quarantine(ctx, again)
}

// pump writes messages until the lane or ctx ends.
func (p *Publisher) pump(ctx context.Context, ln *lane) {
	next := make([]*Receipt, 0, batch)
	for ln.alive(ctx) {
		next = p.take(ln, next[:0])
		for i, r := range next {
			// An alarm stops the broker's reading: a batch of large messages
			// written into it would run into the write deadline.
			if ctx.Err() != nil || !ln.writable() {
				p.takeBack(ln, next[i:])
				break
			}
			confirmation, err := ln.ch.PublishWithDeferredConfirm(r.to.exchange, r.to.key, true, false, r.msg)
			if err != nil {
				// The message may be half written, the ones behind it are not.
				p.unwrite(next[i+1:])
				return
			}
			r.confirmation.Store(confirmation)
			ln.signal()
		}
		if len(next) > 0 {
			continue
		}
		select {
		case <-p.kick:
		case <-ln.retired:
		case <-ln.sess.Done():
		case <-ctx.Done():
		}
	}
}

// takeBack undoes take for the last of the taken, of which nothing was written:
// whoever leaves from here on leaves unsent.
func (p *Publisher) takeBack(ln *lane, rest []*Receipt) {
	p.mu.Lock()
	defer p.unlock()
	ln.flight = ln.flight[:len(ln.flight)-len(rest)]
	back := make([]*Receipt, 0, len(rest)+len(p.queue))
	for _, r := range rest {
		r.sends--
		if r.over { // its caller left meanwhile, and was told unknown
			p.answer(r, nil)
			continue
		}
		r.stage = queued
		back = append(back, r)
	}
	p.queue = append(back, p.queue...)
}

// take moves messages from the queue to the lane. They count as written from
// here on, before the first byte is: an end of their ctx in between gives
// unknown, never a false unsent.
func (p *Publisher) take(ln *lane, into []*Receipt) []*Receipt {
	now := ln.clock()
	p.mu.Lock()
	defer p.unlock()
	for len(p.queue) > 0 && len(into) < batch {
		r := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if r.stage == gone {
			p.left = max(0, p.left-1)
			continue
		}
		r.stage, r.sentAt = inFlight, now
		r.sends++
		into = append(into, r)
	}
	ln.flight = append(ln.flight, into...)
	return into
}

func (p *Publisher) unwrite(rest []*Receipt) {
	p.mu.Lock()
	defer p.unlock()
	for _, r := range rest {
		r.sends--
	}
}

// reap takes the unanswered messages of an ended lane whose callers still wait.
func (p *Publisher) reap(ln *lane) []*Receipt {
	p.mu.Lock()
	defer p.unlock()
	p.settle(ln, true)
	var again []*Receipt
	for _, r := range ln.flight {
		switch {
		case r.stage == gone:
		case r.over:
			p.answer(r, nil)
		case p.cfg.NoRepublish && r.sends > 0 && ln.exception() == nil:
			p.answer(r, r.unknown(cmpErr(ln.sess.Err())))
		default:
			r.stage = queued
			if r.sends > 0 && ln.exception() == nil {
				r.losses++
			}
			r.confirmation.Store(nil)
			again = append(again, r)
		}
	}
	ln.flight = nil
	return again
}

// putBack puts messages in front of the queue: what was sent once goes before
// what never was, in the order of its first sending (R 32).
func (p *Publisher) putBack(again []*Receipt) {
	p.mu.Lock()
	defer p.unlock()
	p.queue = append(again, p.queue...)
}
