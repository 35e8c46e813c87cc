package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
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

// types runs f for a quorum and a classic work queue.
func types(t *testing.T, f func(t *testing.T, kind topology.QueueType)) {
	for _, kind := range []topology.QueueType{topology.Quorum, topology.Classic} {
		t.Run(string(kind), func(t *testing.T) { f(t, kind) })
	}
}

var soon = retry.Constant(100 * time.Millisecond)

// Finding 1 (R 1): eight handlers are cut off by the consumer's end. That is
// no verdict: no letter, no attempt counted, all eight are there.
func TestShutdownBuriesNothing(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "shutdown", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		for range 8 {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		started := make(chan struct{}, 8)
		r := run(t, l, consumer.Config{
			Queue: w.Queue, Workers: 8, DrainTimeout: 50 * time.Millisecond,
			Handler: reliable(p, w, retry.Policy{BackOff: soon, Unknown: retry.VerdictTransient}, func(ctx context.Context, _ amqp.Delivery) error {
				started <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}),
		})
		for range 8 {
			wait(t, started, "eight handlers")
		}
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		eventually(t, func() bool { return depth(t, l, w.Queue) == 8 })
		for _, d := range take(t, l, w.Queue) {
			if s, err := story.Read(d.Headers); err != nil || s.RetryCount != 0 || s.OriginQueue != "" {
				t.Errorf("an attempt was counted: %+v, %v", s, err)
			}
		}
		if n := depth(t, l, w.DeadLetterQueue); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}

// The twin of finding 1: a handler past its own deadline is parked, although
// its ctx is over, with count 1.
func TestHandlerPastItsDeadlineIsParked(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "deadline", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		retries := make(chan int, 10)
		run(t, l, consumer.Config{Queue: w.Queue, Handler: consumer.Chain(
			func(ctx context.Context, d amqp.Delivery) error {
				s, _ := story.Read(d.Headers)
				retries <- s.RetryCount
				if s.RetryCount == 0 {
					<-ctx.Done()
				}
				return ctx.Err()
			},
			dlq.Middleware(p, w, dlq.Config{Logger: logger()}),
			retry.Middleware(p, w, retry.Policy{BackOff: soon, Logger: logger()}),
			consumer.Timeout(50*time.Millisecond),
		)})
		for want := range 2 {
			if got := wait(t, retries, "an attempt"); got != want {
				t.Errorf("attempt with %d retries, want %d", got, want)
			}
		}
	})
}

// Finding 2 (R 2): foreign messages with 40, 100 and 120 KiB of headers among
// 200 neighbours. All end handled or in the dead-letter queue, nothing pauses,
// no connection closes.
func TestHugeForeignHeaders(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "headers", topology.WorkConfig{})
		publishForeign(t, l, w.Queue, func(ch *amqp.Channel) error {
			for i := range 203 {
				msg := amqp.Publishing{DeliveryMode: amqp.Persistent, MessageId: fmt.Sprint(i), Headers: amqp.Table{"kept": "yes"}}
				if kib, huge := map[int]int{50: 40, 100: 100, 150: 120}[i]; huge {
					msg.Headers["huge"] = strings.Repeat("h", kib<<10)
				}
				if err := ch.Publish("", w.Queue, true, false, msg); err != nil {
					return err
				}
			}
			return nil
		})
		handled := newTally()
		var trouble atomic.Int32
		copies := publisher(t, l, confirm.Config{Window: 100})
		run(t, l, consumer.Config{
			Queue: w.Queue, Workers: 4,
			OnHealth: func(h consumer.Health) {
				if h.Status != consumer.Consuming && h.Status != consumer.Stopped {
					trouble.Add(1)
				}
			},
			Handler: reliable(copies, w, retry.Policy{BackOff: soon, MaxRetries: 1}, func(_ context.Context, d amqp.Delivery) error {
				if d.MessageId == "50" || d.MessageId == "100" || d.MessageId == "150" {
					return retry.Transient(errors.New("not yet"))
				}
				handled.add(d.MessageId)
				return nil
			}),
		})
		handled.until(t, "the 200 neighbours", func() bool { return handled.distinct() == 201 }) // and the one that ended the publishing
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 3 })
		if trouble.Load() != 0 {
			t.Error("the consumer paused or lost its session")
		}
		for _, d := range take(t, l, w.DeadLetterQueue) {
			s, err := story.Read(d.Headers)
			if err != nil || s.RetryCount != 1 || d.Headers["kept"] != "yes" {
				t.Errorf("letter %s: %d retries, kept %v, %v", d.MessageId, s.RetryCount, d.Headers["kept"], err)
			}
			if _, whole := d.Headers["huge"]; whole == (d.MessageId == "150") {
				t.Errorf("letter %s: huge header there: %v, dropped: %v", d.MessageId, whole, s.DroppedHeaders)
			}
		}
	})
}

