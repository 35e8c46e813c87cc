package amqptest

import (
	"testing"
	"time"
)

// TestRestartAndExpires is what 4.0.5 was seen to do: a classic queue lives for
// x-expires from the restart on; a quorum queue goes when it would have gone,
// but looks each 5 s from the restart on.
func TestRestartAndExpires(t *testing.T) {
	for kind, want := range map[string]time.Duration{"classic": 30 * time.Second, "quorum": 10 * time.Second} {
		d := drive(t, V40, "x-queue-type", kind, "x-expires", int32(30000))
		d.b.Advance(22 * time.Second)
		d.b.Restart()
		d.b.Advance(want - ms)
		if _, ok := d.b.Queue("/", "q"); !ok {
			t.Errorf("%s: gone before %s", kind, want)
		}
		d.b.Advance(ms)
		if _, ok := d.b.Queue("/", "q"); ok {
			t.Errorf("%s: there after %s", kind, want)
		}
	}
}

func TestRestartClearsAlarmsInOrder(t *testing.T) {
	for range 20 {
		b := New(t)
		_ = b.Alarm("memory")
		_ = b.Alarm("disk")
		b.Restart()
		cleared := b.Trace(OfKind(EventAlarmCleared))
		if len(cleared) != 2 || cleared[0].Reason != "disk" || cleared[1].Reason != "memory" {
			t.Fatalf("%v", cleared)
		}
	}
}

func TestCloseConnectionsCountsThoseThatItCloses(t *testing.T) {
	b := New(t)
	dialRaw(t, b)
	if n := b.CloseConnections("first"); n != 1 {
		t.Errorf("%d closed", n)
	}
	dialRaw(t, b)
	if n := b.CloseConnections("second"); n != 1 {
		t.Errorf("%d closed, and one was closing", n)
	}
}
