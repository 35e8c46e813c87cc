package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
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

// Errors that are no verdict on single messages: each message gets them.
func TestBatchErrorsForAll(t *testing.T) {
	for name, f := range map[string]func(context.Context, []item) error{
		"plain":   func(context.Context, []item) error { return errWhy },
		"index":   func(context.Context, []item) error { return consumer.BatchErrors{3: errWhy} },
		"goexit":  func(context.Context, []item) error { runtime.Goexit(); return nil },
		"timeout": func(ctx context.Context, _ []item) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, _ *amqptest.Broker) {
				h := consumer.Chain(raw(consumer.BatchConfig{Size: 3}, f), consumer.Timeout(time.Minute))
				errs := make(chan error, 3)
				for range 3 {
					go func() {
						err := errors.New("its goroutine ended")
						defer func() { errs <- err }()
						err = h(context.Background(), amqp.Delivery{})
					}()
				}
				for range 3 {
					err := wait(t, errs, "an error")
					switch {
					case err == nil:
						t.Error("no error")
					case name == "index" && !strings.Contains(err.Error(), "index 3 for a batch of 3"):
						t.Error(err)
					case name == "timeout" && !errors.Is(err, context.DeadlineExceeded):
						t.Error(err)
					}
				}
			})
		})
	}
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

func TestBatchConfig(t *testing.T) {
	f := func(context.Context, []item) error { return nil }
	for _, h := range []consumer.Handler{
		raw(consumer.BatchConfig{Size: -1}, f), raw(consumer.BatchConfig{Bytes: -1}, f), raw(consumer.BatchConfig{Wait: -1}, f), raw(consumer.BatchConfig{}, nil),
	} {
		var wrong *consumer.ConfigError
		if err := h(t.Context(), amqp.Delivery{}); !errors.As(err, &wrong) {
			t.Errorf("error %v", err)
		}
	}
}

// A mistake in the program stops the consumer, which says why; it buries nothing.
func TestMistakesInTheProgramBuryNothing(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		good := func(context.Context, []item) error { t.Error("handled"); return nil }
		for name, h := range map[string]consumer.Handler{
			"batch":  chain(copies, w, retry.Policy{}, raw(consumer.BatchConfig{Size: -1}, good)),
			"policy": chain(copies, w, retry.Policy{Immediate: 1000}, raw(consumer.BatchConfig{}, good)),
			"burial": chain(copies, topology.Work{}, retry.Policy{}, raw(consumer.BatchConfig{}, good)),
		} {
			fill(t, b, w.Queue, 3)
			r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
			pass(2 * time.Minute)
			r.Stopped(t)
			close(r.Health)
			said := ""
			for health := range r.Health {
				if health.Status == consumer.Paused {
					said = health.Err.Error()
				}
			}
			if !strings.Contains(said, "Config") && !strings.Contains(said, "pass both") && !strings.Contains(said, "Immediate") {
				t.Errorf("%s: health says %q", name, said)
			}
			left(t, b, w.DeadLetterQueue)
			operate(t, b, func(ch *amqp.Channel) error { _, err := ch.QueuePurge(w.Queue, false); return err })
		}
	})
}

// Some failures joined with another one, such as that of the commit: nobody
// succeeded.
func TestBatchErrorsJoinedWithAnother(t *testing.T) {
	errCommit := errors.New("the commit failed")
	for name, wrap := range map[string]func(error) error{
		"join":  func(err error) error { return errors.Join(err, errCommit) },
		"verbs": func(err error) error { return fmt.Errorf("%w; %w", err, errCommit) },
	} {
		f := consumer.Batch(consumer.BatchConfig{Size: 2}, func(context.Context, []item) error {
			return wrap(consumer.BatchErrors{0: errWhy})
		})
		got := make(chan error, 2)
		for range 2 {
			go func() { got <- f(context.Background(), nil, amqp.Delivery{}) }()
		}
		for range 2 {
			if err := <-got; !errors.Is(err, errCommit) {
				t.Errorf("%s: a message of the batch gets %v", name, err)
			}
		}
	}
	wrapped := consumer.Batch(consumer.BatchConfig{Size: 1}, func(context.Context, []item) error {
		return fmt.Errorf("insert: %w", consumer.BatchErrors{})
	})
	if err := wrapped(context.Background(), nil, amqp.Delivery{}); err != nil {
		t.Errorf("wrapped once: %v", err)
	}
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
