package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// H 8.2, H 13 (double settle): a handler that acks by itself, twice, and rejects
// as well, is told that it cannot, and settles nothing: no channel is closed, and
// every message is handled once.
func TestHandlersCannotSettle(t *testing.T) {
	const n = 20
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "twice", quorum)
		p := publisher(t, l, confirm.Config{})
		handled := newTally()
		health := make(chan consumer.Health, 100)
		r := run(t, l, consumer.Config{
			Queue: "twice", Workers: 4, Prefetch: 8, OnHealth: func(h consumer.Health) { health <- h },
			Handler: func(_ context.Context, d amqp.Delivery) error {
				for what, err := range map[string]error{"ack": d.Ack(false), "second ack": d.Ack(true), "nack": d.Nack(false, true), "reject": d.Reject(false)} {
					if err == nil {
						t.Errorf("a handler's own %s returned nil", what)
					}
				}
				handled.add(d.MessageId)
				return nil
			},
		})
		for i := range n {
			if err := p.Publish(deadline(t), "", "twice", amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		handled.until(t, "all messages", func() bool { return handled.distinct() == n })
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		for i := range n {
			if got := handled.of(fmt.Sprint(i)); got != 1 {
				t.Errorf("message %d was handled %d times", i, got)
			}
		}
		for len(health) > 0 {
			if h := <-health; h.Status == consumer.Disconnected {
				t.Errorf("the session was lost: %v", h.Err)
			}
		}
		if left := depth(t, l, "twice"); left != 0 {
			t.Errorf("%d messages are left", left)
		}
	})
}

// H 3.1, H 13 (a fanout with one full queue): an event that one of two queues
// refuses is nacked, and counts as a failed attempt of the handler that passes it
// on; it is tried again until the queue takes it. The other queue has a copy of
// each attempt, all under one message-id.
func TestFanoutWithOneFullQueue(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		declareQueue(t, l, "roomy", quorum)
		declareQueue(t, l, "full", amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
		do(t, l, func(ch *amqp.Channel) error {
			return errors.Join(
				ch.ExchangeDeclare("all", "fanout", true, false, false, false, nil),
				ch.QueueBind("roomy", "", "all", false, nil),
				ch.QueueBind("full", "", "all", false, nil))
		})
		for p.Publish(deadline(t), "", "full", amqp.Publishing{MessageId: "filler"}) == nil {
		}
		w := work(t, l, "forward", topology.WorkConfig{})
		again := make(chan struct{}, 100)
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(publisher(t, l, confirm.Config{}), w,
			retry.Policy{BackOff: retry.Constant(100 * time.Millisecond), MaxRetries: 100}, func(ctx context.Context, d amqp.Delivery) error {
				told, err := story.Read(d.Headers)
				if err != nil {
					return err
				}
				if told.RetryCount > 0 {
					again <- struct{}{}
				}
				return p.Start(context.WithoutCancel(ctx), "all", "", amqp.Publishing{MessageId: d.MessageId, Body: d.Body})
			})})
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: "m"}); err != nil {
			t.Fatal(err)
		}
		wait(t, again, "the second attempt")
		full := map[string]int{}
		eventually(t, func() bool { // one attempt later than it has room
			for _, d := range take(t, l, "full") {
				full[d.MessageId]++
			}
			return full["m"] > 0
		})
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		copies := 0
		for _, d := range take(t, l, "roomy") {
			if d.MessageId != "m" {
				t.Errorf("message %s", d.MessageId)
			}
			copies++
		}
		if full["m"] != 1 || copies < 2 {
			t.Errorf("%d in the full queue, %d in the other, which has one of each attempt", full["m"], copies)
		}
		if n := depth(t, l, w.DeadLetterQueue) + depth(t, l, w.Queue); n != 0 {
			t.Errorf("%d messages are left over", n)
		}
	})
}
