package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Scenario 5 (H 8.5, H 13.5): A is acked, B, C and D are in handlers, the link is
// cut, and B finishes only when the new session has given B's old tag to another
// message, whose handler runs. Then the consumer ends: B, C and D are still there.
func TestLateResultMeetsItsTagAgain(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		direct := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, direct, "late", nil)
		p := publisher(t, direct, confirm.Config{})
		for _, name := range []string{"A", "B", "C", "D"} {
			if err := p.Publish(deadline(t), "", "late", amqp.Publishing{MessageId: name}); err != nil {
				t.Fatal(err)
			}
		}
		proxy := b.Proxy(t)
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMin: 10 * time.Millisecond})
		started := make(chan amqp.Delivery, 100)
		releaseB := make(chan struct{})
		var cut atomic.Bool
		r := run(t, l, consumer.Config{
			Queue: "late", Prefetch: 5, DrainTimeout: 100 * time.Millisecond,
			Workers: 5, // three stay with the old session, two are free for the new one
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				late := d.MessageId == "B" && !cut.Load()
				started <- d
				switch {
				case d.MessageId == "A":
					return nil
				case late:
					<-releaseB
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			},
		})
		tags := map[string]uint64{}
		for range 4 {
			d := wait(t, started, "A, B, C and D to start")
			tags[d.MessageId] = d.DeliveryTag
		}
		eventually(t, func() bool { return state(t, b, "late").Unacked == 3 }) // A's ack has arrived
		cut.Store(true)
		proxy.Cut()
		var reused string
		for range 2 {
			if d := wait(t, started, "the deliveries of the new session"); d.DeliveryTag == tags["B"] {
				reused = d.MessageId
			}
		}
		if reused == "" || reused == "B" {
			t.Fatalf("B's old tag %d is %q's on the new session: this tests nothing", tags["B"], reused)
		}
		close(releaseB)
		wait(t, started, "the third delivery") // by the worker that had B: its result was reported before
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		var left []string
		brokertest.Eventually(t, patience, func() error {
			left = append(left, ids(take(t, direct, "late"))...)
			slices.Sort(left)
			if len(left) < 3 {
				return errors.New(fmt.Sprint("left in the queue: ", left))
			}
			return nil
		})
		if !slices.Equal(left, []string{"B", "C", "D"}) {
			t.Errorf("left in the queue: %v; want B, C and D", left)
		}
	})
}
