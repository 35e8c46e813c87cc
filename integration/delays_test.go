package integration

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// Scenario 10 (H 5.1, H 13.10): a short delay is not held up by a longer one
// that was parked before it.
func TestMixedDelays(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "mixed", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		back := make(chan string, 10)
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
			if s, _ := story.Read(d.Headers); s.RetryCount > 0 {
				back <- d.MessageId
				return nil
			}
			delay, err := time.ParseDuration(d.MessageId)
			if err != nil {
				return err
			}
			return retry.After(errors.New("later"), delay)
		})})
		for _, delay := range []string{"3s", "1500ms", "100ms"} {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: delay}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"100ms", "1500ms", "3s"} {
			if got := wait(t, back, "a retry"); got != want {
				t.Errorf("%s came back, want %s first", got, want)
			}
		}
	})
}

// Finding 4 (R 4): messages with a high priority keep coming to the ladder;
// those without get out all the same.
func TestPrioritiesDoNotBlockTheLadder(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "priorities", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		plain := newTally()
		var stream atomic.Int32
		run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: reliable(p, w, retry.Policy{BackOff: retry.Constant(800 * time.Millisecond)},
			func(_ context.Context, d amqp.Delivery) error {
				if s, _ := story.Read(d.Headers); s.RetryCount == 0 {
					return retry.Transient(errors.New("later"))
				}
				if d.Priority == 9 {
					stream.Add(1)
				} else {
					plain.add(d.MessageId)
				}
				return nil
			})})
		for i := range 300 {
			p.Send(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)})
		}
		ctx, cancel := context.WithCancel(deadline(t))
		streamed := make(chan int)
		go func() { // a publish of priority 9 every 50 ms, 200 at most
			n := 0
			every := time.NewTicker(50 * time.Millisecond)
			defer every.Stop()
			for ; n < 200; n++ {
				select {
				case <-every.C:
					_ = p.Publish(ctx, "", w.Queue, amqp.Publishing{Priority: 9})
				case <-ctx.Done():
					streamed <- n
					return
				}
			}
			streamed <- n
		}()
		plain.until(t, "the 300 without priority", func() bool { return plain.distinct() == 300 })
		cancel()
		if n := <-streamed; n == 200 {
			t.Error("the messages without priority came back only when the stream had ended")
		}
		if stream.Load() == 0 && t.Failed() {
			t.Log("nothing of the stream came back meanwhile")
		}
	})
}

// Finding 13 (R 13): exchange, routing key and priority of the first delivery
// are what the handler sees on every attempt, and after a replay.
func TestHandlersSeeTheFirstRoute(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := topology.WorkQueue("routes", topology.WorkConfig{Bindings: []topology.Binding{{Source: "shop", Key: "order.#"}}})
		shop := topology.Topology{Exchanges: []topology.Exchange{{Name: "shop", Kind: "topic"}}}
		if err := topology.Declare(deadline(t), l, w.Merge(shop)); err != nil {
			t.Fatal(err)
		}
		p := publisher(t, l, confirm.Config{})
		var fixed atomic.Bool
		handled := make(chan struct{}, 1)
		var attempts atomic.Int32
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: soon, MaxRetries: 2}, func(ctx context.Context, d amqp.Delivery) error {
			if d.Exchange != "shop" || d.RoutingKey != "order.created" || d.Priority != 3 {
				t.Errorf("attempt %d came as %q %q priority %d", attempts.Load(), d.Exchange, d.RoutingKey, d.Priority)
			}
			raw, restored := consumer.RawRoute(ctx)
			if restored != (attempts.Add(1) > 1) || restored && raw.Exchange == "shop" {
				t.Errorf("attempt %d: raw route %+v, %v", attempts.Load(), raw, restored)
			}
			if !fixed.Load() {
				return retry.Transient(errors.New("not yet"))
			}
			handled <- struct{}{}
			return nil
		})})
		if err := p.Publish(deadline(t), "shop", "order.created", amqp.Publishing{Priority: 3}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
		fixed.Store(true)
		letters := dlq.Open(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Logger: logger()})
		if report, err := letters.Replay(deadline(t), p, dlq.ReplayConfig{}); err != nil || report.Replayed != 1 {
			t.Fatalf("replay: %+v, %v", report, err)
		}
		wait(t, handled, "the replay")
		if attempts.Load() != 4 {
			t.Errorf("%d attempts, want 3 and the replayed one", attempts.Load())
		}
	})
}

// Finding 6 (R 6): prefetched and given back again and again, never handled:
// the message must outlive many restarts of its consumer.
func TestRestartsDoNotBuryTheUnhandled(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "restarts", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		for i := range 20 {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			started := make(chan struct{}, 20)
			r := run(t, l, consumer.Config{
				Queue: w.Queue, Prefetch: 20, DrainTimeout: time.Millisecond,
				Handler: reliable(p, w, retry.Policy{}, func(ctx context.Context, _ amqp.Delivery) error {
					started <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}),
			})
			wait(t, started, "a handler")
			if err := r.stopped(t); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return depth(t, l, w.Queue) == 20 })
		}
		if n := depth(t, l, w.DeadLetterQueue); n != 0 {
			t.Errorf("%d messages that nobody handled were buried", n)
		}
	})
}
