package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/hareline/hareline/internal/notify"
)

// closeGrace bounds the AMQP goodbye of Close; past it the socket is closed.
const closeGrace = 3 * time.Second

// Link is a pair of connections that are made anew, with backoff, whenever
// they are lost, until Close. All methods are safe for many goroutines.
type Link struct {
	cfg       Config
	endpoints []endpoint
	states    *notify.Queue[State]
	slots     [2]slot
	next      [2]int // where each role's next round of endpoints begins
	gen       atomic.Uint64

	stop     context.CancelFunc
	stopping <-chan struct{}
	loops    sync.WaitGroup // the two keep loops

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // client calls and session watchers
}

// slot is where the current connection of one role stands.
type slot struct {
	mu      sync.Mutex
	current *connection
	state   State         // the last one told
	changed chan struct{} // closed and replaced at every change of current
}

// Open connects to a broker that answers (see Config.URLs). It tries, with backoff,
// until ctx ends, and returns sooner only where repeating cannot help: a
// *ConfigError for a bad Config, a *ConnectError with Permanent set when every
// broker refuses the credentials or the vhost. The end of ctx before the
// first connection gives a *ConnectError with the last failure.
//
// Once Open has returned, ctx no longer matters: the link reconnects, through
// refusals too, until Close.
func Open(ctx context.Context, cfg Config) (*Link, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	lifetime, stop := context.WithCancel(context.Background())
	l := &Link{
		cfg: cfg, endpoints: endpoints(cfg.URLs), states: notify.New(cfg.OnState),
		stop: stop, stopping: lifetime.Done(),
	}
	if !cfg.InOrder {
		rand.Shuffle(len(l.endpoints), func(i, j int) { l.endpoints[i], l.endpoints[j] = l.endpoints[j], l.endpoints[i] })
	}
	for i := range l.slots {
		l.slots[i].changed = make(chan struct{})
		l.slots[i].state = State{Role: Role(i), Status: Disconnected, At: time.Now()}
	}
	var first [2]*connection
	for i := range first {
		c, err := l.dial(ctx, Role(i), l.backoff(), true)
		if err != nil {
			if first[0] != nil {
				first[0].close(time.Now().Add(closeGrace))
			}
			stop()
			l.states.Close()
			return nil, err
		}
		first[i] = c
		l.slots[i].note(State{At: time.Now(), Role: Role(i), Status: Connected, Server: c.server})
		l.next[Consuming] = l.next[Publishing] // both on one broker, as far as it goes
	}
	for i, c := range first {
		l.slots[i].set(c) // for calls that come before the goroutine runs
		l.loops.Go(func() { l.keep(lifetime, Role(i), c) })
	}
	return l, nil
}

// dial goes round the endpoints until one answers. With first set it gives up
// when all of them refuse for good.
func (l *Link) dial(ctx context.Context, role Role, wait backoff.BackOff, first bool) (*connection, error) {
	refusals := 0 // in a row
	for attempt := 1; ; attempt++ {
		c, failed := l.round(ctx, role)
		if failed == nil {
			return c, nil
		}
		if failed.Permanent {
			refusals++
		} else {
			refusals = 0
		}
		if first && refusals > 0 && (!failed.doubtful || refusals >= convinced) || ctx.Err() != nil {
			return nil, failed
		}
		l.slots[role].failed(failed)
		pause := wait.NextBackOff()
		l.cfg.Logger.Warn("cannot connect to RabbitMQ; trying again", "role", role, "attempt", attempt, "in", pause, "error", failed)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, failed
		}
	}
}

func (l *Link) backoff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(l.cfg.ReconnectMin), backoff.WithMaxInterval(l.cfg.ReconnectMax),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))
}

// convinced is how many doubtful refusals in a row are believed.
const convinced = 3

// goOn has the next round begin with the endpoint behind the last one: what has
// just been lost may be gone for long, and to find that out takes time.
func (l *Link) goOn(role Role) {
	l.next[role]++
	if l.cfg.InOrder {
		l.next[role] = 0
	}
}

