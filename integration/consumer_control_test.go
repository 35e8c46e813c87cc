package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/breaker"
	"github.com/hareline/hareline/consumer/dedup"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// R 8 on real queues: holds, and pauses by which the turn goes to another
// consumer, keep the order of a queue with single active consumer where all its
// consumers have one prefetch (F 31; TestASmallerPrefetchReorders is what happens
// otherwise). What had been acked on a channel that closes may come once more, out of
// order: the first time counts.
func TestControlKeepsTheOrder(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "sac", amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": int32(1000)})
		p := publisher(t, l, confirm.Config{})
		const n = 120
		var want []string
		var sent []*confirm.Receipt
		for i := range n {
			want = append(want, fmt.Sprint(i))
			sent = append(sent, p.Send(deadline(t), "", "sac", amqp.Publishing{MessageId: want[i]}))
		}
		for _, s := range sent {
			if err := s.Wait(deadline(t)); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var order []string
		seen := newTally()
		type one struct {
			control consumer.Control
			told    chan consumer.Status
			*running
		}
		start := func(c *one) {
			c.told = make(chan consumer.Status, 1000)
			c.running = run(t, l, consumer.Config{
				Queue: "sac", Prefetch: 7, FixedPrefetch: true, Control: &c.control,
				OnHealth: func(h consumer.Health) { c.told <- h.Status },
				Handler: func(_ context.Context, d amqp.Delivery) error {
					mu.Lock()
					defer mu.Unlock()
					if seen.add(d.MessageId) == 1 {
						order = append(order, d.MessageId)
					}
					return nil
				},
			})
		}
		becomes := func(c *one, status consumer.Status) {
			for wait(t, c.told, string(status)) != status {
			}
		}
		var both [2]one
		for i := range both {
			start(&both[i])
			becomes(&both[i], consumer.Consuming)
		}
		for i := range 12 {
			seen.until(t, "progress", func() bool { return seen.distinct() >= 7*(i+1) })
			for k := range both {
				c := &both[k]
				both[i%2].control.Hold(nil)()
				resume := c.control.Pause(nil)
				becomes(c, consumer.Paused)
				_ = c.control.SetPrefetch(1 + i) // FixedPrefetch: nothing
				resume()
				becomes(c, consumer.Consuming)
			}
		}
		seen.until(t, "the rest", func() bool { return seen.distinct() == n })
		for i := range both {
			if err := both[i].stopped(t); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(order, want) {
			t.Errorf("handled in the order %v", order)
		}
	})
}

// R 12 on real brokers: three failures, burial and replay pass the dedup
// middleware, while links are cut; every duplicate of what was handled is dropped.
func TestDedupWithRetriesAndReplay(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "unique", topology.WorkConfig{})
		copies := publisher(t, l, confirm.Config{})
		unique, err := dedup.New(dedup.Config{Queue: w.Queue, AskAgain: 100 * time.Millisecond, Logger: logger()})
		if err != nil {
			t.Fatal(err)
		}
		const n = 60
		attempts, handled := newTally(), newTally()
		h := unique(reliable(copies, w, retry.Policy{BackOff: retry.Constant(100 * time.Millisecond), MaxRetries: 3}, func(_ context.Context, d amqp.Delivery) error {
			if i := attempts.add(d.MessageId); d.MessageId[len(d.MessageId)-1] == '7' && i <= 4 {
				return retry.Transient(errors.New("down"))
			}
			handled.add(d.MessageId)
			return nil
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: h})
		p := publisher(t, l, confirm.Config{})
		for range 2 {
			for i := range n {
				if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		handled.until(t, "all that succeed", func() bool { return handled.distinct() >= n-6 })
		// A duplicate of a failing message may pass before its fifth attempt, and
		// succeed with it: then its letter is one more.
		eventually(t, func() bool {
			return depth(t, l, w.Queue) == 0 && depth(t, l, w.DeadLetterQueue)+handled.distinct() >= n
		})
		if _, err := dlq.Open(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Logger: logger()}).Replay(deadline(t), copies, dlq.ReplayConfig{}); err != nil {
			t.Fatal(err)
		}
		handled.until(t, "the replayed ones", func() bool { return handled.distinct() == n })
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		for i := range n {
			if got := handled.of(fmt.Sprint(i)); got != 1 {
				t.Errorf("message %d was handled %d times", i, got)
			}
		}
	})
}

// The breaker holds a consumer of a real queue: no message uses up its retries
// while what it needs is down, none is given back singly, and batches go on where
// they were.
func TestBreakerAndBatches(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "batches", topology.WorkConfig{})
		copies := publisher(t, l, confirm.Config{})
		p := publisher(t, l, confirm.Config{})
		const n = 1000
		var sent []*confirm.Receipt
		for i := range n {
			sent = append(sent, p.Send(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}))
		}
		for _, s := range sent {
			if err := s.Wait(deadline(t)); err != nil {
				t.Fatal(err)
			}
		}
		var control consumer.Control
		var opened atomic.Int32
		guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{
			Timeout: 100 * time.Millisecond,
			OnStateChange: func(_ string, _, to gobreaker.State) {
				if to == gobreaker.StateOpen {
					opened.Add(1)
				}
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		handled := newTally()
		h := guard(reliable(copies, w, retry.Policy{BackOff: retry.Constant(100 * time.Millisecond), MaxRetries: 12},
			consumer.Decode(consumer.Raw{}, consumer.Batch(consumer.BatchConfig{Size: 50, Wait: 50 * time.Millisecond}, func(_ context.Context, items []consumer.Item[[]byte]) error {
				if opened.Load() < 5 {
					return retry.Transient(errors.New("down"))
				}
				bad := consumer.BatchErrors{}
				for i, one := range items {
					if one.Delivery.MessageId == "500" {
						bad[i] = retry.Permanent(errors.New("no"))
						continue
					}
					handled.add(one.Delivery.MessageId)
				}
				return bad
			}))))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 100, Prefetch: 200, Handler: h, Control: &control})
		handled.until(t, "all but one", func() bool { return handled.distinct() == n-1 })
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		for i := range n {
			if got := handled.of(fmt.Sprint(i)); got > 1 {
				t.Errorf("message %d was handled %d times", i, got)
			}
		}
	})
}
