package monitor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/notify"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// Probe sends a message through a delay ladder, now and then, and measures how much
// later than due it comes back. At-least-once dead-lettering holds what its target does
// not take, and no count over AMQP shows that (H 6): messages that wait for their retry
// stand still, and every queue looks empty. The management API's numbers do, where
// statistics are on (F 36), and so does Monitor.
//
// A probe passes the levels of its Delay (see [Probe.Levels]) and no others, and comes to
// a queue of its own. So it shows a level that stands, is missing or bound to nothing, but
// not a level it does not pass, nor a target queue that takes nothing before that has used
// up the 32 places of a level's dead-letter worker: from then on that level stands for
// everybody. Probes of other delays, on one link, cover other levels.
//
// It gets in nobody's way: one message is on the ladder at a time, and while none comes
// back, others follow at intervals that double. Its queue is exclusive, drops what it has
// no place for, and is gone with its connection. What then still comes out of the ladder
// ends in a small queue that all probes of a ladder share (see [ProbeTopology]), and not
// among the unclaimed messages. Two cases are left: a probe that comes to a level whose
// queue or binding was deleted meanwhile lies in the ladder's unclaimed queue, its Type
// "hareline.probe"; and where the shared queue was deleted, so does a probe whose process
// has gone. And where that queue alone has lost its majority, each probe keeps one of a
// level's places: have a Monitor watch it, as any queue.
//
// Probes are in no count of published or consumed messages but the broker's own, of the
// ladder. All methods are safe for concurrent use.
type Probe struct {
	link    *link.Link
	cfg     ProbeConfig
	way     way
	metrics *probeMetrics
	kick    chan struct{} // something has changed

	mu      sync.Mutex
	running bool
	course  course
	number  uint64        // of the last probe
	inbox   *link.Session // nil while the probe's queue is not consumed
	queue   string        // its name
	lost    error         // why it is not
	absent  time.Time     // when to tell, next, that it is not
	told    *notify.Queue[LadderLag]
	logs    []func() // to be written once the mutex is free
}

// way is the way of a probe's messages.
type way struct {
	exchange, key string        // where they are published
	delay         time.Duration // what the ladder makes of ProbeConfig.Delay
	levels        []string      // the queues on the way
	due           string        // the exchange at the end
	pattern       string        // binds the probe's own queue to it
	sink          string        // the queue that all probes of the ladder share
	id            string
}

// OpenProbe checks the configuration, and that the broker lets this process probe the
// ladder: the ladder is there (declare it first), the shared queue is or can be made, and
// a queue of the probe's own can be consumed. Nothing is sent before Run, and nothing
// stays open: a Probe that is not run needs no Close. It ends with ctx.
//
// Errors: *ProbeConfigError; those of [topology.Declare], for the ladder and the shared
// queue; *ProbeError for the probe's own queue. [ProbePermissions] are the rights it needs.
func OpenProbe(ctx context.Context, l *link.Link, cfg ProbeConfig) (*Probe, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Probe{link: l, cfg: cfg, way: newWay(cfg), kick: make(chan struct{}, 1)}
	p.course = course{every: cfg.Every, limit: cfg.Limit, delay: p.way.delay}
	var err error
	if p.metrics, err = newProbeMetrics(cfg.MeterProvider, cfg.Ladder, p.way.delay); err != nil {
		return nil, err
	}
	present := cfg.Ladder
	present.External = true // looked at, not made: a ladder that nobody uses would look fine
	if err := topology.Declare(ctx, l, topology.Topology{Ladders: []topology.Ladder{present}}); err != nil {
		return nil, err
	}
	if err := topology.Declare(ctx, l, ProbeTopology(cfg.Ladder)); err != nil {
		return nil, err
	}
	s, _, _, err := p.subscribe(ctx)
	if err != nil {
		return nil, p.failure(reasonOf(err), "open its queue", err)
	}
	closeSession(s)
	return p, nil
}

func newWay(cfg ProbeConfig) way {
	w := way{sink: probeName(cfg.Ladder), due: cfg.Ladder.Due(), id: uuid.NewString()}
	w.exchange, w.key, w.delay = cfg.Ladder.Park(w.sink, cfg.Delay)
	w.key += "." + w.id
	w.pattern = cfg.Ladder.Binding(w.sink).Key + "." + w.id
	for _, k := range levelsOf(w.delay) {
		w.levels = append(w.levels, levelQueue(cfg.Ladder, k))
	}
	return w
}

// Levels are the levels that the probe's messages pass, the highest first: those of the
// bits of its delay in units of 100 ms. 1.5 s passes 3, 2, 1 and 0; 24 s passes 7 to 4.
func (p *Probe) Levels() []int { return levelsOf(p.way.delay) }