// publishForeign publishes as another program would: past our publisher.
func publishForeign(t *testing.T, l *link.Link, queue string, publish func(ch *amqp.Channel) error) {
	t.Helper()
	do(t, l, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		if err := publish(ch); err != nil {
			return err
		}
		dc, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, MessageId: "last"})
		if err != nil {
			return err
		}
		if !dc.Wait() {
			return errors.New("nacked")
		}
		return nil
	})
}

// Finding 3 (R 3) on copies: a message that another user published with its
// validated user_id is retried, buried and replayed.
func TestCopiesOfAForeignUser(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "foreign", topology.WorkConfig{})
		other := userURL(t, b, "other")
		theirs := publisher(t, open(t, link.Config{URLs: []string{other}}), confirm.Config{})
		if err := theirs.Publish(deadline(t), "", w.Queue, amqp.Publishing{UserId: "other", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		copies := publisher(t, l, confirm.Config{})
		var fixed atomic.Bool
		handled := make(chan amqp.Delivery, 1)
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(copies, w, retry.Policy{BackOff: soon, MaxRetries: 1},
			func(_ context.Context, d amqp.Delivery) error {
				if !fixed.Load() {
					return retry.Transient(errors.New("not yet"))
				}
				handled <- d
				return nil
			})})
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
		fixed.Store(true)
		letters := dlq.Open(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Logger: logger()})
		report, err := letters.Replay(deadline(t), copies, dlq.ReplayConfig{})
		if err != nil || report.Replayed != 1 {
			t.Fatalf("replay: %+v, %v", report, err)
		}
		d := wait(t, handled, "the replayed message")
		s, _ := story.Read(d.Headers)
		if s.OriginUserID != "other" || s.ReplayCount != 1 || s.RetryCount != 0 {
			t.Errorf("story after the replay: %+v", s)
		}
	})
}

// Scenario 6 (H 13.6, H 4.4): a handler that always fails, thirty attempts
// allowed. 4.0 deletes a message after 21 deliveries; ours ends in the
// dead-letter queue after 31.
func TestThirtyAttempts(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			l := open(t, link.Config{URLs: []string{b.URL}})
			w := work(t, l, "thirty."+string(kind), topology.WorkConfig{Type: kind})
			p := publisher(t, l, confirm.Config{})
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
			var calls atomic.Int32
			run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: soon, MaxRetries: 30},
				func(context.Context, amqp.Delivery) error { calls.Add(1); return retry.Transient(errors.New("always")) })})
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
			s, err := story.Read(take(t, l, w.DeadLetterQueue)[0].Headers)
			if err != nil || s.RetryCount != 30 || s.DeadReason != story.ReasonExhausted || calls.Load() != 31 {
				t.Errorf("%d calls, story %+v, %v", calls.Load(), s, err)
			}
		})
	})
}

