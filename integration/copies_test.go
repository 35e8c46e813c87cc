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
