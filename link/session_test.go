package link_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// A channel exception ends its session with the broker's words, and leaves the
// other sessions of the connection alone.
func TestChannelExceptionEndsOneSession(t *testing.T) {
	for _, code := range []uint16{311, 403, 404, 405, 406} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				bad, good := session(t, l, link.Consuming), session(t, l, link.Consuming)
				inject(t, b, amqptest.Fault{Do: amqptest.CloseChannel, On: "queue.declare", Queue: "bad", Code: code})
				if err := declare(soon(t), bad, "bad"); as[*amqp.Error](t, err).Code != int(code) {
					t.Error(err)
				}
				await(t, bad.Done())
				if e := as[*link.ClosedError](t, bad.Err()); e.Connection || as[*amqp.Error](t, e).Code != int(code) {
					t.Error(e)
				}
				if err := declare(soon(t), good, "good"); err != nil || good.Err() != nil {
					t.Errorf("the neighbor: %v, %v", err, good.Err())
				}
				if err := bad.Close(soon(t)); err != nil {
					t.Error(err)
				}
				if n := len(b.Channels()); n != 1 || served(b) != 2 {
					t.Errorf("%d channels, %d connections", n, served(b))
				}
			})
		})
	}
}

// A call whose connection goes fails, and its session says why.
func TestCallOverALostConnection(t *testing.T) {
	for _, f := range []amqptest.Fault{
		{Do: amqptest.DropBefore}, {Do: amqptest.DropAfter}, {Do: amqptest.CloseConnection, Code: 541},
	} {
		t.Run(string(f.Do), func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				s := session(t, l, link.Consuming)
				f := f
				f.On = "queue.declare"
				inject(t, b, f)
				if err := declare(soon(t), s, "q"); err == nil {
					t.Error("declared")
				}
				await(t, s.Done())
				if e := as[*link.ClosedError](t, s.Err()); !e.Connection {
					t.Error(e)
				}
				if _, there := b.Queue("/", "q"); there != (f.Do == amqptest.DropAfter) {
					t.Errorf("the queue is there: %t", there)
				}
				if err := declare(soon(t), session(t, l, link.Consuming), "q"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A connection that goes while the channel is being opened costs the caller
// nothing but time.
func TestSessionOverLostConnections(t *testing.T) {
	for _, do := range []amqptest.Effect{amqptest.DropBefore, amqptest.DropAfter, amqptest.CloseConnection} {
		t.Run(string(do), func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				n := inject(t, b, amqptest.Fault{Do: do, On: "channel.open", Times: 3})
				s := session(t, l, link.Publishing)
				if s.Err() != nil || n.Hits() != 3 {
					t.Errorf("%d connections lost: %v", n.Hits(), s.Err())
				}
			})
		})
	}
}

// No more channels than the broker allows: an error at once, not a wait.
func TestTooManySessions(t *testing.T) {
	each(t, amqptest.Config{ChannelMax: 3}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		for range 3 {
			session(t, l, link.Consuming)
		}
		began := time.Now()
		if _, err := l.Session(soon(t), link.Consuming); !errors.Is(err, amqp.ErrChannelMax) || time.Since(began) != 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		session(t, l, link.Publishing)
	})
}

// A call that the broker does not answer ends with its ctx, and its session
// with it; when the broker reads again, nothing is left of either.
func TestNoCallHangsOnAStalledBroker(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		s := session(t, l, link.Consuming)
		n := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		began := time.Now()
		if err := declare(after(t, time.Second), s, "q"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Do after %s: %v", time.Since(began), err)
		}
		_, err := l.Session(after(t, time.Second), link.Consuming)
		if as[*link.UnavailableError](t, err); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		other := make(chan error, 1)
		go func() {
			s, err := l.Session(soon(t), link.Publishing)
			if err == nil {
				err = s.Close(after(t, time.Second))
			}
			other <- err
		}()
		pass(2 * time.Second)
		n.Remove()
		if err := <-other; err != nil {
			t.Error(err)
		}
		pass(time.Second)
		if n := len(b.Channels()); n != 0 || served(b) != 2 {
			t.Errorf("%d channels open, %d connections", n, served(b))
		}
		await(t, s.Done())
		if e := as[*link.ClosedError](t, s.Err()); e.Connection {
			t.Error(e)
		}
	})
}

// Do closes the session when ctx has ended, as it says; who opens one and then
// configures it relies on it.
func TestDoWithAnEndedContextClosesTheSession(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		s := session(t, l, link.Publishing)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Do(ctx, func(ch *amqp.Channel) error { return ch.Confirm(false) }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := len(b.Channels()); n != 0 {
			t.Errorf("%d channels open", n)
		}
	})
}

// A session's Close comes after what was written before it, and ends with its
// ctx.
func TestSessionClose(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		s := session(t, l, link.Publishing)
		if err := declare(soon(t), s, "q"); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := s.Channel().Publish("", "q", false, false, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if n := len(b.Messages("/", "q")); n != 100 {
			t.Errorf("%d arrived", n)
		}
		if e := as[*link.ClosedError](t, s.Err()); e.Connection {
			t.Error(e)
		}
		s = session(t, l, link.Publishing)
		n := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		defer n.Remove()
		began := time.Now()
		if err := s.Close(after(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
