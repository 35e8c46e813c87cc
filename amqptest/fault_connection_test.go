package amqptest

import (
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestFaultDropsTheConnectionBeforeOrAfterThePublish(t *testing.T) {
	for _, test := range []struct {
		do     Effect
		stored string
	}{{DropBefore, "first"}, {DropAfter, "first second"}} {
		t.Run(string(test.do), func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "p")
			ch := confirming(t, c, "q")
			n := inject(t, b, Fault{Do: test.do, On: "basic.publish", Nth: 2})
			if ok, err := publish(t, ch, "q", "first").WaitContext(inTime(t)); !ok || err != nil {
				t.Fatal(ok, err)
			}
			closed := c.NotifyClose(make(chan *amqp.Error, 1))
			second := publish(t, ch, "q", "second")
			select {
			case err := <-closed:
				if err == nil || err.Server {
					t.Errorf("closed with %v, want an end without a word", err)
				}
			case <-inTime(t).Done():
				t.Fatal("not closed")
			}
			if ok, _ := second.WaitContext(inTime(t)); ok {
				t.Error("confirmed")
			}
			if got := bodies(b, "q"); got != test.stored {
				t.Errorf("stored: %s, want %s", got, test.stored)
			}
			hits(t, n, 1)
			await(t, b, OfKind(EventConnectionClosed))
			if left := b.Connections(); len(left) != 0 {
				t.Errorf("connections: %v", left)
			}
		})
	}
}

func TestFaultDropsTheConnectionAroundADeclare(t *testing.T) {
	for _, do := range []Effect{DropBefore, DropAfter} {
		t.Run(string(do), func(t *testing.T) {
			b := New(t)
			ch := opened(t, dialNamed(t, b, "p"))
			n := inject(t, b, Fault{Do: do, On: "queue.declare", Queue: "orders.*"})
			if _, err := ch.QueueDeclare("other", true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueueDeclare("orders.new", true, false, false, false, nil); err == nil {
				t.Error("declared")
			}
			if _, there := b.Queue("/", "orders.new"); there != (do == DropAfter) {
				t.Errorf("the queue is there: %t", there)
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultDropsTheConnectionAfterAnAck(t *testing.T) {
	for _, test := range []struct {
		do   Effect
		left string
	}{{DropBefore, "1"}, {DropAfter, ""}} {
		t.Run(string(test.do), func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "c")
			ch := confirming(t, c, "q")
			_, _ = publish(t, ch, "q", "1").WaitContext(inTime(t))
			n := inject(t, b, Fault{Do: test.do, On: "basic.ack", Queue: "q"})
			d, _, err := ch.Get("q", false)
			if err != nil {
				t.Fatal(err)
			}
			_ = d.Ack(false)
			if err := n.Wait(inTime(t), 1); err != nil {
				t.Fatal(err)
			}
			await(t, b, OfKind(EventConnectionClosed))
			if got := bodies(b, "q"); got != test.left {
				t.Errorf("left: %q, want %q", got, test.left)
			}
		})
	}
}

func TestFaultStallsReading(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Stall, On: "basic.publish", Connection: "p", Delay: time.Minute})
	if ok, err := publish(t, ch, "q", "1").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	second := publish(t, ch, "q", "2")
	other := confirming(t, dialNamed(t, b, "other"), "q")
	if ok, err := publish(t, other, "q", "3").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := bodies(b, "q"); got != "1 3" {
		t.Errorf("stored while stalled: %s", got)
	}
	b.Advance(time.Minute)
	if ok, err := second.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
}

func TestFaultStallsNowUntilRemoved(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Stall, On: Now, Connection: "p"})
	d := publish(t, ch, "q", "1")
	other := confirming(t, dialNamed(t, b, "other"), "q")
	if ok, err := publish(t, other, "q", "2").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := bodies(b, "q"); got != "2" {
		t.Errorf("stored while stalled: %s", got)
	}
	n.Remove()
	if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestFaultStallsAHandshake(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: Stall, On: OnConnect})
	done := make(chan error, 1)
	go func() {
		c, err := amqp.Dial(b.URL())
		if err == nil {
			err = c.Close()
		}
		done <- err
	}()
	if err := n.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	dialNamed(t, b, "other")
	n.Remove()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFaultEndsAStalledConnectionWithTheBroker(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	inject(t, b, Fault{Do: Stall, On: Now})
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-inTime(t).Done():
		t.Error("the connection outlives the broker")
	}
}

func TestFaultClosesTheConnectionWithACode(t *testing.T) {
	for _, on := range []string{"queue.declare", Now} {
		t.Run(on, func(t *testing.T) {
			b := New(t)
			c := dialNamed(t, b, "p")
			ch := opened(t, c)
			closed := c.NotifyClose(make(chan *amqp.Error, 1))
			n := inject(t, b, Fault{Do: CloseConnection, On: on, Code: 320, Text: "CONNECTION_FORCED - maintenance"})
			if on != Now {
				_, _ = ch.QueueDeclare("q", false, false, false, false, nil)
			}
			closedWith(t, closed, 320, "CONNECTION_FORCED - maintenance")
			if _, there := b.Queue("/", "q"); there {
				t.Error("declared")
			}
			hits(t, n, 1)
		})
	}
}

func TestFaultRefusesConnections(t *testing.T) {
	b := New(t)
	dialNamed(t, b, "before")
	n := inject(t, b, Fault{Do: RefuseConnection, Times: 2})
	for range 2 {
		if _, err := tryDial(t, b, "refused"); err == nil {
			t.Error("connected")
		}
	}
	dialNamed(t, b, "after")
	hits(t, n, 2)
	if got := len(b.Connections()); got != 2 {
		t.Errorf("%d connections", got)
	}
}

func TestFaultRefusesLogins(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: RefuseLogin})
	_, err := tryDial(t, b, "refused")
	if e := (&amqp.Error{}); !errors.As(err, &e) || e.Code != 403 {
		t.Errorf("login: %v", err)
	}
	dialNamed(t, b, "after")
	hits(t, n, 1)
	await(t, b, OfKind(EventConnectionRefused))
}
