package integration

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// What no repetition mends comes back at once, says where, and hides the secret.
func TestRefusedAtTheDoor(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		uri, err := amqp.ParseURI(b.URL)
		if err != nil {
			t.Fatal(err)
		}
		wrongPassword, wrongVHost := uri, uri
		wrongPassword.Password = "sesame"
		wrongVHost.Vhost = "no-such-vhost"
		for name, tt := range map[string]struct {
			url  string
			code int
			says string
		}{
			"credentials": {wrongPassword.String(), amqp.AccessRefused, "user, password"},
			"vhost":       {wrongVHost.String(), amqp.NotAllowed, "no-such-vhost"},
		} {
			_, err := link.Open(deadline(t), link.Config{URLs: []string{tt.url}, Logger: logger()})
			var failed *link.ConnectError
			var refused *amqp.Error
			if !errors.As(err, &failed) || !failed.Permanent || !errors.As(err, &refused) || refused.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", name, err)
			}
			if strings.Contains(err.Error(), "sesame") || uri.Password != "guest" && strings.Contains(err.Error(), uri.Password+"@") {
				t.Errorf("%s: the error shows a password: %v", name, err)
			}
		}
	})
}

// A good server behind a dead one and one that refuses is found.
func TestEveryURLIsTried(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		uri, _ := amqp.ParseURI(b.URL)
		uri.Password = "wrong"
		l := open(t, link.Config{URLs: []string{"amqp://127.0.0.1:1/", uri.String(), b.URL}, InOrder: true})
		if err := l.Close(deadline(t)); err != nil {
			t.Error(err)
		}
	})
}

// Every cut is told by the hook, and followed by a new connection; a session
// of the old one stays dead.
func TestReconnect(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		states := make(chan link.State, 100)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMin: 10 * time.Millisecond, OnState: func(s link.State) { states <- s }})
		upTwice := func() {
			for up := 0; up < 2; {
				if s := wait(t, states, "a connection"); s.Status == link.Connected {
					up++
				}
			}
		}
		upTwice()
		old, err := l.Session(deadline(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		proxy.Cut()
		wait(t, old.Done(), "the end of the old session")
		var closed *link.ClosedError
		if !errors.As(old.Err(), &closed) || !closed.Connection {
			t.Errorf("it ended with %v", old.Err())
		}
		upTwice()
		s, err := l.Session(deadline(t), link.Consuming)
		if err != nil || s.Generation() <= old.Generation() {
			t.Fatalf("generation %v after %v: %v", s, old.Generation(), err)
		}
		if err := old.Channel().Ack(1, false); err == nil {
			t.Error("an ack on the old session went through")
		}
	})
}

// A channel exception ends its session with the broker's words and leaves the
// other sessions of the connection alone.
func TestChannelExceptionEndsOneSession(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		bad, err := l.Session(deadline(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		good, err := l.Session(deadline(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		err = bad.Do(deadline(t), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("missing", true, false, false, false, nil)
			return err
		})
		wait(t, bad.Done(), "the end of the bad session")
		var closed *link.ClosedError
		var reason *amqp.Error
		if err == nil || !errors.As(bad.Err(), &closed) || closed.Connection || !errors.As(bad.Err(), &reason) || reason.Code != amqp.NotFound {
			t.Errorf("call %v, session %v", err, bad.Err())
		}
		if good.Err() != nil {
			t.Errorf("the neighbour ended: %v", good.Err())
		}
	})
}

// A call that the broker never answers ends with its ctx, and Close with its own.
func TestNoCallHangsOnAStalledBroker(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, Heartbeat: time.Minute})
		s, err := l.Session(deadline(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		proxy.Stall()
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		err = s.Do(short(), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("q", true, false, false, false, nil)
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v", err)
		}
		var unavailable *link.UnavailableError
		if _, err := l.Session(short(), link.Publishing); !errors.As(err, &unavailable) {
			t.Errorf("Session: %v", err)
		}
		if err := l.Close(deadline(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := l.Session(deadline(t), link.Consuming); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Session after Close: %v", err)
		}
	})
}

// A memory alarm: publishes wait and end unsent with their ctx, acks go on,
// nothing reconnects, and afterwards everything waiting is confirmed (H 9.1).
func TestAlarmBlocksPublishersOnly(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		states := make(chan link.State, 100)
		l := open(t, link.Config{URLs: []string{b.URL}, OnState: func(s link.State) { states <- s }})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "alarm", quorum)
		ctx := deadline(t)
		for range 50 {
			if err := p.Publish(ctx, "", "alarm", amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		b.Alarm(t)
		first := p.Send(ctx, "", "alarm", amqp.Publishing{}) // tells the broker that we publish
		for s := range states {
			if s.Status == link.Blocked {
				break
			}
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		var unsent *confirm.UnsentError
		if err := p.Publish(short, "", "alarm", amqp.Publishing{}); !errors.As(err, &unsent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publish under the alarm: %v", err)
		}
		waiting := p.Send(ctx, "", "alarm", amqp.Publishing{})
		var handled atomic.Int32
		all := make(chan struct{}, 100)
		r := run(t, l, consumer.Config{Queue: "alarm", Handler: func(context.Context, amqp.Delivery) error {
			handled.Add(1)
			all <- struct{}{}
			return nil
		}})
		for range 50 {
			wait(t, all, "deliveries under the alarm")
		}
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		b.ClearAlarm(t)
		for _, receipt := range []*confirm.Receipt{first, waiting} {
			if err := receipt.Wait(ctx); err != nil {
				t.Errorf("after the alarm: %v", err)
			}
		}
		for len(states) > 0 {
			if s := <-states; s.Status == link.Disconnected {
				t.Errorf("the alarm cost a connection: %v", s.Err)
			}
		}
	})
}

// A broker killed while publishing: all that was confirmed is there after its
// restart (H 2.4).
func TestBrokerKilled(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {

		before := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, before, "killed.quorum", quorum)
		declareQueue(t, before, "killed.classic", nil)
		if err := before.Close(deadline(t)); err != nil {
			t.Error(err)
		}
		// A quorum queue declared moments before a SIGKILL comes back without its
		// messages, and on 3.10 and 4.0 never confirms again: not our subject (F 4).
		b.Restart(t)
		l := open(t, link.Config{URLs: []string{b.URL}, Heartbeat: 2 * time.Second, ReconnectMax: time.Second})
		p := publisher(t, l, confirm.Config{Window: 50})
		ctx := deadline(t)
		confirmed, published := newTally(), newTally()
		more := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-more:
					return
				default:
				}
				queue := []string{"killed.quorum", "killed.classic"}[i%2]
				id := published.id(queue)
				if p.Publish(ctx, "", queue, amqp.Publishing{MessageId: id}) == nil {
					confirmed.add(id)
				}
			}
		}()
		confirmed.until(t, "publishes before the kill", func() bool { return confirmed.distinct() >= 200 })
		b.Kill(t)
		b.Start(t)
		stored := confirmed.distinct()
		confirmed.until(t, "publishes after the restart", func() bool { return confirmed.distinct() >= stored+100 })
		close(more)
		wait(t, done, "the publisher")
		for _, queue := range []string{"killed.quorum", "killed.classic"} {
			for _, d := range take(t, l, queue) {
				confirmed.forget(d.MessageId)
			}
		}
		if n := confirmed.distinct(); n != 0 {
			t.Errorf("%d confirmed messages are gone", n)
		}
	})
}
