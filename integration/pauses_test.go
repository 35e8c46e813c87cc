package integration

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Scenario 8 as finding 24 mends it: the dead-letter queue is gone while bad
// messages arrive. The consumer pauses, nothing is lost, and all are in the
// queue once it is there again.
func TestDeadLetterQueueGone(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			l := open(t, link.Config{URLs: []string{b.URL}})
			w := work(t, l, "gone."+string(kind), topology.WorkConfig{Type: kind})
			do(t, l, func(ch *amqp.Channel) error {
				_, err := ch.QueueDelete(w.DeadLetterQueue, false, false, false)
				return err
			})
			health, calls, stop := badJSON(t, l, w, 100)
			for wait(t, health, "the pause").Status != consumer.Paused {
			}
			paused := calls.Load()
			if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
				t.Fatal(err)
			}
			for wait(t, health, "the end of the pause").Status != consumer.Consuming {
			}
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 100 })
			if paused >= 100 {
				t.Errorf("%d handlers ran although nothing could be buried", paused)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := depth(t, l, w.Queue); n != 0 {
				t.Errorf("%d left in the work queue", n)
			}
		})
	})
}

// The same with a dead-letter queue that is full and refuses: room for them
// ends the pause.
func TestDeadLetterQueueFull(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "full", topology.WorkConfig{})
		do(t, l, func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(w.DeadLetterQueue, false, false, false)
			return err
		})
		declareQueue(t, l, w.DeadLetterQueue, amqp.Table{
			"x-queue-type": "quorum", "x-max-length": int32(5), "x-overflow": "reject-publish", "x-delivery-limit": int32(1 << 30)})
		health, _, stop := badJSON(t, l, w, 100)
		for wait(t, health, "the pause").Status != consumer.Paused {
		}
		letters := map[string]bool{}
		eventually(t, func() bool {
			for _, d := range take(t, l, w.DeadLetterQueue) {
				letters[string(d.Body)] = true
			}
			return len(letters) == 100
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// badJSON starts a consumer of JSON over n messages that are none.
func badJSON(t *testing.T, l *link.Link, w topology.Work, n int) (chan consumer.Health, *atomic.Int32, func() error) {
	t.Helper()
	p := publisher(t, l, confirm.Config{})
	for i := range n {
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{Body: fmt.Appendf(nil, "{%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	health := make(chan consumer.Health, 1000)
	calls := new(atomic.Int32)
	count := func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error { calls.Add(1); return next(ctx, d) }
	}
	copies := publisher(t, l, confirm.Config{})
	r := run(t, l, consumer.Config{
		Queue: w.Queue, Prefetch: 20, OnHealth: func(h consumer.Health) { health <- h },
		Handler: reliable(copies, w, retry.Policy{}, count(consumer.JSON(func(context.Context, map[string]any, amqp.Delivery) error { return nil }))),
	})
	return health, calls, func() error { return r.stopped(t) }
}
