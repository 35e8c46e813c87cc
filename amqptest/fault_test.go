package amqptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestFaultClosesTheChannelWithACode(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	n := inject(t, b, Fault{Do: CloseChannel, On: "basic.publish", Exchange: DefaultExchange, Code: 406, Text: "PRECONDITION_FAILED - so there"})
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	publish(t, ch, "q", "1")
	closedWith(t, closed, 406, "PRECONDITION_FAILED - so there")
	if got := bodies(b, "q"); got != "" {
		t.Errorf("stored: %s", got)
	}
	if e := await(t, b, OfKind(EventChannelClosed)); e.Code != 406 || e.Reason != "broker" {
		t.Errorf("event: %s", e)
	}
	hits(t, n, 1)
	opened(t, c)
}

func TestFaultRaisesAnAlarm(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	blocked := c.NotifyBlocked(make(chan amqp.Blocking, 2))
	n := inject(t, b, Fault{Do: RaiseAlarm, On: "basic.publish", Nth: 2, Delay: time.Minute})
	var last *amqp.DeferredConfirmation
	for i := range 3 { // it is the publish after the alarm that blocks
		last = publish(t, ch, "q", fmt.Sprint(i))
	}
	for _, want := range []bool{true, false} {
		select {
		case e := <-blocked:
			if e.Active != want {
				t.Errorf("blocked: %+v", e)
			}
		case <-inTime(t).Done():
			t.Fatal("no word of the alarm")
		}
		b.Advance(time.Minute)
	}
	if ok, err := last.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
	if got := len(b.Trace(OfKind(EventAlarmRaised, EventAlarmCleared))); got != 2 {
		t.Errorf("%d events of alarms", got)
	}
}

func TestFaultsAreLookedForInOrder(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	hidden := inject(t, b, Fault{Do: HoldConfirm, Name: "passes"})
	nack := inject(t, b, Fault{Do: Nack})
	never := inject(t, b, Fault{Do: DropAfter, On: "basic.publish", Nth: 2})
	publish(t, ch, "q", "1")
	if err := nack.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	if hidden.Hits() != 1 || never.Seen() != 0 {
		t.Errorf("hits %d, seen %d", hidden.Hits(), never.Seen())
	}
	if got := len(b.Faults()); got != 3 {
		t.Errorf("%d faults", got)
	}
}

func TestFaultWaitEnds(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: Nack})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	done := make(chan error)
	go func() { done <- n.Wait(t.Context(), 1) }()
	n.Remove()
	if err := <-done; err == nil {
		t.Error("no error after Remove")
	}
}

func TestFaultRefused(t *testing.T) {
	b := New(t)
	for name, f := range map[string]Fault{
		"Fault.Do":         {},
		"Fault.On":         {Do: Nack, On: "queue.declare"},
		"Fault.On ":        {Do: DropBefore, On: "queue.declare-ok"},
		"Fault.On  ":       {Do: CloseChannel, On: OnConnect},
		"Fault.On   ":      {Do: CloseChannel, On: "connection.open"},
		"Fault.On    ":     {Do: DropAfter, On: Now},
		"Fault.Queue":      {Do: DeleteQueue, On: Now},
		"Fault.Queue ":     {Do: DeleteQueue, Queue: "[a"},
		"Fault.Nth":        {Do: Nack, Nth: -1},
		"Fault.Every":      {Do: Nack, Every: -1},
		"Fault.Delay":      {Do: DelayConfirm},
		"Fault.Count":      {Do: ReorderConfirms, Count: 1},
		"Fault.Resource":   {Do: RaiseAlarm, Resource: "cpu"},
		"Fault.Text":       {Do: CloseChannel, Text: strings.Repeat("x", 256)},
		"Fault.Connection": {Do: Nack, Connection: "["},
	} {
		_, err := b.Inject(f)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if len(b.Faults()) != 0 {
		t.Error("a refused fault is there")
	}
}

// TestFaultsInABubble: with a running clock in testing/synctest, delays take
// the bubble's time, and no time at all.
func TestFaultsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := Config{Trace: 100}.Start()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		dial := func(network, addr string) (net.Conn, error) { return b.Dial(t.Context(), network, addr) }
		c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{Dial: dial, Heartbeat: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch := confirming(t, c, "q")
		for _, f := range []Fault{{Do: DelayConfirm, Delay: time.Minute}, {Do: Stall, On: "basic.publish", Delay: time.Minute, Nth: 2}} {
			n := inject(t, b, f)
			start := time.Now()
			for range f.withDefaults().Nth {
				publish(t, ch, "q", "1")
			}
			if ok, err := publish(t, ch, "q", "last").WaitContext(t.Context()); !ok || err != nil {
				t.Error(ok, err)
			}
			if f.Do == Stall && time.Since(start) != time.Minute {
				t.Errorf("%s took %s", f.Do, time.Since(start))
			}
			if _, err := b.WaitEvent(t.Context(), Both(OfKind(EventConfirmed), func(e Event) bool { return e.Tag == 1 })); err != nil {
				t.Error(err)
			}
			if time.Since(start) != time.Minute {
				t.Errorf("%s took %s", f.Do, time.Since(start))
			}
			hits(t, n, 1)
		}
	})
}

func TestFaultAtAnyMethod(t *testing.T) {
	b := New(t)
	n := inject(t, b, Fault{Do: CloseConnection, Code: 320, Nth: 4})
	c := dialNamed(t, b, "p") // connection.open
	ch := opened(t, c)        // channel.open
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "1")
	closedWith(t, closed, 320, "CONNECTION_FORCED - injected fault")
	if e := await(t, b, OfKind(EventFault)); e.Text != "basic.publish" {
		t.Errorf("event: %s", e)
	}
	if got := bodies(b, "q"); got != "" {
		t.Errorf("stored: %s", got)
	}
	hits(t, n, 1)
}

// TestFaultsDoNotTouchOthers: each of the filters keeps a fault away.
func TestFaultsDoNotTouchOthers(t *testing.T) {
	b := Config{VHosts: []string{"/", "other"}}.New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "orders/new")
	for _, f := range []Fault{
		{Connection: "q*"}, {Connection: "2"}, {VHost: "oth*"}, {Exchange: "?*"}, {Key: "orders"}, {Queue: "orders/old"}, {Exchange: "x"},
	} {
		f.Do = Nack
		n := inject(t, b, f)
		if ok, err := publish(t, ch, "orders/new", "1").WaitContext(inTime(t)); !ok || err != nil || n.Seen() != 0 {
			t.Errorf("%+v: %t, %v, seen %d", f, ok, err, n.Seen())
		}
		n.Remove()
	}
	for _, f := range []Fault{
		{Connection: "p*"}, {Connection: "1"}, {VHost: "/"}, {Exchange: DefaultExchange}, {Key: "orders*"}, {Queue: "*/new"}, {Queue: "orders/[a-z]ew"},
	} {
		f.Do = Nack
		n := inject(t, b, f)
		if ok, err := publish(t, ch, "orders/new", "1").WaitContext(inTime(t)); ok || err != nil || n.Hits() != 1 {
			t.Errorf("%+v: %t, %v", f, ok, err)
		}
		n.Remove()
	}
}
