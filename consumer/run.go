package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/notify"
	"github.com/hareline/hareline/link"
)

// stopGrace is what handlers get to return once their ctx has ended, and the
// channel to close.
const stopGrace = 2 * time.Second

// Run consumes until ctx ends, over every reconnect. It returns nil after a
// drain in which every handler returned, else
//
//	*ConfigError     at once
//	*SubscribeError  at once when the first subscription is refused, later after GiveUpAfter
//	*DrainError      when handlers outlast the drain
//	link.ErrClosed   when the link was closed under it
//
// The drain: no handler starts any more, running ones have DrainTimeout, then
// their ctx ends with a cause that has Shutdown() bool; what is finished is
// settled, the rest goes back with the channel, no attempt counted.
func Run(ctx context.Context, l *link.Link, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	handling, stopHandlers := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopHandlers(shutdown{})
	handling = withRun(handling, cfg)
	r := &runner{
		link: l, cfg: cfg, prefetch: cfg.Prefetch,
		jobs: make(chan job), handling: handling, stopHandlers: func() { stopHandlers(shutdown{}) },
		health: notify.New(cfg.OnHealth),
	}
	changed, unwatch := cfg.Control.watch()
	defer unwatch()
	r.changed = changed
	r.obeyPrefetch()
	r.loop, r.watchdog = goroutineID(), newWatchdog(r)
	for range cfg.Workers {
		w := new(worker)
		r.workers = append(r.workers, w)
		r.helpers.Go(func() { r.work(w) })
	}
	r.watchdog.start()
	noted := context.AfterFunc(ctx, r.noteEnd)
	err := r.consume(ctx)
	noted()
	r.noteEnd()
	close(r.jobs)
	if left := r.awaitHandlers(); left > 0 && err == nil {
		err = &DrainError{Queue: cfg.Queue, Running: left}
	}
	r.watchdog.end()
	r.tell(Stopped, err)
	r.health.Close()
	select {
	case <-r.health.Done():
	case <-time.After(stopGrace): // a hook that blocks must not block Run
	}
	return err
}

// RunAll runs several consumers until ctx ends or one of them fails, which
// ends the others; it waits for all and joins their errors.
func RunAll(ctx context.Context, l *link.Link, cfgs ...Config) error {
	if len(cfgs) == 0 {
		return &ConfigError{Field: "Queue", Problem: "is nowhere: there is no consumer", Fix: "give at least one Config"}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(cfgs))
	var all sync.WaitGroup
	for i, cfg := range cfgs {
		all.Go(func() {
			if errs[i] = Run(ctx, l, cfg); errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// runner is one Run: its workers, shared by its sessions one after the other.
type runner struct {
	link         *link.Link
	cfg          Config
	prefetch     int             // what the next session asks for
	obeyed       int             // which setting of the Control's prefetch was last obeyed
	changed      <-chan struct{} // the Control
	toldPaused   bool            // by the Control
	jobs         chan job
	handling     context.Context //nolint:containedctx // the handlers' ctx of one Run, which this value is
	stopHandlers func()
	health       *notify.Queue[Health]
	helpers      sync.WaitGroup // workers, and waits for copies
	endedAt      atomic.Int64   // when the drain began, Unix nanoseconds
	workers      []*worker
	behind       atomic.Int32 // handlers running behind pending errors (Subscription.Begin)
	current      atomic.Pointer[session]
	watchdog     *watchdog
	loop         uint64       // the goroutine of consume
	panics       atomic.Int32 // in a row, outside Recover
	failures     int          // give-backs in a row
	fruitless    int          // sessions in a row that a lost connection ended before anything was settled
	lowered      bool         // a long pause makes the next session ask for no more than Workers
}

// job is one delivery for a worker.
type job struct {
	s *session
	u *delivery
	d amqp.Delivery
}

// text is an error for the log.
func (r *runner) text(err error) string {
	if err == nil {
		return ""
	}
	return r.cfg.Redact(fmt.Sprint(err))
}

func (r *runner) tell(status Status, err error) {
	r.health.Tell(Health{Queue: r.cfg.Queue, Status: status, Err: err, At: time.Now()})
}

// work is one worker. It ends when jobs is closed. A handler that ends its
// goroutine (runtime.Goexit, as t.FailNow does) is replaced.
func (r *runner) work(w *worker) {
	w.goroutine.Store(goroutineID())
	var current *job
	defer func() {
		if current == nil {
			return
		}
		r.finish(w)
		r.cfg.Logger.Error("handler ended its goroutine; message given back", "message_id", current.d.MessageId)
		current.s.report(result{tag: current.d.DeliveryTag, err: errGoexit, handled: true})
		r.helpers.Go(func() { r.work(w) })
	}()
	for j := range r.jobs {
		current = &j
		w.current.Store(j.u)
		err := r.call(w, j)
		current = nil
		r.finish(w)
		j.s.report(result{tag: j.d.DeliveryTag, err: err, handled: true})
	}
}

// finish is the end of a handler's call.
func (r *runner) finish(w *worker) {
	w.current.Store(nil)
	if h := w.stuck.Load(); h != nil {
		w.stuck.Store(nil)
		h.ended.Store(time.Now().UnixNano())
		r.watchdog.rouse()
	}
}

// running counts handlers.
func (r *runner) running() int {
	n := int(r.behind.Load())
	for _, w := range r.workers {
		if w.current.Load() != nil {
			n++
		}
	}
	return n
}

var errGoexit = errors.New("consumer: the handler called runtime.Goexit")

// panicsInARow outside Recover are told as Panicking.
const panicsInARow = 3

// call runs the handler chain. A panic that reaches it came from middleware,
// or from a handler without Recover.
func (r *runner) call(w *worker, j job) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			if r.panics.Swap(0) >= panicsInARow {
				r.tell(Consuming, nil)
			}
			return
		}
		panicked := &PanicError{Value: v, Stack: debug.Stack()}
		r.cfg.Logger.Error("panic outside consumer.Recover; message given back", "message_id", j.d.MessageId, "panic", r.cfg.Redact(fmt.Sprint(v)), "stack", string(panicked.Stack))
		if r.panics.Add(1) == panicsInARow {
			r.tell(Panicking, panicked)
		}
		err = panicked
	}()
	return probed(r.cfg.Handler(w.contextFor(&j), j.d))
}

// noteEnd starts the drain's clock, once.
func (r *runner) noteEnd() { r.endedAt.CompareAndSwap(0, time.Now().UnixNano()) }

// drainBy is when running handlers' ctx ends, DrainTimeout after Run's did.
func (r *runner) drainBy() time.Time {
	r.noteEnd()
	return time.Unix(0, r.endedAt.Load()).Add(r.cfg.DrainTimeout)
}

// awaitHandlers waits for the workers and helpers: until the drain's deadline,
// then, their ctx ended, a little longer. It tells how many handlers did not
// return; their goroutines end when they do.
func (r *runner) awaitHandlers() int {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.helpers.Wait()
	}()
	select {
	case <-done:
		return 0
	case <-time.After(time.Until(r.drainBy())):
	}
	r.stopHandlers()
	select {
	case <-done:
		return 0
	case <-time.After(stopGrace):
		return r.running()
	}
}

