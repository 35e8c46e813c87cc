package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hareline/hareline/internal/notify"
)

// watchdog looks at one Run from a goroutine of its own, which goes on while the
// consumer is disconnected, and while it drains.
type watchdog struct {
	r      *runner
	cfg    WatchdogConfig
	events *notify.Queue[WatchdogEvent]
	wake   chan struct{} // a session began, or a stuck handler returned
	stop   context.CancelFunc
	done   chan struct{}

	// The rest is its goroutine's own.
	stuck     []*stuckHandler
	deafSince time.Time // the consumer's loop does not answer
	session   *session  // that was looked at last
	presence  presence
	delivered uint64 // at the last look
	knownAt   time.Time
	forgotten bool // told
	failing   bool // looks; told
	unlisted  bool // told
	growth    growth
	unsettled bool // told
}

// newWatchdog makes that of r, which has none where it is off.
func newWatchdog(r *runner) *watchdog {
	if r.cfg.Watchdog.Off {
		return nil
	}
	return &watchdog{
		r: r, cfg: r.cfg.Watchdog, events: notify.New(r.cfg.Watchdog.OnEvent),
		wake: make(chan struct{}, 1), done: make(chan struct{}), knownAt: time.Now(),
	}
}

// start has it look, until end.
func (w *watchdog) start() {
	if w == nil {
		return
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
}

// end waits for its goroutine and for its events to be told.
func (w *watchdog) end() {
	if w == nil {
		return
	}
	w.stop()
	patience := time.After(stopGrace) // a hook that blocks must not block Run
	select {
	case <-w.done:
	case <-patience:
	}
	w.events.Close()
	select {
	case <-w.events.Done():
	case <-patience:
	}
}

// rouse has it look at once at what cannot wait.
func (w *watchdog) rouse() {
	if w == nil {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watchdog) run(ctx context.Context) {
	// The consumers of a process do not all look at once.
	next := time.NewTimer(w.cfg.Every/2 + rand.N(w.cfg.Every/2+1)) //nolint:gosec // no secret
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			w.noteReturns()
			w.noteAnswer() // it is the loop that ended this
			return
		case <-w.wake:
			w.noteReturns()
			w.learn(ctx)
		case <-next.C:
			next.Reset(w.cfg.Every)
			w.noteReturns()
			w.findStuck()
			w.lookAtSession(ctx)
		}
	}
}

// lookAtSession looks at the session that is consuming, if there is one.
func (w *watchdog) lookAtSession(ctx context.Context) {
	s := w.r.current.Load()
	w.turnTo(s)
	if s == nil {
		return
	}
	c, ok := w.count(ctx, s)
	if !ok {
		return
	}
	w.noteGrowth(c)
	w.lookAtBroker(ctx, s, c)
}

// turnTo forgets what was seen of another session.
func (w *watchdog) turnTo(s *session) {
	if s == w.session {
		return
	}
	w.session, w.delivered, w.presence.missing = s, 0, 0
	w.growth = growth{since: time.Now()}
	w.endUnsettled()
}

// count asks the session's own goroutine for what it has; false when the session
// starts nothing any more, or does not answer.
func (w *watchdog) count(ctx context.Context, s *session) (census, bool) {
	reply := make(chan census, 1)
	s.sub.toCount.Store(&reply)
	s.sub.rouse()
	patience := time.NewTimer(w.cfg.Every)
	defer patience.Stop()
	select {
	case c := <-reply:
		w.noteAnswer()
		return c, !isClosed(s.sub.stopping)
	case <-s.sub.stopping:
	case <-ctx.Done():
	case <-patience.C:
		w.noteDeaf()
	}
	return census{}, false
}

// noteDeaf tells of a loop that does nothing: writes have a deadline, so that it can
// only be in code that is not ours.
func (w *watchdog) noteDeaf() {
	if !w.deafSince.IsZero() {
		return
	}
	w.deafSince = time.Now().Add(-w.cfg.Every)
	stack := stacks(w.r.loop)[w.r.loop]
	w.r.cfg.Logger.Error("the consumer's loop is held up: nothing is handed to workers and nothing settled", "stack", stack)
	w.tell(WatchdogEvent{Finding: Stuck, For: w.cfg.Every, Since: w.deafSince, Stack: stack})
}

func (w *watchdog) noteAnswer() {
	if w.deafSince.IsZero() {
		return
	}
	since := w.deafSince
	took := time.Since(since)
	w.deafSince = time.Time{}
	w.r.cfg.Logger.Info("the consumer's loop goes on", "after", took)
	w.tell(WatchdogEvent{Finding: Stuck, Over: true, For: took, Since: since})
}

func (w *watchdog) tell(e WatchdogEvent) {
	e.Queue, e.At = w.r.cfg.Queue, time.Now()
	w.events.Tell(e)
}
