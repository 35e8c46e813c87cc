package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Acks go out for several deliveries at once, but never past one that is not
// finished: its handler is cut off by the consumer's end, and it alone is left.
func TestAcksStopAtTheUnfinished(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "unfinished", quorum)
		p := publisher(t, l, confirm.Config{})
		const n, stuck = 201, "100"
		for i := range n {
			p.Send(deadline(t), "", "unfinished", amqp.Publishing{MessageId: fmt.Sprint(i)})
		}
		eventually(t, func() bool { return depth(t, l, "unfinished") == n })
		handled := newTally()
		hung := make(chan struct{}, 1)
		turn := make(chan struct{})
		r := run(t, l, consumer.Config{
			Queue: "unfinished", Workers: 11, Prefetch: 60, DrainTimeout: 100 * time.Millisecond,
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				if d.MessageId == stuck {
					hung <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				handled.add(d.MessageId)
				<-turn
				return nil
			},
		})
		for done := 10; done <= n-1; done += 10 { // ten at a time, so that their results come together
			handled.until(t, "the next handlers", func() bool { return handled.distinct() >= done })
			for range 10 {
				turn <- struct{}{}
			}
		}
		wait(t, hung, "the one that gets stuck")
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		var left []string
		brokertest.Eventually(t, patience, func() error {
			if left = append(left, ids(take(t, l, "unfinished"))...); len(left) == 0 {
				return fmt.Errorf("message %s is gone", stuck)
			}
			return nil
		})
		if !slices.Equal(left, []string{stuck}) {
			t.Errorf("left in the queue: %v; want %s alone", left, stuck)
		}
	})
}
