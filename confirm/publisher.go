package confirm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// Publisher publishes over one shared channel and accounts for every message.
// All methods are safe for many goroutines.
type Publisher struct {
	link *link.Link
	cfg  Config

	kick  chan struct{} // the queue is no longer empty
	stop  context.CancelCauseFunc
	ended chan struct{} // run has returned

	lastID   atomic.Uint64
	observer *observer // nil without a hook

	mu      sync.Mutex
	win     window
	queue   []*Receipt    // to be written, in order
	lane    *lane         // written to now, or last
	apart   []*Receipt    // in quarantine, or waiting for their turn in it
	left    int           // of them, those whose caller has gone
	open    int           // receipts without an outcome
	over    *Receipt      // traced ones that ended under this hold of the mutex, see unlock
	closed  error         // why no more is taken
	drained chan struct{} // closed when closed and open == 0
}

// Open opens a publisher's channel on l's publishing connection, waiting for
// it until ctx ends. The publisher lives until Close, over every reconnect.
func Open(ctx context.Context, l *link.Link, cfg Config) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Publisher{
		link: l, cfg: cfg,
		kick: make(chan struct{}, 1), ended: make(chan struct{}), drained: make(chan struct{}),
		win: window{maxCount: cfg.Window, maxBytes: cfg.WindowBytes},
	}
	first, err := p.openLane(ctx, cfg.Window)
	if err != nil {
		return nil, err
	}
	lifetime, stop := context.WithCancelCause(context.Background())
	p.stop = stop
	p.observer = newObserver(cfg.OnOutcome)
	go p.run(lifetime, first)
	return p, nil
}

// Publish sends one message and waits for its outcome: nil when confirmed and
// routed, else one of the errors in the package comment. The end of ctx ends
// the wait with *UnsentError or *UnknownError; it disturbs no other message.
// The body and the values in the headers must not change before there is an
// outcome; after an *UnknownError, never, for they may still be sent.
func (p *Publisher) Publish(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	return p.await(ctx, p.enqueue(ctx, exchange, key, msg, p.limits()))
}

// await waits for the outcome; the end of ctx is one.
func (p *Publisher) await(ctx context.Context, r *Receipt) error {
	select {
	case <-r.done:
	case <-ctx.Done():
		p.leave(r, context.Cause(ctx))
		<-r.done
	}
	return r.err
}

// limits are those of a user's message. What a tracer adds is not the user's.
func (p *Publisher) limits() limits {
	lim := limits{p.cfg.MaxHeaderBytes, p.cfg.MaxBodyBytes}
	if p.cfg.Tracer != nil {
		lim.headers = min(lim.headers+tracerRoom, maxCopyHeaders)
	}
	return lim
}

// Send puts one message on its way and does not wait for its answer. It waits
// for a place in the window, and ctx ends that wait; afterwards the end of ctx
// ends the receipt as it would end Publish. On body and headers see Publish.
func (p *Publisher) Send(ctx context.Context, exchange, key string, msg amqp.Publishing) *Receipt {
	return p.send(ctx, exchange, key, msg, p.limits())
}

// Start is Send for middleware that parks or buries copies: it returns either
// the final error of a message that was not sent, or a *PendingError, never
// nil. Copies of what a broker has accepted once are held to frame_max only,
// not to MaxHeaderBytes and MaxBodyBytes.
func (p *Publisher) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	return started(p.send(ctx, exchange, key, msg, limits{headers: maxCopyHeaders}))
}

func started(r *Receipt) error {
	if err := r.Outcome(); err != nil && !errors.Is(err, ErrPending) {
		return err
	}
	return &PendingError{r}
}

func (p *Publisher) send(ctx context.Context, exchange, key string, msg amqp.Publishing, lim limits) *Receipt {
	r := p.enqueue(ctx, exchange, key, msg, lim)
	if ctx.Done() == nil {
		return r
	}
	unhook := context.AfterFunc(ctx, func() { p.leave(r, context.Cause(ctx)) })
	p.mu.Lock()
	defer p.unlock()
	if r.over {
		unhook()
	} else {
		r.unhook = unhook
	}
	return r
}

// enqueue checks the message, waits for a place and hands it to the pump. The
// receipt it returns is already done when the message went no further.
func (p *Publisher) enqueue(ctx context.Context, exchange, key string, msg amqp.Publishing, lim limits) *Receipt {
	r := &Receipt{exchange: exchange, key: key, done: make(chan struct{}), began: p.now()}
	if reason := p.own(ctx, r, &msg); reason != "" {
		return p.abort(r, r.refused(reason))
	}
	return p.enqueueTo(ctx, r, address{exchange, key}, msg, lim)
}

// own gives the message a message-id and headers of its own, and shows it to the tracer.
func (p *Publisher) own(ctx context.Context, r *Receipt, msg *amqp.Publishing) (reason string) {
	if reason = identify(msg); reason != "" {
		return reason
	}
	r.msg.MessageId = msg.MessageId
	msg.Headers = ownHeaders(msg.Headers)
	p.trace(ctx, r, msg)
	return ""
}

// enqueueTo is enqueue for a message with headers of its own, which may go elsewhere
// first: its outcome names where its caller wants it.
func (p *Publisher) enqueueTo(ctx context.Context, r *Receipt, to address, msg amqp.Publishing, lim limits) *Receipt {
	r.to = to
	r.id = p.lastID.Add(1)
	var reason string
	if r.msg, r.size, reason = prepare(to.exchange, to.key, msg, r.id, lim); reason != "" {
		return p.abort(r, r.refused(reason))
	}
	if ctx.Err() != nil {
		return p.abort(r, r.unsent(context.Cause(ctx)))
	}
	if err := p.admit(ctx, r); err != nil {
		return p.abort(r, r.unsent(err))
	}
	return r
}

