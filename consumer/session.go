package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/link"
)

// session is one subscription on one channel, from basic.consume to its end.
// One goroutine, serve, owns everything in it and sends every settle; workers,
// pending copies and repeated ones report to it.
type session struct {
	r          *runner
	sess       *link.Session
	tag        string // the consumer's
	began      time.Time
	deliveries <-chan amqp.Delivery
	results    chan result
	ended      chan struct{}   // serve has returned: nobody reads results
	sub        *Subscription   // what handlers see of this
	handling   context.Context //nolint:containedctx // the handlers' ctx, with sub in it
	lifetime   context.Context //nolint:containedctx // ends with this session; helpers work under it

	ledger   ledger
	acks     []ack // scratch
	open     map[uint64]*delivery
	waiting  []*delivery // not started, oldest first
	later    []*delivery // postponed by middleware
	laterAt  time.Time   // when the first of them is due; they may be as many as the prefetch
	running  int         // with a worker
	begun    *delivery   // the one that a worker got last, until that is noted
	awaiting int         // with a copy under way
	giveBack []*delivery
	hold     hold
	aside    []*delivery // can be neither copied nor rejected safely
	held     bool        // by the Control
	freeAt   time.Time   // when the last pause of any kind ended

	prefetch int
	settled  int              // deliveries
	stopping bool             // no handler starts any more
	retireBy <-chan time.Time // when a session that is replaced ends all the same
	failed   error
}

// delivery is one unsettled delivery.
type delivery struct {
	d        amqp.Delivery
	at       time.Time
	began    atomic.Int64 // when a worker got it, Unix nanoseconds; a moment later than that
	deadline atomic.Int64 // of its ctx, while it has one of Timeout
	again    verdict.Again
	backAt   time.Time // when it is given back, or waits for a worker again
	waits    int       // for copies, one after the other
}

// result is what became of a handler call, a pending copy or a repeated one.
type result struct {
	tag     uint64
	err     error
	handled bool // from a worker
	probe   bool // the answer to a repeat
}

func newSession(r *runner, sess *link.Session, deliveries <-chan amqp.Delivery, prefetch int) *session {
	ended := make(chan struct{})
	sub := &Subscription{stopping: make(chan struct{}), ended: ended, asked: make(chan struct{}, 1), run: r}
	return &session{
		r: r, sess: sess, began: time.Now(), deliveries: deliveries, prefetch: prefetch,
		results: make(chan result, prefetch), ended: ended,
		sub: sub, handling: settlement.With(context.WithValue(r.handling, subscriptionKey{}, sub), settlements{sub}),
		open: make(map[uint64]*delivery, prefetch),
	}
}

// report hands a result to serve; when the session has ended it is void: the
// message is redelivered.
func (s *session) report(res result) {
	select {
	case s.results <- res:
	case <-s.ended:
		s.r.cfg.Logger.Warn("result of an ended session dropped; the message will be redelivered", "delivery_tag", res.tag, "error", s.r.text(res.err))
	}
}

// serve runs the session until it is lost (its cause is returned), until it
// wants to be replaced (nil), or until ctx has ended and the drain is over.
func (s *session) serve(ctx context.Context) error {
	lifetime, end := context.WithCancel(s.r.handling)
	s.lifetime = lifetime
	defer func() {
		s.beginStop()
		close(s.ended)
		s.sub.watched.end()
		end()
		closeSession(s.sess)
	}()
	age := time.NewTicker(max(s.r.cfg.ConsumerTimeout/16, time.Millisecond))
	defer age.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ending := ctx.Done()
	var deadline <-chan time.Time
	s.obey()
	for {
		if over, err := s.over(ctx); over {
			return err
		}
		jobs, next := s.next()
		now := time.Now()
		s.noteBegun(now)
		timer.Reset(s.untilDue(now))
		select {
		case jobs <- next:
			s.waiting = s.waiting[1:]
			s.running++
			s.begun = next.u
		case d, ok := <-s.deliveries:
			if !ok {
				return s.lost(ctx)
			}
			s.take(d)
		case res := <-s.results:
			s.handle(res)
			s.flush()
		case <-timer.C:
			s.due()
		case <-age.C:
			s.checkAge()
		case <-s.r.changed:
			s.obey()
		case <-s.sub.asked:
			s.answer()
		case <-ending:
			ending = nil
			s.beginStop()
			deadline = time.After(time.Until(s.r.drainBy()))
		case <-deadline:
			deadline = nil
			s.r.stopHandlers()
			s.retireBy = time.After(stopGrace)
		case <-s.retireBy:
			return nil
		case <-s.sess.Done():
			return s.lost(ctx)
		}
	}
}

// over tells whether the session has come to its end, and its cause.
func (s *session) over(ctx context.Context) (bool, error) {
	switch {
	case s.failed != nil:
		return true, s.why(s.failed)
	case s.finished():
		return true, nil
	case isClosed(s.sess.Done()): // what the client still has buffered is void
		return true, s.lost(ctx)
	}
	return false, nil
}

// finished tells whether a stopping session has nothing left to wait for.
func (s *session) finished() bool {
	return s.stopping && s.running == 0 && s.awaiting == 0 && s.hold.probing == 0 && len(s.results) == 0
}

// lost gives the reason of the session's end. A consumer that the broker
// cancelled (its queue deleted) ends with no error on the channel (H 8.3).
func (s *session) lost(ctx context.Context) error {
	s.beginStop()
	if ctx.Err() != nil {
		return s.drainLost()
	}
	return s.why(errCancelled)
}