// Scenario 7 (H 13.7, H 4.3): forged x-death and x-delivery-count change
// nothing; a forged count of our own is poison; without it attempts read
// 1 to 5 and the sixth succeeds.
func TestRetryCountOverVersions(t *testing.T) {
	forged := amqp.Table{
		"x-delivery-count": int64(7),
		"x-death": []any{amqp.Table{
			"count": int64(99), "queue": "count", "reason": "expired", "exchange": "", "routing-keys": []any{"count"}, "time": time.Unix(0, 0),
		}},
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			l := open(t, link.Config{URLs: []string{b.URL}})
			w := work(t, l, "count."+string(kind), topology.WorkConfig{Type: kind})
			p := publisher(t, l, confirm.Config{})
			poison := amqp.Table{story.HeaderRetryCount: int64(-5)}
			for id, headers := range map[string]amqp.Table{"forged": forged, "poison": poison, "plain": nil} {
				if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: id, Headers: headers}); err != nil {
					t.Fatal(err)
				}
			}
			attempts := newTally()
			done := newTally()
			run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: soon, MaxRetries: 5},
				func(_ context.Context, d amqp.Delivery) error {
					s, err := story.Read(d.Headers)
					if n := attempts.add(d.MessageId); err != nil || s.RetryCount != n-1 {
						t.Errorf("%s: attempt %d reads as %d, %v", d.MessageId, n, s.RetryCount+1, err)
					}
					if s.RetryCount < 5 {
						return retry.Transient(errors.New("not yet"))
					}
					done.add(d.MessageId)
					return nil
				})})
			done.until(t, "the two good ones", func() bool { return done.distinct() == 2 })
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
			letter := take(t, l, w.DeadLetterQueue)[0]
			if attempts.of("poison") != 0 || letter.MessageId != "poison" || letter.Headers[story.HeaderDeadReason] != story.ReasonMalformed {
				t.Errorf("poison: %d attempts, letter %s %v", attempts.of("poison"), letter.MessageId, letter.Headers)
			}
		})
	})
}

// Scenario 8 as finding 24 mends it: the dead-letter queue is gone while bad
// messages arrive. The consumer pauses, nothing is lost, and all are in the
// queue once it is there again.
func TestDeadLetterQueueGone(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			l := open(t, link.Config{URLs: []string{b.URL}})
			w := work(t, l, "gone."+string(kind), topology.WorkConfig{Type: kind})
			do(t, l, func(ch *amqp.Channel) error {
				_, err := ch.QueueDelete(w.DeadLetterQueue, false, false, false)
				return err
			})
			health, calls, stop := badJSON(t, l, w, 100)
			for wait(t, health, "the pause").Status != consumer.Paused {
			}
			paused := calls.Load()
			if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
				t.Fatal(err)
			}
			for wait(t, health, "the end of the pause").Status != consumer.Consuming {
			}
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 100 })
			if paused >= 100 {
				t.Errorf("%d handlers ran although nothing could be buried", paused)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := depth(t, l, w.Queue); n != 0 {
				t.Errorf("%d left in the work queue", n)
			}
		})
	})
}

