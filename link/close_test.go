package link_test

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// Close ends in every state, in time, and leaves no connection behind.
func TestCloseInEveryState(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, b *amqptest.Broker, l *link.Link)
		within time.Duration
	}{
		"idle": {within: 0},
		"with sessions": {before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			session(t, l, link.Publishing)
			session(t, l, link.Consuming)
		}},
		"lost a moment ago": {before: func(t *testing.T, b *amqptest.Broker, l *link.Link) { b.CutConnections() }},
		"refused": {before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
			b.CutConnections()
			pass(time.Minute)
		}},
		"in a handshake": {within: 5 * time.Second, before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.OnConnect, Times: -1})
			b.CutConnections()
			pass(time.Second)
		}},
		"stalled": {within: 3 * time.Second, before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		}},
		"in a call": {within: 3 * time.Second, before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			s := session(t, l, link.Consuming)
			inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
			go func() {
				if err := declare(soon(t), s, "q"); err == nil {
					t.Error("declared")
				}
			}()
			pass(time.Second)
		}},
		"blocked": {within: 3 * time.Second, before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			s := session(t, l, link.Publishing)
			inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm})
			_ = s.Channel().Publish("", "q", false, false, amqp.Publishing{Body: []byte("x")})
			pass(time.Second)
		}},
		"closed by the broker": {before: func(t *testing.T, b *amqptest.Broker, l *link.Link) {
			inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: amqptest.OnAny, Times: -1})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				var told states
				l := open(t, b, link.Config{OnState: told.note})
				if tt.before != nil {
					tt.before(t, b, l)
				}
				waiting := make(chan error, 1)
				go func() {
					s, err := l.Session(soon(t), link.Consuming)
					if err == nil {
						<-s.Done()
						err = link.ErrClosed
					}
					waiting <- err
				}()
				pass(0)
				began := time.Now()
				if err := l.Close(context.Background()); err != nil {
					t.Errorf("Close: %v", err)
				}
				if took := time.Since(began); took > tt.within {
					t.Errorf("Close took %s", took)
				}
				if err := l.Close(context.Background()); err != nil {
					t.Errorf("a second Close: %v", err)
				}
				if err := <-waiting; err == nil {
					t.Error("a session lives on")
				}
				if _, err := l.Session(soon(t), link.Publishing); !errors.Is(err, link.ErrClosed) {
					t.Errorf("Session after Close: %v", err)
				}
				for _, f := range b.Faults() {
					f.Remove()
				}
				_ = b.ClearAlarm("memory")
				pass(time.Minute)
				if n := len(b.Connections()); n != 0 {
					t.Errorf("%d connections left", n)
				}
				for _, role := range []link.Role{link.Publishing, link.Consuming} {
					if all := told.of(role); all[len(all)-1].Status != link.Closed {
						t.Errorf("%s: %s", role, statuses(all))
					}
				}
			})
		})
	}
}

// A write that nobody reads holds Close until its deadline at most. (Not in a
// bubble: the client waits for a mutex then, which stops the clock.)
func TestCloseDuringAStalledWrite(t *testing.T) {
	b := amqptest.Config{Clock: amqptest.Running}.New(t)
	l := open(t, b, link.Config{WriteTimeout: 200 * time.Millisecond})
	s := session(t, l, link.Publishing)
	inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now, Connection: "* publishing"})
	wrote := make(chan error, 1)
	go func() {
		wrote <- s.Channel().Publish("", "q", false, false, amqp.Publishing{Body: make([]byte, 1<<20)})
	}()
	began := time.Now()
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("Close took %s", took)
	}
	if err := <-wrote; err == nil {
		t.Error("written to a broker that does not read")
	}
}

// Close ends shortly after its ctx, though the broker says nothing.
func TestCloseEndsWithItsContext(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		s := session(t, l, link.Publishing)
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		began := time.Now()
		if err := l.Close(after(t, time.Second)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("after %s", took)
		}
		if as[*link.ClosedError](t, s.Err()); len(b.Connections()) == 2 {
			t.Log("the broker still reads nothing")
		}
	})
}

// A hook that does not return holds Close for five seconds at most, and is
// named.
func TestCloseUnderAStuckHook(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		stuck := make(chan struct{})
		defer close(stuck)
		l, err := link.Open(soon(t), fill(b, link.Config{OnState: func(link.State) { <-stuck }}))
		if err != nil {
			t.Fatal(err)
		}
		session(t, l, link.Publishing)
		began := time.Now()
		err = l.Close(context.Background())
		if err == nil || time.Since(began) > 5*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if n := len(b.Connections()); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// A link that is closed while channel.open is under way ends Session.
func TestSessionEndsWhenTheLinkCloses(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		n := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		ended := make(chan error, 1)
		go func() {
			s, err := l.Session(soon(t), link.Publishing)
			if err == nil {
				<-s.Done()
			}
			ended <- err
		}()
		pass(time.Second)
		closed := make(chan error, 1)
		go func() { closed <- l.Close(context.Background()) }()
		pass(time.Second)
		n.Remove() // channel.open and connection.close are answered in one go
		if err := <-closed; err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("Session still waits a minute after the link was closed")
		}
	})
}
