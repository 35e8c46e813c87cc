package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
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
	gate   *gate
	closes chan *amqp.Error
	blocks chan amqp.Blocking
	err    error // valid once watch returned
}

// connect dials one endpoint. It ends with ctx: the socket is closed under the
// handshake then.
func (l *Link) connect(ctx context.Context, role Role, to endpoint) (*connection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.DialTimeout, errors.New("timed out"))
	defer cancel()
	var raw atomic.Pointer[net.Conn]
	stop := context.AfterFunc(ctx, func() {
		if c := raw.Load(); c != nil {
			_ = (*c).Close()
		}
	})
	defer stop()
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(l.cfg.Name + " " + role.String())
	conn, err := amqp.DialConfig(to.url, amqp.Config{
		Heartbeat:  l.cfg.Heartbeat,
		Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := l.cfg.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			raw.Store(&c)
			if ctx.Err() != nil { // the AfterFunc may have come too early
				_ = c.Close()
				return nil, context.Cause(ctx)
			}
			return &deadlineConn{Conn: c, timeout: l.cfg.WriteTimeout}, nil
		},
	})
	if err != nil {
		if c := raw.Load(); c != nil {
			_ = (*c).Close()
		}
		if ctx.Err() != nil {
			err = timedOut(ctx, err)
		}
		permanent, sure := isPermanent(err)
		return nil, &ConnectError{Server: to.name, Permanent: permanent, Err: err, doubtful: permanent && !sure}
	}
	return &connection{
		link: l, amqp: conn, raw: *raw.Load(), server: to.name, gate: newGate(),
		closes: conn.NotifyClose(make(chan *amqp.Error, 1)),
		blocks: conn.NotifyBlocked(make(chan amqp.Blocking, 8)),
	}, nil
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
		return refused.Code == amqp.AccessRefused || refused.Code == amqp.NotAllowed, refused.Server
	}
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	tls := errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		errors.As(err, &verification)
	return tls, tls
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
	c.link.states.Tell(State{At: time.Now(), Role: role, Status: status, Server: c.server, Reason: b.Reason})
}

// session opens a channel. A blocked or stalled broker may not answer
// channel.open for long, so the caller's ctx ends the wait; a channel that
// opens after that is closed at once.
func (c *connection) session(ctx context.Context, gen uint64) (*Session, error) {
	type opened struct {
		s   *Session
		err error
	}
	answer := make(chan opened)
	gone := make(chan struct{})
	defer close(gone)
	started := c.link.spawn(func() {
		ch, err := c.amqp.Channel()
		if err != nil {
			select {
			case answer <- opened{err: err}:
			case <-gone:
			}
			return
		}
		s := &Session{ch: ch, conn: c, gen: gen, done: make(chan struct{})}
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		if !c.link.spawn(func() { s.watch(closed) }) {
			_ = ch.Close()
			select {
			case answer <- opened{err: ErrClosed}:
			case <-gone:
			}
			return
		}
		select {
		case answer <- opened{s: s}:
		case <-gone:
			_ = ch.Close()
		}
	})
	if !started {
		return nil, ErrClosed
	}
	select {
	case got := <-answer:
		return got.s, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// close says goodbye to the broker and then, whatever came of it, closes the
// socket. It returns by the deadline.
func (c *connection) close(deadline time.Time) {
	stop := time.AfterFunc(time.Until(deadline), func() { _ = c.raw.Close() })
	defer stop.Stop()
	_ = c.amqp.CloseDeadline(deadline) // a connection that is already gone is as good
	_ = c.raw.Close()
}
