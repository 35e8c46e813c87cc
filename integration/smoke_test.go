package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hareline/hareline/integration/brokertest"
	amqp "github.com/rabbitmq/amqp091-go"
)

func TestMain(m *testing.M) {
	hailWorker()
	brokertest.Main(m)
}

const limit = 10 * time.Second

func TestSmokePublishAndGet(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		ch := b.Channel(t)
		declareQuorum(t, ch, "orders")
		publish(t, ch, "orders", "first")
		b.AwaitDepth(t, "orders", 1, limit)
		if got := get(t, ch, "orders"); got != "first" {
			t.Fatalf("got %q, want %q", got, "first")
		}
		if got := b.Depth(t, "orders"); got != 0 {
			t.Fatalf("%d messages left, want 0", got)
		}
		queues, err := b.API().Queues(t.Context())
		if err != nil || len(queues) != 1 || queues[0].Type != "quorum" {
			t.Fatalf("queues of the virtual host: %+v, %v; want the one quorum queue", queues, err)
		}
	})
}

func TestSmokeProxyCut(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		p := b.Proxy(t)
		conn, err := amqp.Dial(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		p.Cut()
		select {
		case <-closed:
		case <-time.After(limit):
			t.Fatal("the connection lived on after the cut")
		}
		again, err := amqp.Dial(p.URL())
		if err != nil {
			t.Fatalf("dial after the cut: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSmokeRestartAndKillKeepPersistentMessages(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		ch := b.Channel(t)
		declareQuorum(t, ch, "orders")
		publish(t, ch, "orders", "first")
		b.Restart(t)
		publish(t, b.Channel(t), "orders", "second")
		b.Kill(t)
		b.Start(t)
		b.AwaitDepth(t, "orders", 2, limit)
		ch = b.Channel(t)
		for _, want := range []string{"first", "second"} {
			if got := get(t, ch, "orders"); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestSmokeAlarm(t *testing.T) {
	b := brokertest.Fresh(t, brokertest.Versions(t)[0])
	conn := b.Dial(t)
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if want {
			b.Alarm(t)
			if err := ch.PublishWithContext(t.Context(), "", "nowhere", false, false, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		} else {
			b.ClearAlarm(t)
		}
		select {
		case got := <-blocked:
			if got.Active != want {
				t.Fatalf("blocked: %v, want %v", got.Active, want)
			}
		case <-time.After(limit):
			t.Fatalf("no word that blocked is %v", want)
		}
	}
}

func declareQuorum(t *testing.T, ch *amqp.Channel, name string) {
	t.Helper()
	if _, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, ch *amqp.Channel, queue, body string) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	if err == nil {
		var acked bool
		if acked, err = c.WaitContext(ctx); err == nil && !acked {
			err = errors.New("nacked")
		}
	}
	if err != nil {
		t.Fatalf("publish %q: %v", body, err)
	}
}

func get(t *testing.T, ch *amqp.Channel, queue string) string {
	t.Helper()
	d, ok, err := ch.Get(queue, true)
	if err != nil || !ok {
		t.Fatalf("get from %q: found %v, %v", queue, ok, err)
	}
	return string(d.Body)
}