// round tries each endpoint once. Its error is permanent only when all are,
// and free of doubt only when all are.
func (l *Link) round(ctx context.Context, role Role) (*connection, *ConnectError) {
	var last *ConnectError
	n := len(l.endpoints)
	begin := l.next[role]
	for i := range n {
		at := (begin + i) % n
		c, err := l.connect(ctx, role, l.endpoints[at])
		if err == nil {
			l.next[role] = at
			return c, nil
		}
		var failed *ConnectError
		if errors.As(err, &failed) && (last == nil || last.Permanent && (!failed.Permanent || failed.doubtful)) {
			last = failed
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// keep holds one role's connection: watch it, and when it is gone, dial again:
// at once if it had lived for ReconnectMax, else with the backoff going on, for
// something may kill every connection as soon as it is there.
func (l *Link) keep(ctx context.Context, role Role, c *connection) {
	wait := l.backoff()
	for {
		began := time.Now()
		l.slots[role].set(c)
		if ctx.Err() != nil { // Close looked at the slot before c was in it
			c.close(time.Now().Add(closeGrace))
		}
		l.cfg.Logger.Info("connected to RabbitMQ", "server", c.server, "role", role)
		l.tell(State{At: time.Now(), Role: role, Status: Connected, Server: c.server})
		if l.cfg.Credentials != nil {
			current := c // c is another one when this one is gone
			l.spawn(func() { current.renew(ctx, role) })
		}
		c.watch(role)
		l.slots[role].set(nil)
		if ctx.Err() != nil {
			l.tell(State{At: time.Now(), Role: role, Status: Closed, Server: c.server})
			return
		}
		l.cfg.Logger.Warn("connection to RabbitMQ lost; reconnecting", "server", c.server, "role", role, "error", c.err)
		l.tell(State{At: time.Now(), Role: role, Status: Disconnected, Server: c.server, Err: c.err})
		if time.Since(began) >= l.cfg.ReconnectMax {
			wait.Reset()
		} else {
			select {
			case <-time.After(wait.NextBackOff()):
			case <-ctx.Done():
			}
		}
		l.goOn(role)
		next, err := l.dial(ctx, role, wait, false)
		if err != nil { // only when ctx ended
			l.tell(State{At: time.Now(), Role: role, Status: Closed})
			return
		}
		c = next
	}
}

// Session opens a channel on the connection of that role, waiting for the
// connection until ctx ends, and for a channel where Config.MaxChannels is set
// and so many are in use (the log tells of that). The caller owns the session
// and closes it. Errors: ErrClosed after Close, a *UnavailableError when ctx
// ends first; both that and the error without MaxChannels hold
// amqp.ErrChannelMax where all channels were in use.
func (l *Link) Session(ctx context.Context, role Role) (*Session, error) {
	var last error
	for {
		c, changed := l.slots[role].get()
		if c != nil {
			s, err := c.session(ctx, role, l.gen.Add(1))
			if err == nil {
				return s, nil
			}
			last = err
			if !c.amqp.IsClosed() && ctx.Err() == nil {
				return nil, fmt.Errorf("link: open a channel on the %s connection to %s: %w", role, c.server, err)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &UnavailableError{Role: role, Err: errors.Join(context.Cause(ctx), last)}
		case <-l.stopping:
			return nil, ErrClosed
		}
	}
}

// UnavailableError tells that no connection, or no channel on it, could be had
// before the caller's ctx ended. Nothing was sent.
type UnavailableError struct {
	Role Role
	Err  error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("link: no channel on a %s connection in time: %v", e.Role, e.Err)
}

// Unwrap returns the cause, the ctx's among it.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Done is closed when Close is called: from then on there are no sessions.
func (l *Link) Done() <-chan struct{} { return l.stopping }

// Close says goodbye to the broker, closes both sockets and waits for the
// link's goroutines. It returns within 5 s, or shortly after ctx has ended,
// whatever the broker does; a second call returns nil. What was
// unacknowledged is redelivered, what was unconfirmed is unknown: close
// consumers and publishers first.
func (l *Link) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.stop()

	deadline := time.Now().Add(closeGrace)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	var closing sync.WaitGroup
	for i := range l.slots {
		if c, _ := l.slots[i].get(); c != nil {
			closing.Go(func() { c.close(deadline) })
			cut := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
			defer cut()
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		closing.Wait()
		l.loops.Wait()
		l.calls.Wait()
		l.states.Close()
		<-l.states.Done()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	case <-time.After(closeGrace + time.Second):
	}
	select {
	case <-ended:
		return nil
	case <-time.After(500 * time.Millisecond): // the sockets are closed: all ends now
		return fmt.Errorf("link: Close: sockets are closed, but a call or a state hook has not returned: %w", errors.Join(context.Cause(ctx), errSlowHook))
	}
}

var errSlowHook = errors.New("look for an OnState hook or a call that blocks")

// spawn runs f in a goroutine that Close waits for; false after Close.
func (l *Link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.calls.Go(f)
	return true
}

// State is the present state of one connection: for a health check, or to see
// which broker it is connected to. While it is [Disconnected], Err is how the
// last attempt failed. [Unblocked] is connected too.
func (l *Link) State(role Role) State {
	s := &l.slots[role]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// tell notes a state and tells the user's hook.
func (l *Link) tell(state State) {
	l.slots[state.Role].note(state)
	l.states.Tell(state)
}

func (s *slot) note(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// failed notes how an attempt to connect failed.
func (s *slot) failed(err *ConnectError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Err, s.state.Server = err, err.Server
}

func (s *slot) set(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = c
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *slot) get() (*connection, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}
