package topology

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// fakeSession answers each call with the next of answers, and lives until one of
// them is an error.
type fakeSession struct {
	answers *[]error
	done    chan struct{}
	err     error // what Err tells once it is done
	closed  bool
}

func (s *fakeSession) Do(ctx context.Context, _ func(*amqp.Channel) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var next error
	if len(*s.answers) > 0 {
		next, *s.answers = (*s.answers)[0], (*s.answers)[1:]
	}
	if errors.Is(next, amqp.ErrClosed) {
		close(s.done)
	}
	return next
}

func (s *fakeSession) Done() <-chan struct{}       { return s.done }
func (s *fakeSession) Err() error                  { return s.err }
func (s *fakeSession) Close(context.Context) error { s.closed = true; return nil }

func server(code int, reason string) error {
	return &link.ClosedError{Err: &amqp.Error{Code: code, Reason: reason, Server: true}}
}

func TestDeclarerRun(t *testing.T) {
	cut := &link.ClosedError{Connection: true, Err: &amqp.Error{Code: 501, Reason: "EOF"}}
	restart := server(amqp.ConnectionForced, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
	refused := server(amqp.AccessRefused, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'")
	unknownKind := server(503, "COMMAND_INVALID - unknown exchange type 'x-nope'")
	mismatch := server(406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'")
	for name, c := range map[string]struct {
		answers  []error
		told     error // what the session says when the client only says "closed"
		check    bool
		sessions int
		want     any // a pointer for errors.As; nil: no error
	}{
		"at once":                     {nil, nil, false, 1, nil},
		"cut once":                    {[]error{cut}, nil, false, 2, nil},
		"restart, then cut":           {[]error{restart, cut}, nil, false, 3, nil},
		"mismatch":                    {[]error{mismatch}, nil, false, 1, new(*MismatchError)},
		"refused":                     {[]error{refused}, nil, false, 1, new(*PermissionError)},
		"refused to look":             {[]error{refused}, nil, true, 1, nil},
		"missing":                     {[]error{server(404, "NOT_FOUND - no queue 'q' in vhost '/'")}, nil, true, 1, new(*MissingError)},
		"connection's fault, once":    {[]error{unknownKind}, nil, false, 2, nil},
		"connection's fault, again":   {[]error{unknownKind, unknownKind}, nil, false, 2, new(*amqp.Error)},
		"closed, and told why":        {[]error{amqp.ErrClosed}, mismatch, false, 1, new(*MismatchError)},
		"closed, and told of the cut": {[]error{amqp.ErrClosed}, cut, false, 2, nil},
		"closed, and told nothing":    {[]error{amqp.ErrClosed}, nil, false, 2, nil},
		"for ever":                    {[]error{cut, cut, cut, cut, cut, cut, cut}, nil, false, repeats, new(*link.ClosedError)},
	} {
		t.Run(name, func(t *testing.T) {
			var opened []*fakeSession
			d := &declarer{open: func(context.Context) (session, error) {
				s := &fakeSession{answers: &c.answers, done: make(chan struct{}), err: c.told}
				opened = append(opened, s)
				return s, nil
			}}
			err := d.run(t.Context(), step{entity: `queue "q"`, check: c.check})
			switch {
			case c.want == nil && err != nil:
				t.Errorf("error %v", err)
			case c.want != nil && !errors.As(err, c.want):
				t.Errorf("error %v, want %T", err, c.want)
			}
			if len(opened) != c.sessions {
				t.Errorf("%d sessions, want %d", len(opened), c.sessions)
			}
			d.close(t.Context())
			for i, s := range opened {
				if !s.closed {
					t.Errorf("session %d was left open", i)
				}
			}
		})
	}
}

func TestDeclarerEndsWithItsContext(t *testing.T) {
	cause := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	opened := 0
	d := &declarer{open: func(context.Context) (session, error) {
		opened++
		return &fakeSession{answers: new([]error), done: make(chan struct{})}, nil
	}}
	cancel(cause)
	if err := d.run(ctx, step{entity: `queue "q"`}); !errors.Is(err, cause) || opened != 1 {
		t.Errorf("error %v after %d sessions, want the cause after 1", err, opened)
	}

	d = &declarer{open: func(context.Context) (session, error) { return nil, link.ErrClosed }}
	if err := d.run(t.Context(), step{entity: `queue "q"`}); !errors.Is(err, link.ErrClosed) {
		t.Errorf("error %v, want link.ErrClosed", err)
	}
}

// A call that was cut off, on a session that does not say it ended, ends with ctx.
func TestDeclarerDoesNotWaitForASilentSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &declarer{s: &fakeSession{done: make(chan struct{})}}
	cancel()
	if err := d.reason(ctx, amqp.ErrClosed); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestDeclareValidatesFirst(t *testing.T) {
	var ve *ValidationError
	if err := Declare(t.Context(), nil, queues(Queue{})); !errors.As(err, &ve) {
		t.Errorf("error %v, want *ValidationError before the link is touched", err)
	}
}
