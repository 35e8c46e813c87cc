package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

type item = consumer.Item[[]byte]

// batches notes the ids of each batch.
type batches struct {
	mu  sync.Mutex
	all [][]string
}

func (b *batches) add(items []item) {
	var got []string
	for _, i := range items {
		got = append(got, i.Delivery.MessageId)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(got)
	b.all = append(b.all, got)
}

func (b *batches) sizes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n []int
	for _, one := range b.all {
		n = append(n, len(one))
	}
	return n
}

func raw(cfg consumer.BatchConfig, f func(context.Context, []item) error) consumer.Handler {
	return consumer.Decode(consumer.Raw{}, consumer.Batch(cfg, f))
}

func TestBatchBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    consumer.BatchConfig
		bodies []int
		want   []int
		after  time.Duration
	}{
		"count":               {consumer.BatchConfig{Size: 4}, make([]int, 8), []int{4, 4}, 0},
		"time":                {consumer.BatchConfig{Size: 10, Wait: 3 * time.Second}, make([]int, 4), []int{4}, 3 * time.Second},
		"bytes":               {consumer.BatchConfig{Bytes: 100}, []int{60, 50, 50, 99, 1}, []int{1, 2, 2}, 0},
		"a body beyond bytes": {consumer.BatchConfig{Bytes: 100}, []int{10, 500, 90, 10}, []int{1, 1, 2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got batches
				began := time.Now()
				h := raw(tc.cfg, func(_ context.Context, items []item) error {
					got.add(items)
					return nil
				})
				var all sync.WaitGroup
				for _, n := range tc.bodies {
					all.Go(func() { _ = h(context.Background(), amqp.Delivery{Body: make([]byte, n)}) })
					synctest.Wait()
				}
				all.Wait()
				if sizes := got.sizes(); !slices.Equal(sizes, tc.want) {
					t.Errorf("batches of %v, want %v", sizes, tc.want)
				}
				if took := time.Since(began); took != tc.after {
					t.Errorf("done after %v, want %v", took, tc.after)
				}
			})
		})
	}
}

// A batch that is larger than the number of workers would never be full.
func TestBatchOfAllWorkers(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 10)
		var got batches
		began := time.Now()
		r := run(t, l, consumer.Config{Queue: "q", Workers: 5, Handler: raw(consumer.BatchConfig{Size: 1000}, func(_ context.Context, items []item) error {
			got.add(items)
			return nil
		})})
		drained(t, b, "q")
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("done after %v", took)
		}
		r.Stopped(t)
		if sizes := got.sizes(); !slices.Equal(sizes, []int{5, 5}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}

// Each message of a batch has its own verdict, and retry and dlq act on it as on
// that of a handler: parked, buried, acked. Half a batch that succeeded is not
// handled again.
func TestBatchVerdicts(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 20)
		publish(t, b, w.Queue, amqp.Publishing{MessageId: "bad", ContentType: "text/plain", DeliveryMode: amqp.Persistent})
		var c calls
		h := chain(copies, w, retry.Policy{BackOff: retry.Constant(time.Second)},
			consumer.Decode(numberCodec{}, consumer.Batch(consumer.BatchConfig{Size: 10, Wait: 100 * time.Millisecond}, func(_ context.Context, items []consumer.Item[int]) error {
				failed := consumer.BatchErrors{}
				for i, one := range items {
					n := c.add(one.Delivery)
					switch {
					case one.Value%10 == 3:
						failed[i] = retry.Permanent(errWhy)
					case one.Value%10 == 5 && n < 3:
						failed[i] = fmt.Errorf("wrapped: %w", retry.Transient(errWhy))
					case one.Value == 7:
						failed[i] = nil
					}
				}
				return fmt.Errorf("insert: %w", failed)
			})))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 20, Handler: h})
		eventually(t, "all are handled", func() bool { return c.all()["5"] == 3 && c.all()["15"] == 3 })
		drained(t, b, w.Queue)
		r.Stopped(t)
		for i := range 20 {
			want := 1
			if i%10 == 5 {
				want = 3
			}
			if got := c.all()[fmt.Sprint(i)]; got != want {
				t.Errorf("message %d was handled %d times, want %d", i, got, want)
			}
		}
		letters := ids(b.Messages("/", w.DeadLetterQueue))
		if slices.Sort(letters); !slices.Equal(letters, []string{"13", "3", "bad"}) {
			t.Errorf("letters %v", letters)
		}
	})
}

