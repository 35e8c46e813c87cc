package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Finding 7 (R 7): give-backs among acks. The broker closes the channel on a
// multiple ack of a tag it no longer knows, and undoes all acks below it.
func TestGiveBacksAmongAcks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "mixed", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int32(1000)})
		p := publisher(t, l, confirm.Config{})
		const n = 400
		for i := range n {
			p.Send(deadline(t), "", "mixed", amqp.Publishing{MessageId: fmt.Sprint(i)})
		}
		eventually(t, func() bool { return depth(t, l, "mixed") == n })
		calls, handled := newTally(), newTally()
		var lost atomic.Int32
		r := run(t, l, consumer.Config{
			Queue: "mixed", Workers: 8, Prefetch: 50,
			OnHealth: func(h consumer.Health) {
				if h.Status == consumer.Disconnected {
					lost.Add(1)
				}
			},
			Handler: func(_ context.Context, d amqp.Delivery) error {
				first := calls.add(d.MessageId) == 1
				if i := len(d.MessageId); first && d.MessageId[i-1] == '3' {
					return errors.New("give it back")
				}
				handled.add(d.MessageId)
				return nil
			},
		})
		handled.until(t, "all messages", func() bool { return handled.distinct() == n })
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		if lost.Load() != 0 {
			t.Errorf("the session was lost %d times", lost.Load())
		}
		for i := range n {
			if got := handled.of(fmt.Sprint(i)); got != 1 {
				t.Errorf("message %d was handled %d times: its ack was undone", i, got)
			}
		}
		if left := depth(t, l, "mixed"); left != 0 {
			t.Errorf("%d messages left", left)
		}
	})
}

// The queue is deleted under the consumer, which no close tells of (H 8.3): it
// resubscribes once the queue is back.
func TestQueueDeletedUnderAConsumer(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "deleted", quorum)
		handled := make(chan string, 10)
		health := make(chan consumer.Health, 100)
		r := run(t, l, consumer.Config{
			Queue: "deleted", OnHealth: func(h consumer.Health) { health <- h },
			Handler: func(_ context.Context, d amqp.Delivery) error { handled <- d.MessageId; return nil },
		})
		wait(t, health, "the subscription")
		do(t, l, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("deleted", false, false, false); return err })
		for wait(t, health, "the loss").Status != consumer.Disconnected {
		}
		declareQueue(t, l, "deleted", quorum)
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", "deleted", amqp.Publishing{MessageId: "after"}); err != nil {
			t.Fatal(err)
		}
		if id := wait(t, handled, "a delivery from the new queue"); id != "after" {
			t.Errorf("handled %q", id)
		}
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
	})
}

// A queue that stays away ends Run with an error that names it; a queue that
// was never there, at once.
func TestMissingQueueIsTold(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		nothing := func(context.Context, amqp.Delivery) error { return nil }
		err := run(t, l, consumer.Config{Queue: "never", Handler: nothing}).wait(t)
		var refused *consumer.SubscribeError
		var reason *amqp.Error
		if !errors.As(err, &refused) || !errors.As(err, &reason) || reason.Code != amqp.NotFound || !strings.Contains(err.Error(), "never") {
			t.Errorf("error %v", err)
		}
		declareQueue(t, l, "gone", quorum)
		health := make(chan consumer.Health, 100)
		r := run(t, l, consumer.Config{Queue: "gone", Handler: nothing, GiveUpAfter: 100 * time.Millisecond, OnHealth: func(h consumer.Health) { health <- h }})
		wait(t, health, "the subscription")
		do(t, l, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("gone", false, false, false); return err })
		if err := r.wait(t); !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
	})
}

// Panics outside Recover, of middleware too, leave the process alive and the
// message in the queue; three in a row are told.
func TestPanicsOutsideRecover(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "panics", quorum)
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", "panics", amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		health := make(chan consumer.Health, 100)
		r := run(t, l, consumer.Config{
			Queue: "panics", OnHealth: func(h consumer.Health) { health <- h },
			Handler: func(context.Context, amqp.Delivery) error { panic("boom") },
		})
		for wait(t, health, "the alarm").Status != consumer.Panicking {
		}
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		eventually(t, func() bool { return depth(t, l, "panics") == 1 })
	})
}

// A handler that does not look at its ctx is told, by number, and Run returns.
func TestDrainTellsWhoIsStuck(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "stuck", quorum)
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", "stuck", amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		started, release := make(chan struct{}, 1), make(chan struct{})
		r := run(t, l, consumer.Config{
			Queue: "stuck", DrainTimeout: 50 * time.Millisecond,
			Handler: func(context.Context, amqp.Delivery) error { started <- struct{}{}; <-release; return nil },
		})
		wait(t, started, "the handler")
		var stuck *consumer.DrainError
		if err := r.stopped(t); !errors.As(err, &stuck) || stuck.Running != 1 {
			t.Errorf("error %v", err)
		}
		close(release)
		eventually(t, func() bool { return depth(t, l, "stuck") == 1 })
	})
}

// What is finished during the drain is acked, not handled again.
func TestDrainSettlesWhatFinishes(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "drained", quorum)
		p := publisher(t, l, confirm.Config{})
		for range 20 {
			if err := p.Publish(deadline(t), "", "drained", amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		started, release := make(chan struct{}, 20), make(chan struct{})
		r := run(t, l, consumer.Config{
			Queue: "drained", Workers: 4,
			Handler: func(context.Context, amqp.Delivery) error { started <- struct{}{}; <-release; return nil },
		})
		for range 4 {
			wait(t, started, "the handlers")
		}
		r.stop()
		close(release)
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
		handled := 4 + len(started)
		eventually(t, func() bool { return depth(t, l, "drained") == 20-handled })
	})
}

// Deliveries that wait too long for a worker go back before the broker's
// consumer timeout, and the prefetch shrinks until none does (R 19).
func TestPrefetchShrinksBeforeTheConsumerTimeout(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "slow", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int32(1000)})
		p := publisher(t, l, confirm.Config{})
		for i := range 40 {
			if err := p.Publish(deadline(t), "", "slow", amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		var shrunk atomic.Int32
		consuming := make(chan consumer.Health, 100)
		hold := make(chan struct{})
		r := run(t, l, consumer.Config{
			Queue: "slow", Prefetch: 32, ConsumerTimeout: 400 * time.Millisecond,
			OnHealth: func(h consumer.Health) { consuming <- h },
			Handler: func(ctx context.Context, _ amqp.Delivery) error {
				if shrunk.Add(1) == 1 {
					<-hold // until the others have waited for half the timeout
				}
				return nil
			},
		})
		wait(t, consuming, "the subscription")
		eventually(t, func() bool { return state(t, b, "slow").Unacked == 32 })
		// The old session ends when its one running handler does.
		time.AfterFunc(300*time.Millisecond, func() { close(hold) })
		eventually(t, func() bool { return state(t, b, "slow").Ready+state(t, b, "slow").Unacked == 0 })
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		sessions := 1
		for len(consuming) > 0 {
			switch s := <-consuming; s.Status {
			case consumer.Disconnected:
				t.Errorf("the broker ended the session: %v", s.Err)
			case consumer.Consuming:
				sessions++
			}
		}
		if sessions < 2 {
			t.Error("the deliveries that waited were not given back")
		}
	})
}
