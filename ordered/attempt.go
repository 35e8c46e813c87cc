package ordered

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

var errGoexit = errors.New("ordered: the handler called runtime.Goexit")

// attempt calls the handler and goes on with what comes of it.
func (p *partition) attempt(ctx context.Context, l *line, it *item, ended func()) {
	err := errGoexit
	defer func() { // of a Goexit, too
		ended()
		p.attempted(ctx, l, it, err)
	}()
	err = p.call(ctx, it)
}

// call runs the handler. From the second attempt on it sees the story of those
// before, as a message that comes back from the ladder has it.
func (p *partition) call(ctx context.Context, it *item) error {
	if !it.told {
		var err error
		if it.story, err = story.Of(it.d, p.work.Queue, it.at); err != nil {
			return &retry.DeadError{Reason: story.ReasonMalformed, Attempt: 1, Of: 1, Err: err}
		}
		it.told = true
		if it.story.RetryCount == 0 {
			p.cfg.Retry.First(it.at)
		}
	}
	return p.handler(settlement.Keep(ctx, &it.attempts), it.d)
}

// attempted settles, or prepares the next attempt, or buries. A worker is free for
// others while copies are waited for.
func (p *partition) attempted(ctx context.Context, l *line, it *item, err error) {
	p.mu.Lock()
	cancel := p.running[it]
	defer cancel(nil)
	delete(p.running, it)
	if underWay(err) {
		p.dispatch()
		p.mu.Unlock()
		err = p.outcome(ctx, it, err)
		p.mu.Lock()
	}
	dead := p.judge(ctx, l, it, err)
	p.dispatch()
	p.mu.Unlock()
	if dead == nil {
		return
	}
	err = p.buried(ctx, it, dead)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(l, it, err)
	p.dispatch()
}

// underWay tells whether a copy has to be waited for.
func underWay(err error) bool {
	if _, postponed := verdict.AsPostponed(err); postponed {
		return false
	}
	_, pending := verdict.AsPending(err)
	_, again := verdict.AsAgain(err)
	return pending || again
}

// judge acts on the result of an attempt. What it returns is to be buried.
func (p *partition) judge(ctx context.Context, l *line, it *item, err error) (dead error) {
	_, reject := verdict.AsReject(err)
	switch {
	case err == nil || reject:
		p.settle(l, it, err)
		return nil
	case it.stopping() || verdict.IsShutdown(ctx):
		p.settle(l, it, errLeft)
		return nil
	}
	p.cause = err
	if !l.failing {
		l.failing = true
		p.hold(len(l.items))
	}
	if postponed, ok := verdict.AsPostponed(err); ok { // no attempt: a breaker is open, or a rate is used up
		p.rest(l, max(postponed.Postpone(), postponeMin))
		return nil
	}
	if errors.As(err, new(*retry.DeadError)) {
		return err
	}
	next, delay, dead := p.after(it.story, err)
	if dead != nil {
		it.tell(it.story) // the letter is to have it
		return dead
	}
	it.tell(next)
	p.rest(l, p.cut(l, it, delay))
	return nil
}

// postponeMin keeps middleware that asks for no delay from spinning, as in package
// consumer.
const postponeMin = 100 * time.Millisecond