// numberCodec reads the message-id, and is for no text.
type numberCodec struct{}

func (numberCodec) Encode(int) (amqp.Publishing, error) { return amqp.Publishing{}, nil }

func (numberCodec) Decode(d amqp.Delivery) (int, error) {
	if d.ContentType != "" {
		return 0, errors.New("text")
	}
	var n int
	_, err := fmt.Sscan(d.MessageId, &n)
	return n, err
}

// A panic is that of one message: its neighbours are handled, and do not follow
// it into the dead-letter queue.
func TestBatchPanics(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 10)
		var c calls
		h := chain(copies, w, retry.Policy{}, raw(consumer.BatchConfig{Size: 10}, func(_ context.Context, items []item) error {
			for _, one := range items {
				if one.Delivery.MessageId == "6" {
					panic("bug")
				}
			}
			for _, one := range items {
				c.add(one.Delivery)
			}
			return nil
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 10, Handler: h})
		drained(t, b, w.Queue)
		r.Stopped(t)
		left(t, b, w.DeadLetterQueue, "6")
		if c.distinct() != 9 {
			t.Errorf("handled: %v", c.all())
		}
	})
}

// A deadline of one message is that of its batch, and reads as one for all: what
// was at work then is tried again.
func TestBatchTimeout(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 4)
		var c calls
		slow := true
		h := chain(copies, w, retry.Policy{BackOff: retry.Constant(time.Second)}, consumer.Timeout(time.Minute)(
			raw(consumer.BatchConfig{Size: 4}, func(ctx context.Context, items []item) error {
				if slow {
					slow = false
					<-ctx.Done()
					return ctx.Err()
				}
				for _, one := range items {
					c.add(one.Delivery)
				}
				return nil
			})))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: h})
		pass(65 * time.Second)
		r.Stopped(t)
		c.once(t, 4)
		left(t, b, w.DeadLetterQueue)
	})
}

// The drain: a batch that gathers is handled at once; one at work has
// DrainTimeout, as any handler has, and its ctx has the values of Run's.
func TestBatchDrain(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 6)
		var got batches
		h := chain(copies, w, retry.Policy{}, raw(consumer.BatchConfig{Size: 4, Wait: 2 * time.Minute}, func(ctx context.Context, items []item) error {
			if len(items) == 4 {
				<-ctx.Done()
				return ctx.Err()
			}
			got.add(items)
			return nil
		}))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 8, Handler: h, DrainTimeout: time.Minute})
		pass(time.Second)
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the drain took %v", took)
		}
		if sizes := got.sizes(); !slices.Equal(sizes, []int{2}) {
			t.Errorf("handled: %v", sizes)
		}
		if n := len(b.Messages("/", w.Queue)); n != 4 {
			t.Errorf("%d went back", n)
		}
		left(t, b, w.DeadLetterQueue)
	})
}

// One handler in two Runs: the shutdown of the one is no verdict on the messages
// of the other.
func TestBatchOfTwoRuns(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		other := topology.WorkQueue("other", topology.WorkConfig{})
		if err := topology.Declare(soon(t), l, other.Topology); err != nil {
			t.Fatal(err)
		}
		var done atomic.Int32
		h := raw(consumer.BatchConfig{Size: 2, Wait: time.Minute}, func(ctx context.Context, items []item) error {
			select {
			case <-time.After(10 * time.Second):
				done.Add(int32(len(items)))
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		one := run(t, l, consumer.Config{Queue: w.Queue, Workers: 2, DrainTimeout: time.Second, Handler: chain(copies, w, retry.Policy{}, h)})
		two := run(t, l, consumer.Config{Queue: other.Queue, Workers: 2, Handler: chain(copies, other, retry.Policy{}, h)})
		fill(t, b, w.Queue, 1)
		pass(time.Second)
		fill(t, b, other.Queue, 1)
		pass(time.Second)
		one.Stop()
		pass(2 * time.Minute)
		two.Stopped(t)
		left(t, b, other.DeadLetterQueue)
		if done.Load() != 1 {
			t.Errorf("%d handled", done.Load())
		}
	})
}