// why is the reason of the session's end, which the client tells a moment after
// its first signs; without an end, sign itself.
func (s *session) why(sign error) error {
	select {
	case <-s.sess.Done():
		return s.sess.Err()
	case <-time.After(cancelGrace):
		return sign
	}
}

// cancelGrace is how long a closed deliveries channel, or a settle that could
// not be written, may be the first sign of a dying session before it is taken
// for a cancel, or a failure of its own.
const cancelGrace = 100 * time.Millisecond

// drainLost waits for running handlers of a session that was lost while it
// drained: they have the same deadline, though their messages come back.
func (s *session) drainLost() error {
	deadline := time.After(time.Until(s.r.drainBy()))
	for s.running > 0 {
		select {
		case res := <-s.results:
			if res.handled {
				s.running--
			}
		case <-deadline:
			return nil
		}
	}
	return nil
}

var errCancelled = errors.New("consumer: cancelled by the broker: its queue was deleted or moved")

// take enters a delivery. All are taken as they come, so that their age is
// known; the prefetch bounds them.
func (s *session) take(d amqp.Delivery) {
	now := time.Now()
	s.ledger.deliver(d.DeliveryTag)
	u := &delivery{d: d, at: now}
	s.open[d.DeliveryTag] = u
	s.waiting = append(s.waiting, u)
	s.warnOfReturns(d)
}

// warnOfReturns makes a message that keeps coming back known before the
// delivery limit moves it to the dead-letter queue unhandled (R 6).
func (s *session) warnOfReturns(d amqp.Delivery) {
	if !d.Redelivered {
		return
	}
	if n, ok := d.Headers["x-delivery-count"].(int64); ok && n >= 10 && n%10 == 0 {
		s.r.cfg.Logger.Warn("message was delivered many times without being settled; at the queue's delivery limit the broker dead-letters it",
			"message_id", d.MessageId, "delivery_count", n)
	}
}

// next gives the delivery to hand to a worker, or a nil channel for none: the
// session is stopping, is held by the Control, or copies cannot be stored, so
// that more failures would only pile up.
func (s *session) next() (chan<- job, job) {
	if s.stopping || len(s.waiting) == 0 || s.hold.paused || s.r.cfg.Control.load().held() {
		return nil, job{}
	}
	u := s.waiting[0]
	return s.r.jobs, job{s: s, u: u, d: u.d}
}

// handle applies one result.
func (s *session) handle(res result) {
	switch {
	case res.handled:
		s.running--
	case res.probe:
		s.hold.probing--
	default:
		s.awaiting--
	}
	u, ok := s.open[res.tag]
	if !ok {
		return
	}
	switch next := decide(res.err); next {
	case doAck:
		s.r.failures = 0
		s.ledger.finish(res.tag)
		s.noteSettled()
		s.sub.watched.noteAck(res.tag)
		s.close(res.tag)
	case doAwait:
		s.await(u, res)
	case doHold:
		s.keep(u, res)
	case doReject, doHoldAside:
		s.reject(u, res.err, next == doReject)
	case doGiveBack:
		s.returnLater(u, res.err)
	case doPostpone:
		s.postpone(u, res.err)
	}
	s.resume(res)
}

func (s *session) close(tag uint64) { delete(s.open, tag) }

// await waits for a copy's outcome in a goroutine, for Outcome may go on to
// publish and wait itself.
func (s *session) await(u *delivery, res result) {
	if u.waits++; u.waits > maxWaits {
		s.returnLater(u, fmt.Errorf("%w: %w", errNoOutcome, res.err))
		return
	}
	p, _ := verdict.AsPending(res.err)
	s.awaiting++
	tag := u.d.DeliveryTag
	s.r.helpers.Go(func() {
		if err := s.outcome(p); !errors.Is(err, errEnded) {
			s.report(result{tag: tag, err: err})
		}
	})
}

// maxWaits is how many pending errors in a row are waited for: an outcome that
// is the same pending error again would be asked for ever.
const maxWaits = 100

var errNoOutcome = errors.New("consumer: a pending error's outcome is pending again and again")

// outcome waits for p. Asking it may run user code, whose panic is its outcome.
func (s *session) outcome(p verdict.Pending) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	select {
	case <-p.Done():
		return probed(p.Outcome())
	case <-s.ended:
		return errEnded
	}
}

// flush sends the acks of all that has finished, after taking in what else has
// been reported meanwhile.
func (s *session) flush() {
	for range len(s.results) {
		s.handle(<-s.results)
	}
	s.acks = s.ledger.acks(s.acks[:0])
	var began time.Time
	if len(s.sub.watched.acked) > 0 {
		began = time.Now()
	}
	for _, a := range s.acks {
		s.sent(s.sess.Channel().Ack(a.tag, a.multiple))
	}
	s.sub.watched.tellAcks(began, s.failed)
}

// noteSettled ends the caution after fruitless sessions or a long pause once
// as many have been settled as a session without caution would take: the next
// one is such a session.
func (s *session) noteSettled() {
	s.settled++
	if s.hold.paused {
		return
	}
	s.r.lowered = false
	if s.prefetch < s.r.prefetch && s.settled >= s.r.prefetch {
		s.retire()
	}
}

// retire ends the session once its running handlers have returned, or after
// DrainTimeout: one that is stuck must not stop the others for ever.
func (s *session) retire() {
	if !s.stopping {
		s.beginStop()
		s.retireBy = time.After(s.r.cfg.DrainTimeout)
	}
}

// sent notes a settle that could not be written: the session is as good as
// lost, and everything unsettled on it comes back.
func (s *session) sent(err error) {
	if err != nil && s.failed == nil {
		s.failed = err
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
