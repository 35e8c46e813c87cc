package amqptest

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestRemoveSendsDelayedConfirms(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	late := inject(t, b, Fault{Do: DelayConfirm, Delay: time.Hour, Times: 2})
	reversed := inject(t, b, Fault{Do: ReorderConfirms})
	var confirms []*amqp.DeferredConfirmation
	for _, body := range []string{"1", "2"} {
		confirms = append(confirms, publish(t, ch, "q", body))
	}
	if err := late.Wait(inTime(t), 2); err != nil {
		t.Fatal(err)
	}
	late.Remove()
	for _, c := range confirms {
		if ok, err := c.WaitContext(inTime(t)); err != nil || !ok {
			t.Error("not confirmed by Remove:", ok, err)
		}
	}
	b.Advance(time.Hour) // what was sent is not sent again
	if n := len(b.Trace(OfKind(EventConfirmed))); n != 2 || reversed.Hits() != 2 {
		t.Errorf("%d confirms, %d reversed", n, reversed.Hits())
	}
}

// TestTimedAlarmIsNoOther: a timed alarm ends what was raised for that time
// alone.
func TestTimedAlarmIsNoOther(t *testing.T) {
	timed := Fault{Do: RaiseAlarm, Delay: time.Minute}
	alarm := func(t *testing.T, b *Broker) {
		t.Helper()
		if err := b.Alarm("memory"); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		do   func(t *testing.T, b *Broker)
		ends []time.Duration
	}{
		"alone": {func(t *testing.T, b *Broker) { inject(t, b, timed) }, []time.Duration{time.Minute}},
		"raised before": {func(t *testing.T, b *Broker) {
			alarm(t, b)
			inject(t, b, timed)
		}, nil},
		"raised meanwhile": {func(t *testing.T, b *Broker) {
			inject(t, b, timed)
			alarm(t, b)
		}, nil},
		"raised anew": {func(t *testing.T, b *Broker) {
			inject(t, b, timed)
			b.Advance(30 * time.Second)
			if err := b.ClearAlarm("memory"); err != nil {
				t.Fatal(err)
			}
			alarm(t, b)
		}, []time.Duration{30 * time.Second}},
		"two": {func(t *testing.T, b *Broker) {
			inject(t, b, timed)
			b.Advance(30 * time.Second)
			inject(t, b, timed)
			inject(t, b, Fault{Do: RaiseAlarm, Delay: time.Second})
		}, []time.Duration{90 * time.Second}},
		"restarted": {func(t *testing.T, b *Broker) {
			inject(t, b, timed)
			b.Restart()
			alarm(t, b)
		}, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(t)
			start := b.Now()
			test.do(t, b)
			b.Advance(time.Hour)
			var ends []time.Duration
			for _, e := range b.Trace(OfKind(EventAlarmCleared)) {
				ends = append(ends, e.At.Sub(start))
			}
			if len(ends) != len(test.ends) || len(ends) > 0 && ends[0] != test.ends[0] {
				t.Errorf("cleared at %v, want %v", ends, test.ends)
			}
		})
	}
}

// TestOverlappingStalls: a connection is stalled while any fault stalls it.
func TestOverlappingStalls(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	inject(t, b, Fault{Do: Stall, On: "basic.publish", Delay: 10 * time.Second})
	second := inject(t, b, Fault{Do: Stall, On: "basic.publish"})
	publish(t, ch, "q", "1")
	if err := second.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	b.Advance(11 * time.Second)
	after := publish(t, ch, "q", "2")
	if stalled(b, "p") == nil {
		t.Errorf("the connection is read although the fault without a Delay was hit and not removed")
	}
	second.Remove()
	if ok, err := after.WaitContext(inTime(t)); err != nil || !ok {
		t.Error("not read on:", ok, err)
	}
}

// TestStallLasts: a fault that stalls a connection again while it does so has
// it stalled for longer.
func TestStallLasts(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	if _, err := ch.Consume("q", "", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	n := inject(t, b, Fault{Do: Stall, On: "basic.deliver", Delay: 10 * time.Second, Times: 2})
	publish(t, ch, "q", "1")
	if err := n.Wait(inTime(t), 1); err != nil {
		t.Fatal(err)
	}
	b.Advance(6 * time.Second)
	publish(t, confirming(t, dialNamed(t, b, "other"), "q"), "q", "2")
	if err := n.Wait(inTime(t), 2); err != nil {
		t.Fatal(err)
	}
	b.Advance(6 * time.Second)
	if stalled(b, "p") == nil {
		t.Error("read 12 s after the first hit, 6 s after the second")
	}
	b.Advance(4 * time.Second)
	if stalled(b, "p") != nil {
		t.Error("still stalled 10 s after the last hit")
	}
}

// stalled is what the reader of the connection of that name waits for; nil:
// nothing.
func stalled(b *Broker, name string) <-chan struct{} {
	b.lock()
	defer b.unlock()
	for _, c := range b.conns {
		if c.clientName() == name {
			return c.stall.wait()
		}
	}
	return nil
}