// after asks the policy. It runs user code, whose panic is a bug like a handler's.
func (p *partition) after(s story.Story, err error) (next story.Story, delay time.Duration, dead error) {
	defer func() {
		if v := recover(); v != nil {
			n := s.RetryCount + 1
			dead = &retry.DeadError{Reason: story.ReasonUnexpected, Attempt: n, Of: n, Err: &consumer.PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	return p.cfg.Retry.Next(time.Now(), s, err)
}

// tell puts the story into the delivery's headers, those of a copy.
func (it *item) tell(s story.Story) {
	it.story = s
	h := maps.Clone(it.d.Headers)
	if h == nil {
		h = make(amqp.Table)
	}
	s.Write(h)
	h[verdict.HeaderParkedAt] = time.Now().UnixMicro()
	it.d.Headers = h
}

// cut keeps all delays of a message together within the time it may be here.
func (p *partition) cut(l *line, it *item, delay time.Duration) time.Duration {
	log := p.cfg.Consumer.Logger.With("message_id", it.d.MessageId, "retry", it.story.RetryCount, "retry_max", it.story.RetryMax, "error", it.story.LastError)
	if left := p.cfg.limit() - it.delayed; delay > left {
		log.Warn("ordered: the delay is longer than the message may be held and was cut", "wanted", delay, "delay", left)
		delay = left
	}
	it.delayed += delay
	log.Info("ordered: attempt failed; holding the message and those of its key", "delay", delay, "behind", len(l.items)-1)
	return delay
}

// rest waits for the next attempt.
func (p *partition) rest(l *line, delay time.Duration) {
	l.active = false
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.resting != timer {
			return
		}
		l.resting = nil
		p.ready(l)
		p.dispatch()
	})
	l.resting = timer
}

// settle ends the first message of a line; the next one may begin.
func (p *partition) settle(l *line, it *item, outcome error) {
	if l.failing {
		l.failing = false
		p.hold(-len(l.items))
	}
	l.items[0] = nil
	l.items, l.active = l.items[1:], false
	it.finish(outcome)
	if len(l.items) == 0 {
		delete(p.lines, l.key)
	}
	p.ready(l)
}

// buried publishes the letter until it is confirmed. The key waits meanwhile: a
// follower must not be handled while nobody knows what became of this one.
func (p *partition) buried(ctx context.Context, it *item, dead error) error {
	failing := func(context.Context, amqp.Delivery) error { return dead }
	for n := 0; ; n++ {
		err := p.outcome(ctx, it, safely(func() error { return p.bury(failing)(verdict.WithValues(ctx, it.attempts.Last()), it.d) }))
		if err == nil || errors.Is(err, errLeft) {
			return err
		}
		if _, reject := verdict.AsReject(err); reject {
			return err
		}
		p.cfg.Consumer.Logger.Error("ordered: a message cannot be buried; its key waits until it can", "message_id", it.d.MessageId, "error", p.cfg.text(err))
		if !it.pause(n) {
			return errLeft
		}
	}
}

// maxWaits is how many pending errors in a row are waited for: an outcome that is
// the same pending error again would be asked for ever.
const maxWaits = 100

var errNoOutcome = errors.New("ordered: a pending error's outcome is pending again and again")

// againTimeout bounds one repeat of a copy.
const againTimeout = 30 * time.Second

// outcome follows copies under way: pending errors are waited for, what cannot be
// stored for now is repeated. errLeft: the subscription is over.
func (p *partition) outcome(ctx context.Context, it *item, err error) error {
	for n, waits := 0, 0; ; {
		if pending, ok := verdict.AsPending(err); ok {
			if waits++; waits > maxWaits {
				return errNoOutcome
			}
			select {
			case <-pending.Done():
				err = safely(pending.Outcome)
				continue
			case <-it.sub.Ended():
				return errLeft
			}
		}
		_, postponed := verdict.AsPostponed(err) // looks like the next one
		again, ok := verdict.AsAgain(err)
		if !ok || postponed {
			return err
		}
		p.cfg.Consumer.Logger.Error("ordered: a copy cannot be stored; its key waits until it can", "message_id", it.d.MessageId, "error", p.cfg.text(err))
		if !it.pause(n) {
			return errLeft
		}
		n, waits = n+1, 0
		err = repeat(ctx, again)
	}
}

// repeat bounds one repeat, which needs its ctx until the outcome is there.
func repeat(ctx context.Context, again verdict.Again) error {
	ctx, cancel := context.WithTimeout(ctx, againTimeout)
	err := safely(func() error { return again.Again(ctx) })
	if pending, ok := verdict.AsPending(err); ok {
		return verdict.Then(pending, func(outcome error) error {
			cancel()
			return outcome
		})
	}
	cancel()
	return err
}

// safely calls user code, whose panic is its result. So is that of its error's text.
func safely(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &consumer.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if err = f(); err != nil {
		_ = err.Error()
	}
	return err
}

// The backoff of copies that cannot be stored.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
)

// pause waits after the nth failure in a row; false when the subscription stops.
func (it *item) pause(n int) bool {
	d := min(backoffMin<<min(n, 10), backoffMax)
	timer := time.NewTimer(d/2 + rand.N(d/2+1)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-it.sub.Stopping():
		return false
	}
}
