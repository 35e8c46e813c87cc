package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestAlarmBlocksThoseWhoPublish(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r, consumer := dialRaw(t, b), dialRaw(t, b)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
		call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
		r.publish("", "q", "before")
		expect[*wire.BasicAck](r, 1)
		for _, resource := range []string{"memory", "disk"} {
			if err := b.Alarm(resource); err != nil {
				t.Fatal(err)
			}
		}
		// Who published before is not blocked before the next publish.
		call[*wire.ChannelFlowOk](r, &wire.ChannelFlow{Active: true})

		// A publish is taken up to its header.
		r.publish("", "q", "during")
		if m := expect[*wire.ConnectionBlocked](r, 0); m.Reason != "low on disk & memory" {
			t.Errorf("reason %q", m.Reason)
		}
		r.publish("", "q", "after")
		r.send(1, &wire.ChannelFlow{Active: true})

		call[*wire.BasicConsumeOk](consumer, &wire.BasicConsume{Queue: "q"})
		m, _ := expectContent[*wire.BasicDeliver](consumer, 1)
		consumer.send(1, &wire.BasicAck{DeliveryTag: m.DeliveryTag})
		call[*wire.QueueDeclareOk](consumer, &wire.QueueDeclare{Queue: "q", Passive: true})
		if info := b.Connections()[0]; info.State != "blocked" {
			t.Errorf("state %q", info.State)
		}

		if err := b.ClearAlarm("memory"); err != nil {
			t.Fatal(err)
		}
		if n := b.waitReady("q"); n != 0 {
			t.Errorf("%d ready while the alarm of disk is on", n)
		}
		if err := b.ClearAlarm("disk"); err != nil {
			t.Fatal(err)
		}
		expect[*wire.ConnectionUnblocked](r, 0)
		if acked, _ := collectVerdictsFrom(r, 1, 3); len(acked) != 2 {
			t.Errorf("acked %v", acked)
		}
		expect[*wire.ChannelFlowOk](r, 1)
	})
}

// collectVerdictsFrom is collectVerdicts after the first seqs were confirmed.
func collectVerdictsFrom(r *raw, after, last uint64) (acked, nacked []uint64) {
	r.t.Helper()
	for next := after + 1; next <= last; {
		m := expect[*wire.BasicAck](r, 1)
		for ; next <= m.DeliveryTag; next++ {
			acked = append(acked, next)
		}
	}
	return acked, nacked
}

func TestAlarmWithAnEmptyBody(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	if err := b.Alarm("memory"); err != nil {
		t.Fatal(err)
	}
	// Header and all: this one is done.
	r.publish("", "q", "")
	got := map[string]bool{}
	for range 2 {
		switch m := r.receive().method.(type) {
		case *wire.BasicAck:
			got["ack"] = true
		case *wire.ConnectionBlocked:
			got[m.Reason] = true
		}
	}
	if !got["ack"] || !got["low on memory"] {
		t.Errorf("got %v", got)
	}
}

func TestAlarmsAreNamed(t *testing.T) {
	b := New(t)
	if b.Alarm("cpu") == nil || b.ClearAlarm("") == nil {
		t.Error("no error")
	}
}

func TestBlockedConnectionsEnd(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	if err := b.Alarm("disk"); err != nil {
		t.Fatal(err)
	}
	r.publish("", "q", "x")
	expect[*wire.ConnectionBlocked](r, 0)
	b.Restart()
	r.expectConnectionClosed(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
}
