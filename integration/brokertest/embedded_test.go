package brokertest

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const soon = 10 * time.Second

// embedded is a broker of this test's own, in this process.
func embedded(t *testing.T) *Broker {
	t.Helper()
	n, err := startEmbedded("amqptest:4.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.remove(); err != nil {
			t.Error(err)
		}
	})
	return newBroker(t, n, false)
}

func TestEmbeddedVersions(t *testing.T) {
	for name, want := range map[string]string{"amqptest:3.10": "3.10.8", "amqptest:4.0": "4.0.5", "amqptest:4.3": "4.3.6"} {
		n, err := startEmbedded(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.where().version; got != want {
			t.Errorf("%s says that it is %q, want %q", name, got, want)
		}
		if err := n.remove(); err != nil {
			t.Error(err)
		}
	}
	if _, err := startEmbedded("amqptest:2.0", nil); err == nil {
		t.Error("a broker of an unknown version was started")
	}
}

func TestEmbeddedStopsAndStarts(t *testing.T) {
	b := embedded(t)
	for _, stop := range []struct {
		name string
		do   func(testing.TB)
		code int // 0: cut, without a word
	}{{"stop", b.Stop, amqp.ConnectionForced}, {"kill", b.Kill, 0}} {
		ch := b.Channel(t)
		for _, durable := range []bool{true, false} {
			name := map[bool]string{true: "kept", false: "lost"}[durable]
			if _, err := ch.QueueDeclare(name, durable, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			m := amqp.Publishing{DeliveryMode: amqp.Persistent}
			if err := ch.PublishWithContext(t.Context(), "", name, false, false, m); err != nil {
				t.Fatal(err)
			}
		}
		b.AwaitDepth(t, "lost", 1, soon)
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		stop.do(t)
		if err := await(t, closed); stop.code != 0 && (err == nil || err.Code != stop.code) || stop.code == 0 && err != nil && err.Server {
			t.Errorf("%s: the connection ended with %v, want code %d", stop.name, err, stop.code)
		}
		if conn, err := dial(b.URL, soon); err == nil {
			_ = conn.Close()
			t.Errorf("%s: it still takes connections", stop.name)
		}
		b.Start(t)
		if got := b.Depth(t, "kept"); got != 1 {
			t.Errorf("%s: %d messages are left in the durable queue, want 1", stop.name, got)
		}
		if _, err := b.depth("lost"); err == nil {
			t.Errorf("%s: the queue that is not durable is still there", stop.name)
		}
		if _, err := b.Channel(t).QueueDelete("kept", false, false, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmbeddedPause(t *testing.T) {
	b := embedded(t)
	ch := b.Channel(t)
	b.Pause(t)
	answered := make(chan error, 2)
	go func() {
		_, err := ch.QueueDeclare("q", true, false, false, false, nil)
		answered <- err
	}()
	go func() {
		conn, err := dial(b.URL, soon)
		if err == nil {
			err = conn.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a paused broker answered: %v", err)
	case <-time.After(100 * time.Millisecond): // there is no event that nothing happens
	}
	b.Unpause(t)
	for range 2 {
		if err := await(t, answered); err != nil {
			t.Error(err)
		}
	}
}

func TestEmbeddedAlarm(t *testing.T) {
	b := embedded(t)
	b.Alarm(t)
	if b.API().Healthy(t.Context()) == nil {
		t.Error("no alarm")
	}
	b.ClearAlarm(t)
	if err := b.API().Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.node.ctl("forget_cluster_node", "x"); err == nil || !strings.Contains(err.Error(), "forget_cluster_node") {
		t.Errorf("a command that it does not have: %v", err)
	}
	if !strings.Contains(b.Log(10), "alarm") {
		t.Errorf("the log tells of no alarm: %s", b.Log(10))
	}
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatal("timed out")
		panic("unreachable")
	}
}