// steady is how long a session must last for the next one to start at once: a
// message that kills every session must not make a storm of them.
const steady = 5 * time.Second

// consume holds one session after the other until ctx ends.
func (r *runner) consume(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	var refusedSince time.Time // zero until a subscription has worked and is refused
	first := true
	for n := 1; r.awaitRelease(ctx, &refusedSince); n++ {
		s, err := r.subscribe(ctx, n)
		var refused *SubscribeError
		switch {
		case err == nil:
			first, refusedSince = false, time.Time{}
			r.tellState(Consuming, nil)
			began := time.Now()
			r.current.Store(s)
			r.watchdog.rouse()
			err = s.serve(ctx)
			r.current.Store(nil)
			if time.Since(began) > steady {
				wait.Reset()
			}
			r.weigh(s, err)
			if ctx.Err() != nil || err == nil {
				continue
			}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, link.ErrClosed):
			return fmt.Errorf("consumer: queue %q: %w", r.cfg.Queue, err)
		case errors.As(err, &refused):
			if refusedSince.IsZero() {
				refusedSince = time.Now()
			}
			if first || time.Since(refusedSince) > r.cfg.GiveUpAfter {
				return err
			}
		default: // the link: waiting for it does not count
			refusedSince = time.Time{}
		}
		pause := wait.NextBackOff()
		r.cfg.Logger.Warn("not consuming; subscribing again", "in", pause, "error", err)
		r.tellState(Disconnected, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// patient is how many fruitless sessions in a row make the next one cautious.
const patient = 2

// weigh counts the sessions that brought nothing. A message that the client
// cannot read kills the connection, and each death counts a delivery for all
// that was prefetched: with a prefetch of one it counts for the culprit alone,
// until the delivery limit takes it away.
func (r *runner) weigh(s *session, err error) {
	var closed *link.ClosedError
	lost := errors.As(err, &closed) && closed.Connection
	cautious := s.prefetch == 1 && r.fruitless >= patient
	switch {
	case lost && cautious: // the culprit is still there
	case s.settled > 0:
		r.fruitless = 0
	case lost:
		if r.fruitless++; r.fruitless == patient {
			r.cfg.Logger.Warn("connections are lost before anything is settled; taking one message at a time until one is")
		}
	}
}

// window is the prefetch of the next session.
func (r *runner) window() int {
	switch {
	case r.cfg.FixedPrefetch:
		return r.cfg.Prefetch
	case r.fruitless >= patient:
		return 1
	case r.lowered:
		return min(r.cfg.Workers, r.prefetch)
	}
	return r.prefetch
}

// subscribe opens a session and consumes on it.
func (r *runner) subscribe(ctx context.Context, n int) (*session, error) {
	sess, err := r.link.Session(ctx, link.Consuming)
	if err != nil {
		return nil, err
	}
	prefetch := r.window()
	tag := fmt.Sprintf("%s-%d-%d", r.cfg.Tag, sess.Generation(), n)
	var deliveries <-chan amqp.Delivery
	err = sess.Do(ctx, func(ch *amqp.Channel) error {
		if err := ch.Qos(prefetch, 0, false); err != nil {
			return err
		}
		var err error
		deliveries, err = ch.Consume(r.cfg.Queue, tag, false, r.cfg.Exclusive, false, false, r.cfg.Arguments)
		return err
	})
	if err != nil {
		var refused *amqp.Error
		closed := sess.Err()
		closeSession(sess)
		if errors.As(err, &refused) && refused.Server && isRefusal(refused.Code) {
			return nil, &SubscribeError{Queue: r.cfg.Queue, Err: err}
		}
		return nil, errors.Join(err, closed)
	}
	s := newSession(r, sess, deliveries, prefetch)
	s.tag = tag
	return s, nil
}

// isRefusal tells an answer to our subscription from the end of a connection.
func isRefusal(code int) bool {
	switch code {
	case amqp.AccessRefused, amqp.NotFound, amqp.ResourceLocked, amqp.PreconditionFailed, amqp.NotAllowed, amqp.NotImplemented:
		return true
	}
	return false
}

func closeSession(sess *link.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	_ = sess.Close(ctx) // what it leaves unsettled is redelivered either way
}
