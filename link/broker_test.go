package link_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
)

// The words of the tests, see package bubble.
var (
	quiet  = bubble.Quiet
	each   = bubble.EachWith
	soon   = bubble.Soon
	after  = bubble.After
	pass   = bubble.Pass
	fill   = bubble.Fill
	open   = bubble.Open
	inject = bubble.Inject
	served = bubble.Connected
)

// as is bubble.As.
func as[E error](t *testing.T, err error) E { t.Helper(); return bubble.As[E](t, err) }

// await waits for the end of something.
func await(t *testing.T, end <-chan struct{}) {
	t.Helper()
	bubble.Wait(t, end, "its end")
}

func session(t *testing.T, l *link.Link, role link.Role) *link.Session {
	t.Helper()
	s, err := l.Session(soon(t), role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// declare declares a queue over a session.
func declare(ctx context.Context, s *link.Session, queue string) error {
	return s.Do(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
		return err
	})
}

// states keeps what a link tells of itself.
type states struct {
	mu  sync.Mutex
	all []link.State
}

func (s *states) note(state link.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, state)
}

// of are the states of one connection so far.
func (s *states) of(role link.Role) []link.State {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []link.State
	for _, state := range s.all {
		if state.Role == role {
			all = append(all, state)
		}
	}
	return all
}

func statuses(all []link.State) string {
	text := ""
	for _, s := range all {
		text += string(s.Status) + " "
	}
	return text
}

// deaf is a connection that hears nothing more once it is told so, as one
// whose peer is gone without a word.
type deaf struct {
	net.Conn
	gone <-chan struct{}
}

func (d deaf) Read(p []byte) (int, error) {
	for {
		n, err := d.Conn.Read(p)
		select {
		case <-d.gone:
			if err == nil {
				continue
			}
		default:
		}
		return n, err
	}
}
