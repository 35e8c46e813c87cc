package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// R 8 on real queues: holds, pauses and another prefetch keep the order of a
// queue with single active consumer, also when the turn goes to another one. What had been acked on a channel that
// closes may come once more, out of order: the first time counts. On 3.10 the
// next consumer may get messages before those that the last one held come back;
// nothing is lost there.
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
		var first, second consumer.Control
		start := func(c *consumer.Control) *running {
			return run(t, l, consumer.Config{Queue: "sac", Prefetch: 20, Control: c, Handler: func(_ context.Context, d amqp.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				if seen.add(d.MessageId) == 1 {
					order = append(order, d.MessageId)
				}
				return nil
			}})
		}
		hold := first.Hold(nil)
		a := start(&first)
		z := start(&second)
		hold()
		reached := func(m int) func() bool { return func() bool { return seen.distinct() >= m } }
		for i, do := range []func(){
			func() { first.Hold(nil)() },
			func() { _ = first.SetPrefetch(5); _ = second.SetPrefetch(7) },
			func() { first.Pause(nil)() },
			func() { second.Pause(nil)() },
			func() { _ = first.SetPrefetch(50); _ = second.SetPrefetch(50) },
		} {
			seen.until(t, "progress", reached(20*(i+1)))
			do()
		}
		seen.until(t, "the rest", reached(n))
		for _, r := range []*running{a, z} {
			if err := r.stopped(t); err != nil {
				t.Error(err)
			}
		}
		if slices.Equal(order, want) {
			return
		}
		if !strings.HasPrefix(b.Version, "3.10.") {
			t.Errorf("handled in the order %v", order)
		}
		t.Logf("3.10 handed over out of order: %v", order)
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(order)), want) {
			t.Errorf("handled: %v", order)
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
