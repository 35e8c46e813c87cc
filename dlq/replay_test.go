package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Every third letter is replayed: it arrives once, with a new life; the others
// stay, in order. Then a limit, then the rest to another queue.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 60)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 9})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Window: 5, Select: func(letter dlq.Letter) bool {
			n, err := strconv.Atoi(letter.Delivery.MessageId)
			return err == nil && n%3 == 0
		}})
		if err != nil || report.Seen != 60 || report.Replayed != 20 || report.Kept != 40 || report.Failed != 0 {
			t.Fatalf("%v, %v, %v", report, report.Failures, err)
		}
		var want, rest []string
		for i, id := range numbers(0, 60) {
			if i%3 == 0 {
				want = append(want, id)
			} else {
				rest = append(rest, id)
			}
		}
		if got := ids(b, w.Queue); !slices.Equal(got, want) {
			t.Errorf("arrived %v", got)
		}
		replayIDs := map[string]bool{}
		for _, s := range stories(t, b, w.Queue) {
			replayIDs[s.ReplayID] = true
			if s.RetryCount != 0 || s.DeadReason != "" || !s.ExpiresAt.IsZero() || s.ReplayCount != 1 ||
				s.OriginQueue != w.Queue || s.OriginExchange != "events" || s.OriginKey != "a.b" || s.OriginPriority != 3 {
				t.Fatalf("%+v", s)
			}
		}
		if len(replayIDs) != len(want) {
			t.Errorf("%d replay-ids for %d letters", len(replayIDs), len(want))
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, rest) {
			t.Errorf("left %v", got)
		}
		report, err = q.Replay(soon(t), p, dlq.ReplayConfig{Limit: 6})
		if err != nil || report.Replayed != 6 {
			t.Errorf("limit: %v, %v", report, err)
		}
		if got := ids(b, w.Queue); !slices.Equal(got[20:], rest[:6]) {
			t.Errorf("limit: arrived %v", got)
		}
		declareQueue(t, b, "elsewhere", amqp.Table{"x-queue-type": "quorum"})
		report, err = q.Replay(soon(t), p, dlq.ReplayConfig{To: "elsewhere"})
		if err != nil || report.Replayed != 34 || len(ids(b, w.DeadLetterQueue)) != 0 {
			t.Errorf("elsewhere: %v, %v", report, err)
		}
		if got := ids(b, "elsewhere"); !slices.Equal(got, rest[6:]) {
			t.Errorf("elsewhere: arrived %v", got)
		}
	})
}

// Letters that cannot be replayed stay: no target, a target that is gone, a copy
// that the broker nacks.
func TestReplayThatFails(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{MessageId: "nobody's"})
		gone := w
		gone.Queue = "gone"
		letters(t, b, gone, 2)
		letters(t, b, w, 3)
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: w.Queue, Nth: 2})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 2})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{})
		if err != nil || report.Failed != 4 || report.Replayed != 2 || len(report.Failures) != 4 || len(report.Duplicates) != 0 {
			t.Fatalf("%v, %v, %v", report, report.Failures, err)
		}
		if !errors.Is(report.Failures[0].Err, dlq.ErrNoTarget) {
			t.Errorf("%v", report.Failures)
		}
		as[*confirm.ReturnedError](t, report.Failures[1].Err)
		as[*confirm.NackedError](t, report.Failures[3].Err)
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, []string{"nobody's", "0", "1", "1"}) {
			t.Errorf("left %v", got)
		}
		complete(t, b, w.Queue, []string{"0", "2"})
	})
}

// The handler still fails: replayed letters come back while the replay runs, and
// are not replayed again.
func TestReplayEndsThoughLettersComeBack(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 40)
		handled := make(chan string, 1000)
		run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: consumer.Chain(
			func(_ context.Context, d amqp.Delivery) error {
				handled <- d.MessageId
				return retry.Permanent(errors.New("still broken"))
			},
			dlq.Middleware(p, w, dlq.Config{Logger: quiet}), retry.Middleware(p, w, retry.Policy{Logger: quiet}))})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 7})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Window: 2})
		if err != nil || report.Replayed != 40 || report.Seen != 40 {
			t.Fatalf("%v, %v", report, err)
		}
		eventually(t, "all are back", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Ready == 40 })
		if n := len(handled); n != 40 {
			t.Errorf("%d handler calls", n)
		}
		for id, s := range stories(t, b, w.DeadLetterQueue) {
			if s.ReplayCount != 1 {
				t.Errorf("letter %s: %+v", id, s)
			}
		}
	})
}

