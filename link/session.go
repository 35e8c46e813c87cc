package link

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Session is one AMQP channel on one connection, owned by whoever asked for
// it. It dies whole: once Done is closed it is of no further use, and
// everything that belonged to it (delivery tags, confirms) is void.
//
// A Session is safe for many goroutines, as its channel is.
type Session struct {
	ch   *amqp.Channel
	conn *connection
	gen  uint64
	done chan struct{}

	mu      sync.Mutex
	err     error
	discard bool
}

// Channel is the client's channel, for calls that only write (publish, ack,
// nack, reject). Calls that wait for an answer go through Do.
func (s *Session) Channel() *amqp.Channel { return s.ch }

// Generation is unique to this session within its link, and rises.
func (s *Session) Generation() uint64 { return s.gen }

// Done is closed when the channel or its connection is gone.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is nil while the session lives; afterwards a *ClosedError.
func (s *Session) Err() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Unblocked returns a channel that is closed while the broker accepts
// publishes on this connection. It is open from connection.blocked (a memory
// or disk alarm) to connection.unblocked.
func (s *Session) Unblocked() <-chan struct{} { return s.conn.gate.unblocked() }

// BlockedFor is how long this session's connection has been blocked in all.
func (s *Session) BlockedFor() time.Duration { return s.conn.gate.blockedFor(time.Now()) }

// Do runs one call that waits for the broker's answer (declare, bind, qos,
// consume, get). The client offers no such call that ends with a ctx (H 9.5),
// so it runs in a goroutine of the link; when ctx ends first, Do returns its
// cause and closes the session, because the late answer would belong to nobody.
func (s *Session) Do(ctx context.Context, call func(ch *amqp.Channel) error) error {
	if ctx.Err() != nil {
		s.abandon()
		return context.Cause(ctx)
	}
	answer := make(chan error, 1)
	if !s.conn.link.spawn(func() { answer <- call(s.ch) }) {
		return ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		s.abandon()
		return context.Cause(ctx)
	}
}

// Close closes the channel and waits for the broker's answer, which comes
// after everything written before (acks). It returns when ctx ends at the
// latest; what was unacknowledged on the session is redelivered.
func (s *Session) Close(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	answer := make(chan error, 1)
	if !s.conn.link.spawn(func() { answer <- s.ch.Close() }) {
		return ErrClosed
	}
	select {
	case err := <-answer:
		<-s.done
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// abandon closes the channel without waiting for anything.
func (s *Session) abandon() {
	s.mu.Lock()
	first := !s.discard
	s.discard = true
	s.mu.Unlock()
	if first {
		s.conn.link.spawn(func() { _ = s.ch.Close() }) // its outcome shows in Done
	}
}

// watch ends the session when its channel does.
func (s *Session) watch(closed <-chan *amqp.Error) {
	err, broke := <-closed
	s.mu.Lock()
	if broke {
		s.err = closedError(err)
	} else {
		s.err = &ClosedError{Connection: s.conn.amqp.IsClosed(), Err: errSessionClosed}
	}
	s.mu.Unlock()
	s.conn.release() // the client has the channel's number back
	close(s.done)
}
