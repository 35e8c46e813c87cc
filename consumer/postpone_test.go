package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// What middleware postpones is no attempt: retry and dlq leave it, nothing is
// settled, others overtake it.
func TestPostponed(t *testing.T) {
	for where, each := range map[string]func(*testing.T, func(*testing.T, *amqptest.Broker)){"outermost": each, "innermost": on40} {
		t.Run(where, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w, copies := work(t, l, topology.WorkConfig{DeliveryLimit: 5})
				fill(t, b, w.Queue, 10)
				var c, asked calls
				late := func(next consumer.Handler) consumer.Handler {
					return func(ctx context.Context, d amqp.Delivery) error {
						if asked.add(d) <= 100 && d.MessageId == "3" {
							return fmt.Errorf("wrapped: %w", consumer.Postpone(time.Second, errWhy))
						}
						return next(ctx, d)
					}
				}
				handler := func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil }
				h := late(chain(copies, w, retry.Policy{}, handler))
				if where == "innermost" {
					h = chain(copies, w, retry.Policy{}, late(handler))
				}
				r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
				pass(99 * time.Second)
				if c.distinct() != 9 || unacked(b, w.Queue) != 1 {
					t.Errorf("%d handled, %d unacked", c.distinct(), unacked(b, w.Queue))
				}
				drained(t, b, w.Queue)
				r.Stopped(t)
				c.once(t, 10)
				left(t, b, w.DeadLetterQueue)
				if got := asked.all()["3"]; got != 101 {
					t.Errorf("asked %d times", got)
				}
				if got := requeued(b); len(got) > 0 {
					t.Errorf("given back: %v", got)
				}
			})
		})
	}
}

// Middleware that always postpones, without a delay: no spinning, and it goes
// back before the consumer timeout (R 19).
func TestPostponedForEver(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 3)
		var asked calls
		r := run(t, l, consumer.Config{Queue: "q", ConsumerTimeout: 4 * time.Minute, Handler: func(_ context.Context, d amqp.Delivery) error {
			asked.add(d)
			return consumer.Postpone(0, nil)
		}})
		pass(150 * time.Second)
		if got := requeued(b); len(got) != 3 {
			t.Errorf("given back after 2 minutes: %v", got)
		}
		r.Stopped(t)
		ready := ids(b.Messages("/", "q"))
		if slices.Sort(ready); !slices.Equal(ready, numbers(0, 3)) {
			t.Errorf("in the queue: %v", ready)
		}
		if got := asked.all()["0"]; got > 1600 {
			t.Errorf("asked %d times", got)
		}
	})
}
