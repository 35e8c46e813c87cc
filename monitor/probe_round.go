package monitor

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// round sends one probe, after a look at the way it is to go: what comes to a level
// that is missing ends among the unclaimed messages. It returns when the broker has
// confirmed it, or when it is overdue.
func (p *Probe) round(ctx context.Context) {
	p.mu.Lock()
	p.course.begin(time.Now())
	p.number++
	number, inbox, queue := p.number, p.inbox, p.queue
	p.mu.Unlock()
	if inbox == nil {
		return // it has just been lost, and that was told
	}
	doing := "look at its way"
	err := p.look(ctx)
	if err == nil {
		doing = bindsOwn
		err = p.bind(ctx, inbox, queue)
	}
	if err == nil {
		doing = "be sent"
		err = p.send(ctx, number)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	p.failed(p.failure(reasonOf(err), doing, err), time.Now())
}

func (p *Probe) look(ctx context.Context) error {
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	return topology.Declare(ctx, p.link, p.way.looks(p.cfg.Ladder))
}

// bind binds the probe's own queue again: a binding that somebody has removed would look
// like a ladder that stands.
func (p *Probe) bind(ctx context.Context, inbox *link.Session, queue string) error {
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	err := inbox.Do(ctx, func(ch *amqp.Channel) error { return ch.QueueBind(queue, p.way.pattern, p.way.due, false, nil) })
	return reason(inbox, err)
}

// posting is one probe being published.
type posting struct {
	s        *link.Session
	number   uint64
	returned chan amqp.Return
	confirm  *amqp.DeferredConfirmation
	blocked  time.Duration // time under an alarm that the course knows of
}

// send publishes a probe, on a channel of its own.
func (p *Probe) send(ctx context.Context, number uint64) error {
	if p.link.State(link.Publishing).Status == link.Blocked {
		return errBlocked // a channel would not even open
	}
	opening, cancel := p.bounded(ctx)
	defer cancel()
	s, err := p.link.Session(opening, link.Publishing)
	if err != nil {
		return p.blame(err)
	}
	defer closeSession(s)
	if err := s.Do(opening, func(ch *amqp.Channel) error { return ch.Confirm(false) }); err != nil {
		return p.blame(reason(s, err))
	}
	o := &posting{s: s, number: number, returned: s.Channel().NotifyReturn(make(chan amqp.Return, 1)), blocked: s.BlockedFor()}
	if isBlocked(s) {
		return errBlocked
	}
	p.mu.Lock()
	p.course.sent(number, time.Now()) // before it can come back
	p.mu.Unlock()
	err = s.Do(ctx, func(ch *amqp.Channel) (err error) { // a write has a deadline of its own
		o.confirm, err = ch.PublishWithDeferredConfirm(p.way.exchange, p.way.key, true, false, p.way.message(number))
		return err
	})
	if err != nil {
		return p.ended(o, reason(s, err))
	}
	return p.await(ctx, o)
}

// blame tells an alarm from a broker that gives no answer.
func (p *Probe) blame(err error) error {
	if p.link.State(link.Publishing).Status == link.Blocked {
		return errors.Join(errBlocked, err)
	}
	return err
}

func isBlocked(s *link.Session) bool {
	select {
	case <-s.Unblocked():
		return false
	default:
		return true
	}
}

// await waits for the confirm, until the probe is overdue. While an alarm keeps the broker
// from reading it, it is not on the ladder.
func (p *Probe) await(ctx context.Context, o *posting) error {
	timer := time.NewTimer(p.way.delay + p.cfg.Limit)
	defer timer.Stop()
	for {
		select {
		case <-o.confirm.Done():
			return p.confirmed(o)
		case <-o.s.Done():
			return p.ended(o, o.s.Err())
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		more := p.held(o)
		if !isBlocked(o.s) {
			if more == 0 {
				return nil // it is overdue
			}
			timer.Reset(more)
			continue
		}
		p.fail(errBlocked, "be read by the broker")
		select {
		case <-o.s.Unblocked():
		case <-o.s.Done():
		case <-ctx.Done():
		}
		timer.Reset(p.held(o))
	}
}

// held puts off when the probe is due, by what an alarm has lasted since it was asked.
func (p *Probe) held(o *posting) time.Duration {
	blocked := o.s.BlockedFor()
	more := blocked - o.blocked
	o.blocked = blocked
	p.mu.Lock()
	defer p.mu.Unlock()
	p.course.postpone(o.number, more)
	return more
}

// confirmed reads the broker's answer. The client puts a return before its confirm.
func (p *Probe) confirmed(o *posting) error {
	if !o.confirm.Acked() && o.s.Channel().IsClosed() { // the client's own answer
		<-o.s.Done()
		return p.ended(o, o.s.Err())
	}
	p.held(o)
	var err error
	select {
	case <-o.returned:
		err = errReturned
	default:
		if !o.confirm.Acked() {
			err = errNacked
		}
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.course.retract(o.number)
	}
	return err
}

// ended is the end of the channel before the answer: the broker's word on this message,
// or a lost connection, with which the message may or may not have come to the ladder.
func (p *Probe) ended(o *posting, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.course.retract(o.number)
	return err
}

func (p *Probe) fail(err error, doing string) {
	p.mu.Lock()
	defer p.unlock()
	p.failed(p.failure(reasonOf(err), doing, err), time.Now())
}