// admit waits for a place in the window and puts the receipt into the queue.
func (p *Publisher) admit(ctx context.Context, r *Receipt) error {
	p.mu.Lock()
	defer p.unlock()
	if p.closed == nil {
		if wt := p.win.take(r.size); wt != nil {
			began := time.Now()
			placed := p.wait(ctx, wt)
			r.waited = time.Since(began)
			if !placed {
				return cmpErr(p.closed, context.Cause(ctx))
			}
		}
	}
	if p.closed != nil {
		return p.closed
	}
	p.open++
	p.queue = append(p.queue, r)
	p.signal()
	return nil
}

// wait waits, with the mutex released, for a place in the window. False: there
// is none, because ctx ended or the publisher closed.
func (p *Publisher) wait(ctx context.Context, wt *waiter) bool {
	p.mu.Unlock()
	select {
	case <-wt.granted:
	case <-ctx.Done():
	}
	p.mu.Lock()
	select {
	case <-wt.granted:
		if wt.closed {
			return false
		}
		if ctx.Err() != nil || p.closed != nil {
			p.win.release(wt.size)
			return false
		}
		return true
	default:
		p.win.leave(wt)
		return false
	}
}

// leave gives a receipt its end because its caller's ctx has ended. A written
// message keeps its place until the broker answers: the channel is not retired
// under the neighbours for one caller's deadline (R 10).
func (p *Publisher) leave(r *Receipt, cause error) {
	p.mu.Lock()
	defer p.unlock()
	if r.over {
		return
	}
	err := r.unknown(cause)
	if r.sends == 0 {
		err = r.unsent(cause)
	}
	if r.stage == inFlight {
		p.finish(r, err)
		return
	}
	p.answer(r, err)
	if p.left++; p.left > 64 && p.left*2 > len(p.queue) {
		p.queue = slices.DeleteFunc(p.queue, func(q *Receipt) bool { return q.stage == gone })
		p.left = 0
	}
}

// finish gives the outcome to the caller; the place in the window stays.
func (p *Publisher) finish(r *Receipt, err error) {
	r.over, r.err = true, err
	p.observe(r)
	p.tell(r)
	if r.unhook != nil {
		r.unhook()
	}
	if p.open--; p.open == 0 && p.closed != nil {
		close(p.drained)
	}
}

// answer ends a message for good: outcome, if its caller still waits, and place.
func (p *Publisher) answer(r *Receipt, err error) {
	if r.stage == gone {
		return
	}
	if !r.over {
		p.finish(r, err)
	}
	r.stage = gone
	r.msg.Body, r.msg.Headers = nil, nil // a kept receipt must not keep the message
	p.win.release(r.size)
}

// abort ends a receipt that never entered the window. The mutex is not held.
func (p *Publisher) abort(r *Receipt, err error) *Receipt {
	r.over, r.stage, r.err = true, gone, err
	r.msg.Body, r.msg.Headers = nil, nil
	p.observe(r)
	r.end()
	return r
}

// now is the time for Outcome.Took, which nobody asks for without a hook.
func (p *Publisher) now() time.Time {
	if p.observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// observe tells the hook's goroutine of an outcome; it never waits.
func (p *Publisher) observe(r *Receipt) {
	if p.observer != nil {
		p.observer.tell(Outcome{Exchange: r.exchange, Key: r.key, MessageID: r.msg.MessageId, Err: r.err, Took: time.Since(r.began)})
	}
}

// Close takes no more messages, waits until those under way have their outcome
// and OnOutcome has been told, and closes the channel. When ctx ends first, what
// is left becomes unsent or unknown, OnOutcome is called no more, and Close
// returns the cause. A second call waits for the first.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.refuseMore(ErrClosed)
	p.unlock()
	var err error
	select {
	case <-p.drained:
	case <-p.ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.stop(ErrClosed)
	select {
	case <-p.ended:
	case <-ctx.Done(): // the pump may be in a write; its deadline ends it
		p.abandon(ErrClosed)
		select {
		case <-p.ended:
		case <-time.After(closeGrace):
		}
	}
	if hook := p.observer.end(ctx); err == nil {
		err = hook
	}
	return err
}

// closeGrace is what Close allows its goroutine after its ctx has ended.
const closeGrace = 200 * time.Millisecond

// refuseMore makes err the answer to every further message.
func (p *Publisher) refuseMore(err error) {
	if p.closed != nil {
		return
	}
	p.closed = err
	p.win.close()
	if p.open == 0 {
		close(p.drained)
	}
}

// abandon gives every message that is left its end. Of those on a lane the
// places stay until the lane has ended too, which a write may put off.
func (p *Publisher) abandon(cause error) {
	p.mu.Lock()
	defer p.unlock()
	p.refuseMore(cause)
	if p.lane != nil {
		p.settle(p.lane, true)
		p.abandonWritten(p.lane.flight, cause)
	}
	p.abandonWritten(p.apart, cause)
	for _, r := range p.queue {
		if r.sends == 0 {
			p.answer(r, r.unsent(cause))
		} else {
			p.answer(r, r.unknown(cause))
		}
	}
	p.queue, p.left = nil, 0
}

func (p *Publisher) abandonWritten(receipts []*Receipt, cause error) {
	for _, r := range receipts {
		switch {
		case r.over:
		case r.sends == 0:
			p.finish(r, r.unsent(cause))
		default:
			p.finish(r, r.unknown(cause))
		}
	}
}

func (p *Publisher) signal() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ErrClosed
}
