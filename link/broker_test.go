package link_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

var quiet = slog.New(slog.DiscardHandler)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, cfg amqptest.Config, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := cfg
				cfg.Version, cfg.Clock = v, amqptest.Running
				test(t, cfg.New(t))
			})
		})
	}
}

// soon ends what hangs. An hour of the bubble is next to nothing.
func soon(t *testing.T) context.Context { return after(t, time.Hour) }

func after(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// await waits for the end of something.
func await(t *testing.T, end <-chan struct{}) {
	t.Helper()
	select {
	case <-end:
	case <-soon(t).Done():
		t.Fatal("it has not ended after an hour")
	}
}

func fill(b *amqptest.Broker, cfg link.Config) link.Config {
	if cfg.URLs == nil {
		cfg.URLs = []string{b.PipeURL()}
	}
	if cfg.Dial == nil {
		cfg.Dial = b.Dial
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	return cfg
}

func open(t *testing.T, b *amqptest.Broker, cfg link.Config) *link.Link {
	t.Helper()
	l, err := link.Open(soon(t), fill(b, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func session(t *testing.T, l *link.Link, role link.Role) *link.Session {
	t.Helper()
	s, err := l.Session(soon(t), role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// as is errors.As that fails the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got %v, want a %T", err, want)
	}
	return want
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

// served counts the connections that clients ever made.
func served(b *amqptest.Broker) int {
	return len(b.Trace(amqptest.OfKind(amqptest.EventConnectionOpened)))
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
