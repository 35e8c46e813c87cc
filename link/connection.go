package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// connection is one TCP connection from its handshake to its end.
type connection struct {
	link   *Link
	amqp   *amqp.Connection
	raw    net.Conn
	server string
	inUse  chan struct{} // one for each channel
	gate   *gate
	secret *secret
	closes chan *amqp.Error
	blocks chan amqp.Blocking
	gone   chan struct{} // closed when watch returns
	err    error         // valid once watch returned
}

// connect dials one endpoint. It ends with ctx: the socket is closed under the
// handshake then.
func (l *Link) connect(ctx context.Context, role Role, to endpoint) (*connection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.DialTimeout, errors.New("timed out"))
	defer cancel()
	fail := func(err error) *ConnectError {
		if ctx.Err() != nil {
			err = timedOut(ctx, err)
		}
		permanent, sure := isPermanent(err)
		return &ConnectError{Server: to.name, Permanent: permanent, Err: err, doubtful: permanent && !sure}
	}
	asked, err := l.ask(ctx)
	if err != nil {
		return nil, fail(err)
	}
	var secure *tls.Config
	if to.secure() {
		if secure, err = to.tls(l.cfg.TLS); err != nil {
			return nil, fail(err)
		}
	}
	sasl, err := to.sasl(asked, secure)
	if err != nil {
		return nil, fail(err)
	}
	d := &dialing{cfg: l.cfg, secure: secure}
	stop := context.AfterFunc(ctx, d.close)
	defer stop()
	conn, err := amqp.DialConfig(to.url, amqp.Config{
		Heartbeat:  l.cfg.Heartbeat,
		Properties: l.cfg.properties(role),
		SASL:       sasl,
		Dial:       func(network, addr string) (net.Conn, error) { return d.dial(ctx, network, addr) },
	})
	if err != nil {
		if d.tap != nil {
			err = d.tap.explain(err)
		}
		d.close()
		failed := fail(err)
		failed.external = external(sasl)
		return nil, failed
	}
	d.tap.open.Store(true)
	return &connection{
		link: l, amqp: conn, raw: *d.raw.Load(), server: to.name, gate: newGate(),
		inUse:  make(chan struct{}, l.channels(conn)),
		secret: newSecret(asked), gone: make(chan struct{}),
		closes: conn.NotifyClose(make(chan *amqp.Error, 1)),
		blocks: conn.NotifyBlocked(make(chan amqp.Blocking, 8)),
	}, nil
}

// dialing is one attempt's way from nothing to a socket, with TLS where asked.
type dialing struct {
	cfg    Config
	secure *tls.Config
	raw    atomic.Pointer[net.Conn]
	tap    *tap
}

func (d *dialing) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.cfg.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.raw.Store(&c)
	if ctx.Err() != nil { // close may have come too early
		_ = c.Close()
		return nil, context.Cause(ctx)
	}
	var socket net.Conn = &deadlineConn{Conn: c, timeout: d.cfg.WriteTimeout}
	if d.secure != nil {
		client := tls.Client(socket, d.secure)
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, notTLS(err)
		}
		socket = client
	}
	d.tap = &tap{Conn: socket, ended: make(chan struct{})}
	return d.tap, nil
}

// close closes the socket, if there is one.
func (d *dialing) close() {
	if c := d.raw.Load(); c != nil {
		_ = (*c).Close()
	}
}

// timedOut is the error of an attempt whose ctx has ended. Where the client
// only guesses why its socket was closed (refused credentials, it says), the
// guess is wrong: we closed it.
func timedOut(ctx context.Context, err error) error {
	var guess *amqp.Error
	if errors.As(err, &guess) && !guess.Server {
		return context.Cause(ctx)
	}
	return errors.Join(context.Cause(ctx), err)
}

// isPermanent tells what no repetition mends while the first connect is tried,
// and whether that is sure: RabbitMQ tells a client of refused credentials by
// dropping the socket, so the client reports a link that was cut in that moment
// in the same way, as its own *amqp.Error and not the server's.
func isPermanent(err error) (permanent, sure bool) {
	var refused *amqp.Error
	if errors.As(err, &refused) {
		if strings.Contains(refused.Reason, "limit (") { // of connections: one may end
			return false, false
		}
		return refused.Code == amqp.AccessRefused || refused.Code == amqp.NotAllowed, refused.Server || errors.Is(err, amqp.ErrSASL)
	}
	secure := isTLS(err)
	return secure, secure
}

