package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// watched is a monitor that runs twice a second, and the alarms it has told.
type watched struct {
	*monitor.Monitor
	t *testing.T

	mu   sync.Mutex
	told []string
}

func watch(t *testing.T, b *brokertest.Broker, cfg monitor.Config) *watched {
	t.Helper()
	w := &watched{t: t}
	cfg.Management, cfg.Every, cfg.Logger = management(t, b), 500*time.Millisecond, logger()
	cfg.OnAlarm = func(a monitor.Alarm) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, fmt.Sprintf("%s %s %v", a.Kind, a.Queue, a.Raised))
	}
	m, err := monitor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Monitor = m
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// index is where the alarm was told; -1: not yet.
func (w *watched) index(kind monitor.Kind, queue string, raised bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := fmt.Sprintf("%s %s %v", kind, queue, raised)
	for i, s := range w.told {
		if s == want {
			return i
		}
	}
	return -1
}

// await waits until the alarm was told, and forgets all until then.
func (w *watched) await(kind monitor.Kind, queue string, raised bool) {
	w.t.Helper()
	brokertest.Eventually(w.t, patience, func() error {
		i := w.index(kind, queue, raised)
		w.mu.Lock()
		defer w.mu.Unlock()
		if i < 0 {
			return fmt.Errorf("no %s of %q, raised %v, but %q", kind, queue, raised, w.told)
		}
		w.told = w.told[i+1:]
		return nil
	})
}

// publishTo publishes n messages to a queue, confirmed.
func publishTo(t *testing.T, p *confirm.Publisher, queue string, n int) {
	t.Helper()
	for range n {
		if err := p.Publish(deadline(t), "", queue, amqp.Publishing{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
}

// Each threshold of a queue, crossed and left again, by the numbers of the real API.
func TestMonitorQueues(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		orders := work(t, l, "orders", topology.WorkConfig{})
		declareQueue(t, l, "classic", nil)
		queues := monitor.Watch(orders)
		queues[0].Pending, queues[0].Unacked, queues[0].Backlog = 50, 20, -1
		queues = append(queues, monitor.Queue{Name: "classic", MinConsumers: -1, BackingUp: -1, OldestMessage: 3 * time.Second})
		w := watch(t, b, monitor.Config{Queues: queues})

		w.await(monitor.NoConsumers, "orders", true)
		publishTo(t, p, "orders", 51)
		w.await(monitor.Pending, "orders", true)
		ch := b.Channel(t)
		if err := ch.Qos(51, 0, false); err != nil {
			t.Fatal(err)
		}
		deliveries, err := ch.Consume("orders", "c", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.await(monitor.Unacked, "orders", true)
		for range 51 {
			if err := (<-deliveries).Ack(false); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, func() bool { return len(w.Alarms()) == 0 })

		// Three times as many come as go.
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-tick.C:
				case <-stop:
					return
				}
				if err := p.Publish(deadline(t), "", "orders", amqp.Publishing{}); err != nil {
					t.Error(err)
				}
				if i%3 == 0 {
					_ = (<-deliveries).Ack(false)
				}
			}
		}()
		w.await(monitor.BackingUp, "orders", true)
		close(stop)
		<-stopped
		w.await(monitor.BackingUp, "orders", false)
		if r := w.Report().Queues[0]; !r.PublishRate.Known || !r.ConsumeRate.Known || !r.Held.Known || r.Members.Value != 1 || r.Online.Value != 1 {
			t.Errorf("%+v", r)
		}

		publishTo(t, p, orders.DeadLetterQueue, 1)
		w.await(monitor.DeadLetters, orders.DeadLetterQueue, true)
		take(t, l, orders.DeadLetterQueue)
		w.await(monitor.DeadLetters, orders.DeadLetterQueue, false)

		if r := w.Report().Queues[0]; r.OldestMessage.Known { // quorum
			t.Errorf("%+v", r)
		}
		publishTo(t, p, "classic", 1)
		w.await(monitor.OldestMessage, "classic", true)
		take(t, l, "classic")
		w.await(monitor.OldestMessage, "classic", false)

		if err := b.API().DeleteQueue(deadline(t), "orders"); err != nil {
			t.Fatal(err)
		}
		w.await(monitor.QueueMissing, "orders", true)
		work(t, l, "orders", topology.WorkConfig{})
		w.await(monitor.QueueMissing, "orders", false)
	})
}

// The ladder stands because its target is full: RabbitMQ counts what it holds back.
func TestMonitorLadder(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		full := work(t, l, "full", topology.WorkConfig{MaxLength: 1, Overflow: topology.RejectPublish, Ladder: topology.Ladder{Scope: "full", Levels: 6}})
		w := watch(t, b, monitor.Config{Ladders: monitor.Ladders(full), LadderMessages: 9})
		eventually(t, func() bool { return len(w.Report().Ladders) == 1 && w.Report().Ladders[0].Held.Known })
		for err := error(nil); err == nil; { // how many it takes beyond its length is a race
			err = p.Publish(deadline(t), "", "full", amqp.Publishing{})
		}
		park := func(n int) {
			exchange, key, _ := full.Park(400 * time.Millisecond)
			for range n {
				if err := p.Publish(deadline(t), exchange, key, amqp.Publishing{DeliveryMode: amqp.Persistent}); err != nil {
					t.Fatal(err)
				}
			}
		}
		park(5)
		w.await(monitor.LadderStuck, "", true)
		if r := w.Report().Ladders[0]; r.Held.Value < 1 || r.Messages.Value < r.Held.Value {
			t.Errorf("%v held of %v messages", r.Held, r.Messages)
		}
		eventually(t, func() bool { // at-least-once: the dead-letter worker tries again by and by
			take(t, l, "full")
			return w.index(monitor.LadderStuck, "", false) >= 0
		})
		if err := b.API().DeleteQueue(deadline(t), "full"); err != nil {
			t.Fatal(err)
		}
		park(2)
		w.await(monitor.Unclaimed, full.Ladder.Unclaimed(), true)
		take(t, l, full.Ladder.Unclaimed())
		w.await(monitor.Unclaimed, full.Ladder.Unclaimed(), false)
	})
}

// A memory alarm; then the broker freezes, and stops. What was wrong before is not cleared
// meanwhile.
func TestMonitorBrokerInTrouble(t *testing.T) {
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		work(t, l, "orders", topology.WorkConfig{})
		w := watch(t, b, monitor.Config{Queues: []monitor.Queue{{Name: "orders"}}, Timeout: 3 * time.Second})
		w.await(monitor.NoConsumers, "orders", true)
		b.Alarm(t)
		w.await(monitor.MemoryAlarm, "", true)
		b.ClearAlarm(t)
		w.await(monitor.MemoryAlarm, "", false)

		if strings.HasPrefix(b.Image, "amqptest:") {
			return // the API of an embedded broker goes on while its AMQP sockets do not
		}
		b.Pause(t)
		w.await(monitor.APISlow, "", true)
		b.Unpause(t)
		w.await(monitor.APISlow, "", false)

		b.Stop(t)
		w.await(monitor.APIUnavailable, "", true)
		if r := w.Report(); r.Err == nil || r.Queues[0].Consumers.Known {
			t.Errorf("%+v", r)
		}
		b.Start(t)
		w.await(monitor.APIUnavailable, "", false)
		if i := w.index(monitor.NoConsumers, "orders", false); i >= 0 {
			t.Error("no-consumers was cleared, and there is none")
		}
	})
}