// The same with a dead-letter queue that is full and refuses: room for them
// ends the pause.
func TestDeadLetterQueueFull(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "full", topology.WorkConfig{})
		do(t, l, func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(w.DeadLetterQueue, false, false, false)
			return err
		})
		declareQueue(t, l, w.DeadLetterQueue, amqp.Table{
			"x-queue-type": "quorum", "x-max-length": int32(5), "x-overflow": "reject-publish", "x-delivery-limit": int32(1 << 30)})
		health, _, stop := badJSON(t, l, w, 100)
		for wait(t, health, "the pause").Status != consumer.Paused {
		}
		letters := map[string]bool{}
		eventually(t, func() bool {
			for _, d := range take(t, l, w.DeadLetterQueue) {
				letters[string(d.Body)] = true
			}
			return len(letters) == 100
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// badJSON starts a consumer of JSON over n messages that are none.
func badJSON(t *testing.T, l *link.Link, w topology.Work, n int) (chan consumer.Health, *atomic.Int32, func() error) {
	t.Helper()
	p := publisher(t, l, confirm.Config{})
	for i := range n {
		if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{Body: fmt.Appendf(nil, "{%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	health := make(chan consumer.Health, 1000)
	calls := new(atomic.Int32)
	count := func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error { calls.Add(1); return next(ctx, d) }
	}
	copies := publisher(t, l, confirm.Config{})
	r := run(t, l, consumer.Config{
		Queue: w.Queue, Prefetch: 20, OnHealth: func(h consumer.Health) { health <- h },
		Handler: reliable(copies, w, retry.Policy{}, count(consumer.JSON(func(context.Context, map[string]any, amqp.Delivery) error { return nil }))),
	})
	return health, calls, func() error { return r.stopped(t) }
}

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

// Scenario 11 (H 10.4, H 13.11): an error text of 200 KiB, six attempts. It
// ends in the dead-letter queue, the text cut, no connection closed, the
// neighbour handled.
func TestHugeErrorText(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		types(t, func(t *testing.T, kind topology.QueueType) {
			var lost atomic.Int32
			l := open(t, link.Config{URLs: []string{b.URL}, OnState: func(s link.State) {
				if s.Status == link.Disconnected {
					lost.Add(1)
				}
			}})
			w := work(t, l, "text."+string(kind), topology.WorkConfig{Type: kind})
			p := publisher(t, l, confirm.Config{})
			handled := make(chan string, 1)
			run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: soon, MaxRetries: 5},
				func(_ context.Context, d amqp.Delivery) error {
					if string(d.Body) == "bad" {
						return retry.Transient(errors.New(strings.Repeat("é", 100<<10)))
					}
					handled <- d.MessageId
					return nil
				})})
			for _, body := range []string{"bad", "neighbour"} {
				if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{Body: []byte(body)}); err != nil {
					t.Fatal(err)
				}
			}
			wait(t, handled, "the neighbour")
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 1 })
			s, err := story.Read(take(t, l, w.DeadLetterQueue)[0].Headers)
			if err != nil || s.RetryCount != 5 || len(s.LastError) > 2<<10 || !strings.HasPrefix(s.LastError, "é") {
				t.Errorf("%d retries, %d bytes of text, %v", s.RetryCount, len(s.LastError), err)
			}
			if lost.Load() != 0 {
				t.Errorf("%d connections were lost", lost.Load())
			}
		})
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

// A stop schedule ends the retries, a permanent error never starts them.
func TestVerdicts(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "verdicts", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		calls := newTally()
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(p, w, retry.Policy{BackOff: retry.Schedule(100 * time.Millisecond)},
			func(ctx context.Context, d amqp.Delivery) error {
				calls.add(d.MessageId)
				switch d.MessageId {
				case "permanent":
					return retry.Permanent(context.DeadlineExceeded)
				case "backoff-permanent":
					return backoff.Permanent(errors.New("no"))
				case "panic":
					panic(context.DeadlineExceeded)
				case "json":
					return json.Unmarshal([]byte("{"), &struct{}{})
				case "forward": // its own copy fails: classified like any error
					return p.Start(ctx, "", "nobody-home", amqp.Publishing{})
				}
				return context.DeadlineExceeded
			})})
		want := map[string]struct {
			reason string
			calls  int
		}{
			"permanent":         {story.ReasonPermanent, 1},
			"backoff-permanent": {story.ReasonPermanent, 1},
			"panic":             {story.ReasonUnexpected, 1},
			"json":              {story.ReasonMalformed, 1},
			"forward":           {story.ReasonUnexpected, 1},
			"transient":         {story.ReasonExhausted, 2},
		}
		for id := range want {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: id}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == len(want) })
		for _, d := range take(t, l, w.DeadLetterQueue) {
			if got := d.Headers[story.HeaderDeadReason]; got != want[d.MessageId].reason || calls.of(d.MessageId) != want[d.MessageId].calls {
				t.Errorf("%s: %d calls, reason %v; want %+v", d.MessageId, calls.of(d.MessageId), got, want[d.MessageId])
			}
		}
	})
}
