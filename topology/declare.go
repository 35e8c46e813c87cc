package topology

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// repeats is how many sessions in a row one step may lose before Declare gives up:
// enough for a broker that restarts, an end for one that fails at this very step.
const repeats = 5

// Declare makes all of t exist, after [Topology.Validate]. It is idempotent, safe to
// run in many processes at once, and ends with ctx: repeat it after any error. It
// uses the link's consuming connection, because an alarm blocks the publishing one
// (H 9.1), and goes on after a reconnect.
//
// Nothing is ever deleted or changed: entities of earlier versions, bindings above
// all, stay. Errors: *ValidationError (nothing was declared), *MismatchError,
// *PermissionError, *MissingError; what comes before the entity they name has been
// declared, in an order in which no message can get lost.
func Declare(ctx context.Context, l *link.Link, t Topology) error {
	_, err := DeclareWith(ctx, l, t, DeclareConfig{})
	return err
}

// session is what declaring needs of a link.Session.
type session interface {
	Do(ctx context.Context, call func(ch *amqp.Channel) error) error
	Done() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
}

// declarer runs steps on one session for as long as it lives: a new channel for
// each would double the time of a ladder.
type declarer struct {
	open func(ctx context.Context) (session, error)
	s    session
}

// run makes one step true. What the broker refused is final; a lost session is not.
func (d *declarer) run(ctx context.Context, s step) error {
	var err error
	lost := make(map[int]int) // by reply code
	for range repeats {
		if d.s == nil {
			if d.s, err = d.open(ctx); err != nil {
				d.s = nil
				return s.explain(err)
			}
		}
		err = d.s.Do(ctx, s.call)
		if err == nil {
			return nil
		}
		err = d.reason(ctx, err)
		d.close(ctx)
		code, blame := blameOf(err)
		lost[code]++
		switch {
		case blame == own && s.check && code == amqp.AccessRefused:
			return nil
		case ctx.Err() != nil, blame == own, blame == shared && lost[code] > 1:
			return s.explain(err)
		}
	}
	return fmt.Errorf("topology: declare %s: lost %d sessions in a row: %w", s.entity, repeats, err)
}

// reason is why a call failed: the client may answer "closed" where the broker told
// the session why.
func (d *declarer) reason(ctx context.Context, err error) error {
	if !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	select {
	case <-d.s.Done():
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), err)
	}
	if told := d.s.Err(); told != nil {
		return told
	}
	return err
}

// close ends the session. Nothing was written on it that could get lost.
func (d *declarer) close(ctx context.Context) {
	if d.s != nil {
		_ = d.s.Close(ctx) // the channel of a failed call is gone already
		d.s = nil
	}
}

// blame tells whose fault the end of a session is.
type blame uint8

const (
	nobodys blame = iota // a cut, a restart: repeat
	shared               // the broker closed the connection: perhaps for this call, perhaps for another user of it
	own                  // the broker closed the channel: its answer to this call, which would be the same again
)

// blameOf reads the broker's reply code: those of AMQP's channel exceptions, the
// rest of its own (a broker that shuts down says 320), or none.
func blameOf(err error) (code int, b blame) {
	var broker *amqp.Error
	if !errors.As(err, &broker) || !broker.Server {
		return 0, nobodys
	}
	switch broker.Code {
	case amqp.AccessRefused, amqp.NotFound, amqp.ResourceLocked, amqp.PreconditionFailed:
		return broker.Code, own
	case amqp.ConnectionForced:
		return broker.Code, nobodys
	}
	return broker.Code, shared
}