// R 21: the connection of the letters is cut between the confirm of a copy and
// the ack of its letter, before the broker took the ack, or after. Before: both
// are there, the report says so, and the next replay's copy has the same
// replay-id. After: the letter is gone, though nobody can know.
func TestReplayCutBetweenConfirmAndAck(t *testing.T) {
	for _, do := range []amqptest.Effect{amqptest.DropBefore, amqptest.DropAfter} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				p := publisher(t, l)
				letters(t, b, w, 5)
				inject(t, b, amqptest.Fault{Do: do, On: "basic.ack", Queue: w.DeadLetterQueue, Nth: 2})
				q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 2})
				first, err := q.Replay(soon(t), p, dlq.ReplayConfig{Window: 1})
				if err == nil && first.Failed == 0 {
					t.Errorf("%v: told as if nothing had happened", first)
				}
				pass(10 * time.Second)
				copies, left := ids(b, w.Queue), ids(b, w.DeadLetterQueue)
				for _, id := range numbers(0, 5) {
					if !slices.Contains(copies, id) && !slices.Contains(left, id) {
						t.Errorf("letter %s is lost", id)
					}
				}
				if first.Replayed > 5-len(left) || len(first.Duplicates) < len(copies)-first.Replayed {
					t.Errorf("%d letters left, copies %v; %v, duplicates %v", len(left), copies, first, first.Duplicates)
				}
				before := map[string]map[string]bool{}
				note := func() {
					for _, m := range b.Messages("/", w.Queue) {
						if before[m.MessageID] == nil {
							before[m.MessageID] = map[string]bool{}
						}
						before[m.MessageID][fmt.Sprint(m.Headers["hareline-replay-id"])] = true
					}
				}
				note()
				second, err := q.Replay(soon(t), p, dlq.ReplayConfig{})
				if err != nil || second.Replayed != len(left) {
					t.Fatalf("%v, %v", second, err)
				}
				all := ids(b, w.Queue)
				note()
				if doubled := len(all) - 5; doubled != len(copies)+len(left)-5 || do == amqptest.DropBefore && doubled == 0 {
					t.Errorf("arrived: %v", all)
				}
				for id, replays := range before {
					if len(replays) != 1 {
						t.Errorf("letter %s: replay-ids %v", id, replays)
					}
				}
				complete(t, b, w.DeadLetterQueue, nil)
			})
		})
	}
}

// The connection of the copies is lost in a replay: copies are published again
// by the publisher, and no letter is removed before its copy is there.
func TestReplayLosesThePublishingConnection(t *testing.T) {
	for _, do := range []amqptest.Effect{amqptest.DropBefore, amqptest.DropAfter} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				p := publisher(t, l)
				letters(t, b, w, 30)
				lost := inject(t, b, amqptest.Fault{Do: do, On: "basic.publish", Queue: w.Queue, Nth: 3, Every: 10, Times: 2})
				q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 7})
				report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Window: 4})
				if err != nil || report.Replayed != 30 || lost.Hits() != 2 {
					t.Errorf("%v, %v, %d hits", report, err, lost.Hits())
				}
				got := ids(b, w.Queue) // some twice: those whose confirm was lost
				if distinct := slices.Compact(slices.Sorted(slices.Values(got))); len(distinct) != 30 || len(got) > 40 {
					t.Errorf("arrived: %v", got)
				}
				complete(t, b, w.DeadLetterQueue, nil)
			})
		})
	}
}

// Confirms are late and in another order: no letter is removed before its own,
// and the window bounds what is under way.
func TestReplayWithLateConfirms(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 12)
		held := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Queue: w.Queue, Times: -1})
		type outcome struct {
			report dlq.Report
			err    error
		}
		ended := make(chan outcome, 1)
		go func() {
			report, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Replay(soon(t), p, dlq.ReplayConfig{Window: 4})
			ended <- outcome{report, err}
		}()
		pass(5 * time.Second)
		if n := len(ids(b, w.Queue)); n != 4 {
			t.Errorf("%d copies under way with a window of 4", n)
		}
		if n := len(b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventAcked && e.Queue == w.DeadLetterQueue })); n != 0 {
			t.Errorf("%d letters were removed before their copies were confirmed", n)
		}
		held.Remove()
		if got := <-ended; got.err != nil || got.report.Replayed != 12 {
			t.Errorf("%v, %v", got.report, got.err)
		}
		if got := ids(b, w.Queue); !slices.Equal(got, numbers(0, 12)) {
			t.Errorf("arrived: %v", got)
		}
		complete(t, b, w.DeadLetterQueue, nil)
	})
}

// A replay that its ctx ends: what is confirmed in the 5 s after it is removed,
// the rest stays, and nothing is lost.
func TestReplayEndedByItsCtx(t *testing.T) {
	for late, want := range map[time.Duration]int{2 * time.Second: 8, time.Minute: 0} {
		t.Run(late.String(), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				p := publisher(t, l)
				letters(t, b, w, 20)
				inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: late, Queue: w.Queue, Times: -1})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				report, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Replay(ctx, p, dlq.ReplayConfig{Window: 8})
				if !errors.Is(err, context.DeadlineExceeded) || report.Replayed != want || time.Since(began) > 10*time.Second {
					t.Errorf("%v, %v after %v; want %d replayed", report, err, time.Since(began), want)
				}
				if got := ids(b, w.Queue); !slices.Equal(got, numbers(0, 8)) {
					t.Errorf("arrived: %v", got)
				}
				complete(t, b, w.DeadLetterQueue, numbers(want, 20))
			})
		})
	}
}
