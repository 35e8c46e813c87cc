package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// countedCopies counts how often each copy is published.
type countedCopies struct {
	pub    *confirm.Publisher
	starts *tally
}

func (c *countedCopies) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	c.starts.add("all")
	c.starts.add(msg.MessageId)
	return c.pub.Start(ctx, exchange, key, msg)
}

// repeats is how many copies were published again.
func (c *countedCopies) repeats() int { return c.starts.of("all") - (c.starts.distinct() - 1) }

// Scenario 8 (R 24) over several failed repeats: the dead-letter queue is gone, or
// full, until copies have been refused again and again. A message whose copy is
// refused twice is kept as one that is refused once; none is lost, and nothing is
// left in the work queue.
func TestDeadLetterQueueStaysBroken(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		for _, full := range []bool{false, true} {
			t.Run(map[bool]string{false: "gone", true: "full"}[full], func(t *testing.T) {
				types(t, func(t *testing.T, kind topology.QueueType) {
					l := open(t, link.Config{URLs: []string{b.URL}})
					w := work(t, l, fmt.Sprintf("broken.%v.%s", full, kind), topology.WorkConfig{Type: kind})
					p := publisher(t, l, confirm.Config{})
					const n = 50
					for i := range n {
						if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
							t.Fatal(err)
						}
					}
					do(t, l, func(ch *amqp.Channel) error {
						_, err := ch.QueueDelete(w.DeadLetterQueue, false, false, false)
						return err
					})
					if full {
						declareQueue(t, l, w.DeadLetterQueue, amqp.Table{"x-queue-type": "quorum", "x-max-length": int32(5), "x-overflow": "reject-publish"})
					}
					copies := &countedCopies{publisher(t, l, confirm.Config{}), newTally()}
					health := make(chan consumer.Health, 1000)
					handled := newTally()
					r := run(t, l, consumer.Config{
						Queue: w.Queue, Prefetch: 20, OnHealth: func(h consumer.Health) { health <- h },
						Handler: consumer.Chain(
							func(_ context.Context, d amqp.Delivery) error {
								handled.add(d.MessageId)
								return retry.Permanent(errors.New("no"))
							},
							dlq.Middleware(copies, w, dlq.Config{Logger: logger()}),
							retry.Middleware(copies, w, retry.Policy{Logger: logger()})),
					})
					for wait(t, health, "the pause").Status != consumer.Paused {
					}
					before := handled.distinct()
					copies.starts.until(t, "the fifth repeat", func() bool { return copies.repeats() >= 5 })
					if now := handled.distinct(); now > before+1 || now >= n {
						t.Errorf("%d messages were handled in the pause, %d before", now-before, before)
					}
					letters := map[string]bool{}
					collect := func() {
						for _, d := range take(t, l, w.DeadLetterQueue) {
							letters[d.MessageId] = true
						}
					}
					if !full { // else collecting makes room
						if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
							t.Fatal(err)
						}
					}
					brokertest.Eventually(t, patience, func() error {
						if collect(); len(letters) < n {
							return fmt.Errorf("%d of %d messages are in the dead-letter queue", len(letters), n)
						}
						return nil
					})
					if err := r.stopped(t); err != nil {
						t.Error(err)
					}
					if left := depth(t, l, w.Queue); left != 0 {
						t.Errorf("%d left in the work queue", left)
					}
				})
			})
		}
	})
}
