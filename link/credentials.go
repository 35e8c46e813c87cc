package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Credentials are what [Config.Credentials] gives. No log line, error or
// format verb shows them.
type Credentials struct {
	// User is the name to log in with; empty means the one in the URL. With
	// neither User nor Password the client certificate logs in (EXTERNAL).
	User string
	// Password is a password, or an OAuth 2 token for a broker that takes them.
	Password string
	// Expires is when the broker stops taking the password. The link asks for
	// new ones after four fifths of the time until then, and hands them to the
	// broker on the connections that stand (connection.update-secret). Zero:
	// never.
	Expires time.Time
}

// Format shows that there are credentials, and none of them.
func (Credentials) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "[credentials]")
}

// LogValue shows that there are credentials, and none of them.
func (Credentials) LogValue() slog.Value { return slog.StringValue("[credentials]") }

const (
	// renewAfter is the share of the time until credentials expire that passes
	// before new ones are asked for: that of RabbitMQ's Java client.
	renewAfter = 0.8
	// renewPause is the shortest time between two questions of a connection.
	renewPause = time.Second
)

// renewIn is how long to wait before new credentials are asked for.
func renewIn(left, late time.Duration) time.Duration {
	if left <= 0 {
		return late
	}
	return max(renewPause, time.Duration(renewAfter*float64(left)))
}

// ask asks Config.Credentials; nil where there is none.
func (l *Link) ask(ctx context.Context) (*Credentials, error) {
	if l.cfg.Credentials == nil {
		return nil, nil
	}
	c, err := l.cfg.Credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("Config.Credentials: %w", err)
	}
	return &c, nil
}

// RefreshCredentials asks Config.Credentials at once, without waiting for what
// they gave before to expire, and hands the password to the broker on each
// connection that stands. It is for those who are told of a rotation. It waits
// for the broker's answers until ctx ends; a broker that refuses closes the
// connection, which is then made anew.
//
// RabbitMQ's own user database looks at a password when a connection opens
// and not again, so for such users the new one matters at the next connect.
func (l *Link) RefreshCredentials(ctx context.Context) error {
	if l.cfg.Credentials == nil {
		return &ConfigError{Field: "Credentials", Problem: "is not set", Fix: "set it to a func that gives the present ones"}
	}
	asked, err := l.ask(ctx)
	if err != nil {
		return fmt.Errorf("link: refresh credentials: %w", err)
	}
	var failed [len(l.slots)]error
	var all sync.WaitGroup
	for i := range l.slots {
		if c, _ := l.slots[i].get(); c != nil {
			all.Go(func() {
				if err := c.secret.update(ctx, c, asked); err != nil {
					failed[i] = fmt.Errorf("link: refresh credentials of the %s connection to %s: %w", Role(i), c.server, err)
				}
			})
		}
	}
	all.Wait()
	return errors.Join(failed[:]...)
}

// secret is what a connection has to renew.
type secret struct {
	mu      sync.Mutex
	expires time.Time
	asking  bool
	changed chan struct{} // room for one
}

func newSecret(c *Credentials) *secret {
	s := &secret{changed: make(chan struct{}, 1)}
	if c != nil {
		s.expires = c.Expires
	}
	return s
}

var errUnanswered = errors.New("the broker has not answered the last connection.update-secret; under an alarm it does not read")

// update sends connection.update-secret and waits for the answer until ctx
// ends. The client cannot tell two answers apart, so there is one at a time,
// and its goroutine waits on after ctx.
func (s *secret) update(ctx context.Context, c *connection, next *Credentials) error {
	s.mu.Lock()
	busy := s.asking
	s.asking = true
	s.mu.Unlock()
	if busy {
		return errUnanswered
	}
	answer := make(chan error, 1)
	started := c.link.spawn(func() {
		err := c.amqp.UpdateSecret(next.Password, "renewed by the client")
		s.mu.Lock()
		s.asking = false
		if err == nil {
			s.expires = next.Expires
		}
		s.mu.Unlock()
		answer <- err
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
	if !started {
		return ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *secret) left() (left time.Duration, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.expires), !s.expires.IsZero()
}

// renew asks for new credentials before those of the connection expire, again
// and again, until the connection is gone. A failure is logged and repeated
// sooner; the broker may close the connection when they have expired, and the
// next one asks anew.
func (c *connection) renew(ctx context.Context, role Role) {
	for {
		var due <-chan time.Time
		if left, any := c.secret.left(); any {
			due = time.After(renewIn(left, c.link.cfg.ReconnectMax))
		}
		select {
		case <-due:
			if err := c.renewOnce(ctx); err != nil && ctx.Err() == nil && !c.amqp.IsClosed() {
				left, _ := c.secret.left()
				c.link.cfg.Logger.Error("cannot renew the credentials of a connection; trying again",
					"server", c.server, "role", role, "expire_in", left, "error", err)
			}
		case <-c.secret.changed:
		case <-c.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *connection) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.link.cfg.DialTimeout, errors.New("timed out"))
	defer cancel()
	next, err := c.link.ask(ctx)
	if err != nil {
		return err
	}
	return c.secret.update(ctx, c, next)
}