// watch follows the connection until it is gone. It is the only reader of the
// client's notifications and does no other work: a notification that finds its
// channel full is dropped after 5 s (H 1.3).
func (c *connection) watch(role Role) {
	for {
		select {
		case b, ok := <-c.blocks:
			if !ok {
				c.blocks = nil
				continue
			}
			c.block(role, b)
		case err := <-c.closes:
			if err == nil {
				err = amqp.ErrClosed
			}
			c.gate.set(false, time.Now())
			c.err = err
			_ = c.raw.Close()
			close(c.gone)
			return
		}
	}
}

func (c *connection) block(role Role, b amqp.Blocking) {
	c.gate.set(b.Active, time.Now())
	status := Unblocked
	if b.Active {
		status = Blocked
		c.link.cfg.Logger.Warn("broker blocks publishers; publishes wait", "server", c.server, "role", role, "reason", b.Reason)
	} else {
		c.link.cfg.Logger.Info("broker accepts publishers again", "server", c.server, "role", role)
	}
	c.link.tell(State{At: time.Now(), Role: role, Status: status, Server: c.server, Reason: b.Reason})
}

// channels is how many sessions a connection may have at a time.
func (l *Link) channels(conn *amqp.Connection) int {
	allowed := int(conn.Config.ChannelMax) // as negotiated
	if l.cfg.MaxChannels > 0 {
		return min(l.cfg.MaxChannels, allowed)
	}
	return allowed
}

// reserve takes the place of one channel. It waits for one only where the user
// asked for a bound: at the broker's, channels have probably been forgotten.
func (c *connection) reserve(ctx context.Context, role Role) error {
	select {
	case c.inUse <- struct{}{}:
		return nil
	default:
	}
	full := fmt.Errorf("all %d on %s are in use; close sessions, or raise Config.MaxChannels or the broker's channel_max: %w", cap(c.inUse), c.server, amqp.ErrChannelMax)
	if c.link.cfg.MaxChannels == 0 {
		return full
	}
	c.link.cfg.Logger.Warn("all channels of the connection are in use; waiting for a session to end", "server", c.server, "role", role, "channels", cap(c.inUse))
	select {
	case c.inUse <- struct{}{}:
		return nil
	case <-c.gone:
		return amqp.ErrClosed
	case <-c.link.stopping:
		return ErrClosed
	case <-ctx.Done():
		return full
	}
}

func (c *connection) release() { <-c.inUse }

// session opens a channel. A blocked or stalled broker may not answer
// channel.open for long, so the caller's ctx ends the wait; a channel that
// opens after that is closed at once.
func (c *connection) session(ctx context.Context, role Role, gen uint64) (*Session, error) {
	if err := c.reserve(ctx, role); err != nil {
		return nil, err
	}
	type opened struct {
		s   *Session
		err error
	}
	answer := make(chan opened)
	gone := make(chan struct{})
	defer close(gone)
	started := c.link.spawn(func() {
		s, err := c.open(gen)
		select {
		case answer <- opened{s, err}:
		case <-gone:
			if s != nil {
				_ = s.ch.Close()
			}
		}
	})
	if !started {
		c.release()
		return nil, ErrClosed
	}
	select {
	case got := <-answer:
		return got.s, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// open opens the channel of a session, whose end gives its place back.
func (c *connection) open(gen uint64) (*Session, error) {
	ch, err := c.amqp.Channel()
	if err != nil {
		c.release()
		return nil, err
	}
	s := &Session{ch: ch, conn: c, gen: gen, done: make(chan struct{})}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	if !c.link.spawn(func() { s.watch(closed) }) {
		c.release()
		_ = ch.Close()
		return nil, ErrClosed
	}
	return s, nil
}

// close says goodbye to the broker and then, whatever came of it, closes the
// socket. It returns by the deadline.
func (c *connection) close(deadline time.Time) {
	stop := time.AfterFunc(time.Until(deadline), func() { _ = c.raw.Close() })
	defer stop.Stop()
	_ = c.amqp.CloseDeadline(deadline) // a connection that is already gone is as good
	_ = c.raw.Close()
}
