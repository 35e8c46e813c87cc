package dlq_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var kinds = []topology.QueueType{topology.Quorum, topology.Classic}

// R 24: the dead-letter queue is gone, or full, or refuses every letter, while
// bad messages arrive. The consumer pauses and repeats the same copies, nothing
// is lost, handled again or doubled, and all are buried once it can.
func TestDeadLetterQueueBroken(t *testing.T) {
	const n = 50
	gone := func(t *testing.T, b *amqptest.Broker, l *link.Link, w topology.Work) (mend func()) {
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: w.DeadLetterQueue})
		return func() { declare(t, l, w) }
	}
	for name, breakIt := range map[string]func(t *testing.T, b *amqptest.Broker, l *link.Link, w topology.Work) (mend func()){
		"gone": gone,
		"full": func(t *testing.T, b *amqptest.Broker, l *link.Link, w topology.Work) func() {
			gone(t, b, l, w)
			declareQueue(t, b, w.DeadLetterQueue, amqp.Table{"x-queue-type": "quorum", "x-max-length": int32(1), "x-overflow": "reject-publish"})
			publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{}, amqp.Publishing{}) // 3.10 and 4.0 take one more than they should
			return func() { gone(t, b, l, w)() }
		},
		"refusing": func(t *testing.T, b *amqptest.Broker, _ *link.Link, w topology.Work) func() {
			return inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: w.DeadLetterQueue, Times: -1}).Remove
		},
	} {
		for _, kind := range kinds {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				each(t, func(t *testing.T, b *amqptest.Broker) {
					l := open(t, b, link.Config{})
					w := work(t, l, topology.WorkConfig{Type: kind})
					copies := publisher(t, l)
					var all []amqp.Publishing
					for _, id := range numbers(0, n) {
						all = append(all, amqp.Publishing{MessageId: id, Body: []byte("{")})
					}
					publish(t, b, "", w.Queue, all...)
					mend := breakIt(t, b, l, w)
					var calls atomic.Int32
					malformed := consumer.JSON(func(context.Context, map[string]any, amqp.Delivery) error { return nil })
					r := run(t, l, consumer.Config{Queue: w.Queue, Prefetch: 20, Handler: consumer.Chain(
						func(ctx context.Context, d amqp.Delivery) error {
							calls.Add(1)
							<-time.After(time.Millisecond)
							return malformed(ctx, d)
						},
						dlq.Middleware(copies, w, dlq.Config{Logger: quiet}),
						retry.Middleware(copies, w, retry.Policy{Logger: quiet}))})
					r.Becomes(t, consumer.Paused)
					synctest.Wait()
					paused := calls.Load()
					pass(10 * time.Minute)
					if now := calls.Load(); now > 3 {
						t.Errorf("%d handlers ran before the pause, %d in it", paused, now-paused)
					}
					mend()
					r.Becomes(t, consumer.Consuming)
					eventually(t, "the work queue is empty", func() bool { q, _ := b.Queue("/", w.Queue); return q.Ready+q.Unacked == 0 })
					r.Stopped(t)
					complete(t, b, w.DeadLetterQueue, numbers(0, n))
					for id, s := range stories(t, b, w.DeadLetterQueue) {
						if s.DeadReason != story.ReasonMalformed || s.OriginQueue != w.Queue {
							t.Errorf("letter %s: %+v", id, s)
						}
					}
					if calls.Load() != n {
						t.Errorf("%d handler calls for %d messages", calls.Load(), n)
					}
				})
			})
		}
	}
}

// The connection is lost at a burial. Before the letter was stored: it is
// published again. After: it is there twice. Never is it missing, nor a message
// left behind.
func TestConnectionLostAtABurial(t *testing.T) {
	for do, want := range map[amqptest.Effect]int{amqptest.DropBefore: 10, amqptest.DropAfter: 11} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				copies := publisher(t, l)
				inject(t, b, amqptest.Fault{Do: do, On: "basic.publish", Queue: w.DeadLetterQueue, Nth: 4})
				run(t, l, consumer.Config{Queue: w.Queue, Handler: consumer.Chain(
					func(context.Context, amqp.Delivery) error { return errors.New("a bug") },
					dlq.Middleware(copies, w, dlq.Config{Logger: quiet}))})
				for _, id := range numbers(0, 10) {
					publish(t, b, "", w.Queue, amqp.Publishing{MessageId: id})
					pass(10 * time.Millisecond) // so that only one is under way
				}
				eventually(t, "the work queue is empty", func() bool { q, _ := b.Queue("/", w.Queue); return q.Ready+q.Unacked == 0 })
				if got := ids(b, w.DeadLetterQueue); len(got) != want || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 10 {
					t.Errorf("letters: %v", got)
				}
			})
		})
	}
}

// R 1: the consumer's end buries nothing, whatever its handlers make of it.
func TestShutdownBuriesNothing(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		copies := publisher(t, l)
		for _, id := range numbers(0, 8) {
			publish(t, b, "", w.Queue, amqp.Publishing{MessageId: id})
		}
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 8, DrainTimeout: time.Second, Handler: consumer.Chain(
			func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return errors.New("gave up") },
			dlq.Middleware(copies, w, dlq.Config{Logger: quiet}))})
		pass(time.Second)
		r.Stopped(t)
		if got := ids(b, w.Queue); !slices.Equal(got, numbers(0, 8)) {
			t.Errorf("in the queue: %v", got)
		}
		complete(t, b, w.DeadLetterQueue, nil)
	})
}

// A message that nobody settles reaches the work queue's delivery limit: the
// broker itself moves it to the dead-letter queue, where it is a letter like any
// other, and its replay starts from nothing.
func TestDeliveryLimitMakesALetter(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{DeliveryLimit: 3})
		p := publisher(t, l)
		publish(t, b, "", w.Queue, amqp.Publishing{MessageId: "m"})
		tries := 0
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 20, DrainTimeout: time.Second, Handler: func(ctx context.Context, _ amqp.Delivery) error {
			tries++
			inject(t, b, amqptest.Fault{Do: amqptest.CloseChannel, On: amqptest.Now, Queue: w.Queue})
			<-ctx.Done()
			return nil
		}})
		eventually(t, "the letter is there", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Ready == 1 })
		r.Stopped(t)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		var got []dlq.Letter
		if err := q.Look(soon(t), func(letter dlq.Letter) error { got = append(got, letter); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Reason != "delivery_limit" || got[0].Queue != w.Queue || got[0].Attempts != 0 || tries != 4 {
			t.Errorf("after %d deliveries: %+v", tries, got)
		}
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{})
		if err != nil || report.Replayed != 1 {
			t.Fatalf("%v, %v", report, err)
		}
		for _, m := range b.Messages("/", w.Queue) {
			if m.Deliveries != 0 || m.Headers["x-death"] != nil || m.Headers["x-delivery-count"] != nil && m.Headers["x-delivery-count"] != int64(0) {
				t.Errorf("replayed: %+v", m)
			}
		}
		complete(t, b, w.Queue, []string{"m"})
	})
}
