package amqptest

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestFaultNacksTheNthPublish(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: Nack, Nth: 2, Every: 2, Times: 2, Queue: "q"})
	var got []bool
	for i := range 7 {
		ok, err := publish(t, ch, "q", fmt.Sprint(i+1)).WaitContext(inTime(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ok)
	}
	if fmt.Sprint(got) != "[true false true false true true true]" {
		t.Errorf("confirmed: %v", got)
	}
	if got := bodies(b, "q"); got != "1 3 5 6 7" {
		t.Errorf("stored: %s", got)
	}
	hits(t, n, 2)
	if n.Seen() != 7 {
		t.Errorf("seen: %d", n.Seen())
	}
}

func TestFaultDelaysConfirms(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: DelayConfirm, Delay: time.Minute})
	late := publish(t, ch, "q", "late")
	if ok, err := publish(t, ch, "q", "in time").WaitContext(inTime(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	b.Advance(59 * time.Second)
	if late.Acked() {
		t.Error("confirmed before its time")
	}
	if got := bodies(b, "q"); got != "late in time" {
		t.Errorf("stored: %s", got)
	}
	b.Advance(time.Second)
	if ok, err := late.WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	hits(t, n, 1)
}

func TestFaultReordersConfirms(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: ReorderConfirms, Count: 3, Times: 4})
	var all []*amqp.DeferredConfirmation
	for i := range 5 {
		all = append(all, publish(t, ch, "q", fmt.Sprint(i+1)))
	}
	for _, d := range all {
		if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	var order []uint64
	for _, e := range b.Trace(OfKind(EventConfirmed)) {
		order = append(order, e.Tag)
	}
	if got := fmt.Sprint(order); got != "[3 2 1 4 5]" {
		t.Errorf("confirmed in the order %s", got)
	}
	hits(t, n, 4)
}

func TestFaultHoldsConfirmsUntilRemoved(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	n := inject(t, b, Fault{Do: HoldConfirm, Times: -1})
	first, second := publish(t, ch, "q", "1"), publish(t, ch, "q", "2")
	if err := n.Wait(inTime(t), 2); err != nil {
		t.Fatal(err)
	}
	b.Advance(time.Hour)
	if first.Acked() || second.Acked() {
		t.Error("confirmed")
	}
	n.Remove()
	n.Remove()
	for _, d := range []*amqp.DeferredConfirmation{first, second, publish(t, ch, "q", "3")} {
		if ok, err := d.WaitContext(inTime(t)); !ok || err != nil {
			t.Error(ok, err)
		}
	}
	if len(b.Faults()) != 0 {
		t.Error("the fault is still there")
	}
	hits(t, n, 2)
}

func TestFaultHeldConfirmOfAClosedChannelIsForgotten(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "q")
	n := inject(t, b, Fault{Do: HoldConfirm, Times: -1})
	publish(t, ch, "q", "1")
	if err := n.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	again := confirming(t, c, "q")
	n.Remove()
	if ok, err := publish(t, again, "q", "2").WaitContext(inTime(t)); !ok || err != nil {
		t.Error(ok, err)
	}
	if got := len(b.Trace(OfKind(EventConfirmed))); got != 1 {
		t.Errorf("%d confirms, want that of the second publish", got)
	}
}
