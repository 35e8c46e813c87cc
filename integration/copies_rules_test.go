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

// The twin of finding 1 (R 1) where it is hardest: the deadline stands outside of
// retry's and dlq's middleware, so that the ctx they are called with is over when
// they publish their copies. The first message is parked with count 1, the other
// is buried.
func TestCopiesOutliveTheHandlersDeadline(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "outlived", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		for _, id := range []string{"park", "bury"} {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: id}); err != nil {
				t.Fatal(err)
			}
		}
		retried := make(chan int, 10)
		var paused atomic.Int32
		run(t, l, consumer.Config{
			Queue: w.Queue,
			OnHealth: func(h consumer.Health) {
				if h.Status == consumer.Paused {
					paused.Add(1)
				}
			},
			Handler: consumer.Chain(
				func(ctx context.Context, d amqp.Delivery) error {
					if s, _ := story.Read(d.Headers); s.RetryCount > 0 {
						retried <- s.RetryCount
						return nil
					}
					<-ctx.Done()
					if d.MessageId == "bury" {
						return retry.Permanent(ctx.Err())
					}
					return ctx.Err()
				},
				consumer.Timeout(50*time.Millisecond),
				dlq.Middleware(p, w, dlq.Config{Logger: logger()}),
				retry.Middleware(p, w, retry.Policy{BackOff: soon, Logger: logger()}),
			),
		})
		if n := wait(t, retried, "the retry"); n != 1 {
			t.Errorf("%d retries counted, want 1", n)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
		if paused.Load() != 0 {
			t.Error("the consumer paused: the copies were not published at once")
		}
	})
}

// spoiler spoils the copies of one message with a foreign user_id, so that the
// broker answers each with 406, for ever.
type spoiler struct {
	pub *confirm.Publisher
	id  string
}

func (s *spoiler) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	if msg.MessageId == s.id {
		msg.UserId = "somebody-else"
	}
	return s.pub.Start(ctx, exchange, key, msg)
}

// Finding 2 (R 2): a copy that no time can mend never pauses the queue. Behind a
// quorum work queue the original is rejected into the broker's at-least-once
// dead-letter exchange; a classic one has none, so it is held aside, told, and in
// the queue again when the consumer ends. The neighbours are handled either way.
func TestCopyThatNoTimeCanMend(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			l := open(t, link.Config{URLs: []string{b.URL}})
			w := work(t, l, "spoiled."+string(kind), topology.WorkConfig{Type: kind})
			p := publisher(t, l, confirm.Config{})
			copies := &spoiler{publisher(t, l, confirm.Config{}), "10"}
			const n = 200
			for i := range n {
				if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
					t.Fatal(err)
				}
			}
			handled := newTally()
			var paused, aside atomic.Int32
			r := run(t, l, consumer.Config{
				Queue: w.Queue, Prefetch: 20,
				OnHealth: func(h consumer.Health) {
					switch h.Status {
					case consumer.Paused:
						paused.Add(1)
					case consumer.HeldAside:
						aside.Add(1)
					}
				},
				Handler: consumer.Chain(
					func(_ context.Context, d amqp.Delivery) error {
						if d.MessageId == copies.id {
							return retry.Transient(errors.New("not yet"))
						}
						handled.add(d.MessageId)
						return nil
					},
					dlq.Middleware(copies, w, dlq.Config{Logger: logger()}),
					retry.Middleware(copies, w, retry.Policy{BackOff: soon, Logger: logger()}),
				),
			})
			handled.until(t, "the neighbours", func() bool { return handled.distinct() == n-1 })
			where := w.DeadLetterQueue
			if kind == topology.Quorum {
				eventually(t, func() bool { return depth(t, l, where) == 1 })
			} else {
				where = w.Queue
				eventually(t, func() bool { return aside.Load() == 1 }) // told by a goroutine of its own
			}
			if err := r.stopped(t); err != nil {
				t.Error(err)
			}
			eventually(t, func() bool { return depth(t, l, where) == 1 })
			for _, d := range take(t, l, where) {
				if d.MessageId != copies.id {
					t.Errorf("message %s is in %s", d.MessageId, where)
				}
			}
			if paused.Load() != 0 || (aside.Load() == 1) != (kind == topology.Classic) {
				t.Errorf("paused %d times, held aside %d times", paused.Load(), aside.Load())
			}
		})
	})
}

// Scenario 7, the other half (H 4.4): a copy leaves the deaths of its original
// behind, forged or real. A record that was carried along would grow with each
// retry, and 3.10 would count on in it.
func TestCopiesLeaveDeathsBehind(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "deaths", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		forged := amqp.Table{"x-first-death-queue": "forged", "x-last-death-queue": "forged", "x-death": []any{amqp.Table{
			"count": int64(99), "queue": "forged", "reason": "expired", "exchange": "", "routing-keys": []any{"k"}, "time": time.Unix(0, 0),
		}}}
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{Headers: forged}); err != nil {
			t.Fatal(err)
		}
		done := make(chan amqp.Delivery, 1)
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: soon, MaxRetries: 4},
			func(_ context.Context, d amqp.Delivery) error {
				if s, _ := story.Read(d.Headers); s.RetryCount == 3 {
					done <- d
					return nil
				} else if s.RetryCount > 3 {
					return retry.Permanent(errors.New("once too often"))
				}
				return retry.Transient(errors.New("not yet"))
			})})
		d := wait(t, done, "the fourth attempt")
		deaths, _ := d.Headers["x-death"].([]any)
		if len(deaths) != 1 {
			t.Errorf("%d deaths, want that of the last stay on the ladder: %v", len(deaths), deaths)
		}
		for _, death := range deaths {
			if entry := death.(amqp.Table); entry["count"] != int64(1) || !topology.IsLadderQueue(fmt.Sprint(entry["queue"])) {
				t.Errorf("death %v", entry)
			}
		}
		if q := fmt.Sprint(d.Headers["x-first-death-queue"]); !topology.IsLadderQueue(q) {
			t.Errorf("x-first-death-queue is %s", q)
		}
	})
}
