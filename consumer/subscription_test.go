package consumer_test

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// F 31: a fixed prefetch stays, also when connections are lost in a row, after
// which the consumer would take one message at a time.
func TestFixedPrefetch(t *testing.T) {
	for _, fixed := range []bool{true, false} {
		on40(t, func(t *testing.T, b *amqptest.Broker) {
			l := open(t, b, link.Config{})
			declare(t, b, "q", quorum)
			fill(t, b, "q", 20)
			run(t, l, consumer.Config{Queue: "q", Prefetch: 7, FixedPrefetch: fixed, DrainTimeout: time.Second, Handler: func(ctx context.Context, _ amqp.Delivery) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			for range 3 {
				pass(time.Minute)
				b.CutConnections()
			}
			pass(time.Minute)
			if got, want := unacked(b, "q"), map[bool]int{true: 7, false: 1}[fixed]; got != want {
				t.Errorf("fixed %t: %d unacked, want %d", fixed, got, want)
			}
		})
	}
}

// What a handler can know of its session, and ask of it.
func TestSubscription(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 1)
		if _, ok := consumer.SubscriptionOf(t.Context()); ok {
			t.Error("a subscription of nothing")
		}
		subs := make(chan *consumer.Subscription, 2)
		r := run(t, l, consumer.Config{Queue: "q", Handler: func(ctx context.Context, _ amqp.Delivery) error {
			sub, _ := consumer.SubscriptionOf(ctx)
			subs <- sub
			if len(subs) == 0 {
				return nil
			}
			<-sub.Stopping()
			return nil
		}})
		first := wait(t, subs, "the first message")
		first.Report("strange", nil)
		r.Becomes(t, "strange")
		first.Replace()
		first.Replace()
		wait(t, first.Stopping(), "the replacement")
		wait(t, first.Ended(), "the end of the session")
		publish(t, b, "q", amqp.Publishing{MessageId: "next"})
		if second := wait(t, subs, "the second message"); second == first {
			t.Error("the session was not replaced")
		}
		r.Stopped(t)
	})
}