// Run probes at once, and then about every ProbeConfig.Every, until ctx ends: nil then. It
// goes on over every reconnect, and while the ladder stands. Other errors: link.ErrClosed,
// and *ProbeError for a Probe that runs already. It returns within a few seconds, its
// queue deleted; a message that is on the ladder then goes to the shared queue.
func (p *Probe) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !p.begin() {
		return p.failure(ProbeStopped, "run", errRunsAlready)
	}
	defer p.end()
	unobserve, err := p.metrics.observe(p.Lag)
	if err != nil {
		return err
	}
	defer unobserve()
	var receiver sync.WaitGroup
	defer receiver.Wait()
	receiver.Go(func() { stop(p.receive(ctx)) })
	for p.wait(ctx) {
		p.round(ctx)
	}
	if err := context.Cause(ctx); errors.Is(err, link.ErrClosed) {
		return p.failure(ProbeDisconnected, "run", err)
	}
	return nil
}

var errRunsAlready = errors.New("it runs already: open another Probe, or wait for the other Run")

func (p *Probe) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return false
	}
	p.running, p.absent = true, time.Now().Add(p.cfg.Limit)
	p.told = notify.New(p.cfg.OnLag)
	return true
}

// hookGrace is how long Run waits for a hook that blocks.
const hookGrace = 2 * time.Second

func (p *Probe) end() {
	p.mu.Lock()
	p.running = false
	p.inbox, p.queue, p.lost = nil, "", nil // another Run has its own
	p.course.interrupted()
	told := p.told
	p.mu.Unlock()
	told.Close()
	select {
	case <-told.Done():
	case <-time.After(hookGrace):
	}
}

// Lag is what the probe knows now. It does not block.
func (p *Probe) Lag() LadderLag {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lag(time.Now())
}

// lag needs the mutex.
func (p *Probe) lag(now time.Time) LadderLag {
	l := p.course.lag(now)
	l.Ladder, l.Delay = p.cfg.Ladder, p.way.delay
	if !p.running && l.OverdueSince.IsZero() {
		l.Err = p.failure(ProbeStopped, "measure", errNotRunning)
	}
	return l
}

var errNotRunning = errors.New("Run does not run")

// wait waits until the next round is due, and tells meanwhile of probes that do not come
// back. False: ctx has ended.
func (p *Probe) wait(ctx context.Context) bool {
	for ctx.Err() == nil {
		now := time.Now()
		p.mu.Lock()
		p.markOverdue(now)
		wake, send := p.course.next(now)
		if p.inbox == nil && send {
			p.tellAbsent(now)
			wake, send = p.absent, false
		}
		p.unlock()
		if send {
			return true
		}
		timer := time.NewTimer(wake.Sub(now))
		select {
		case <-ctx.Done():
		case <-p.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
	return false
}

// tellAbsent tells, once for each round that cannot be made, that nobody would take the
// probe. It needs the mutex.
func (p *Probe) tellAbsent(now time.Time) {
	if now.Before(p.absent) {
		return
	}
	p.absent = now.Add(p.cfg.Every)
	err := p.lost
	if err == nil {
		err = errNoInbox
	}
	p.failed(p.failure(reasonOf(err), consumesOwn, err), now)
}

// markOverdue needs the mutex.
func (p *Probe) markOverdue(now time.Time) {
	if p.course.overdue(now) {
		p.failed(p.failure(ProbeOverdue, "come back", errOverdue), now)
	}
}

var errOverdue = errors.New("it has not come back: a level holds its messages, because targets that are full take up its places, or a binding of the ladder is missing; make room in the targets, or declare the ladder again")

// failed notes a failure, counts and tells it, and logs it when it is another one than
// before. It needs the mutex.
func (p *Probe) failed(err *ProbeError, now time.Time) {
	another := p.course.failed(err, now)
	p.metrics.failed(err.Reason)
	if another {
		p.logs = append(p.logs, func() {
			p.cfg.Logger.Warn("monitor: the delay ladder is not measured, or it stands", slog.Any("error", err))
		})
	}
	p.told.Tell(p.lag(now))
}

// failure is an error of this probe.
func (p *Probe) failure(reason ProbeReason, doing string, err error) *ProbeError {
	return &ProbeError{Ladder: p.cfg.Ladder, Delay: p.way.delay, Reason: reason, Doing: doing, Err: err}
}

// arrived takes a message of the probe's queue.
func (p *Probe) arrived(d amqp.Delivery) {
	number, ok := p.way.number(d)
	if !ok {
		return // anybody's who knows the key
	}
	now := time.Now()
	p.mu.Lock()
	defer p.unlock()
	before := p.course.err
	if !p.course.arrived(number, now) {
		return // the second copy of one, or one that was given up
	}
	if before != nil && p.course.err == nil {
		lag := p.course.last
		p.logs = append(p.logs, func() {
			p.cfg.Logger.Info("monitor: the delay ladder works again", "ladder", p.cfg.Ladder.Due(), "lag", lag)
		})
	}
	p.told.Tell(p.lag(now))
	p.signal()
}

// unlock frees the mutex, and then logs: a Logger that blocks, or asks for Lag, must not
// hold up Lag.
func (p *Probe) unlock() {
	logs := p.logs
	p.logs = nil
	p.mu.Unlock()
	for _, write := range logs {
		write()
	}
}

func (p *Probe) signal() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}
