package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

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

// Every third letter is replayed: it arrives once, with a new life; the others
// stay, in order. Then a limit, then the rest to another queue.
func TestReplay(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "replayed", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, 100)
		third := func(letter dlq.Letter) bool {
			var n int
			_, _ = fmt.Sscan(letter.Delivery.MessageId, &n)
			return n%3 == 0
		}
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 9})
		report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{Select: third, Window: 5})
		if err != nil || report.Seen != 100 || report.Replayed != 34 || report.Kept != 66 || report.Failed != 0 {
			t.Fatalf("%v, %v, %v", report, report.Failures, err)
		}
		arrived := take(t, l, w.Queue)
		var want, rest []string
		for i := range 100 {
			if i%3 == 0 {
				want = append(want, fmt.Sprint(i))
			} else {
				rest = append(rest, fmt.Sprint(i))
			}
		}
		if !slices.Equal(ids(arrived), want) {
			t.Errorf("arrived %v", ids(arrived))
		}
		replayIDs := map[string]bool{}
		for _, d := range arrived {
			s, err := story.Read(d.Headers)
			replayIDs[s.ReplayID] = true
			if err != nil || s.RetryCount != 0 || s.DeadReason != "" || !s.ExpiresAt.IsZero() || s.ReplayCount != 1 ||
				s.OriginQueue != w.Queue || s.OriginExchange != "events" || s.OriginKey != "a.b" || s.OriginPriority != 3 {
				t.Fatalf("%+v, %v", s, err)
			}
		}
		if len(replayIDs) != len(want) {
			t.Errorf("%d replay-ids for %d letters", len(replayIDs), len(want))
		}
		if got := lookAll(t, q); !slices.Equal(got, rest) {
			t.Errorf("left %v", got)
		}

		report, err = q.Replay(deadline(t), p, dlq.ReplayConfig{Limit: 6})
		if err != nil || report.Replayed != 6 {
			t.Errorf("limit: %v, %v", report, err)
		}
		if got := ids(take(t, l, w.Queue)); !slices.Equal(got, rest[:6]) {
			t.Errorf("limit: arrived %v", got)
		}

		declareQueue(t, l, "elsewhere", quorum)
		report, err = q.Replay(deadline(t), p, dlq.ReplayConfig{To: "elsewhere"})
		if err != nil || report.Replayed != 60 || depth(t, l, w.DeadLetterQueue) != 0 {
			t.Errorf("elsewhere: %v, %v", report, err)
		}
		if got := ids(take(t, l, "elsewhere")); !slices.Equal(got, rest[6:]) {
			t.Errorf("elsewhere: arrived %v", got)
		}
	})
}

// Letters that cannot be replayed stay: no target, a target that is gone, a copy
// that no broker takes.
func TestReplayThatFails(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "failing", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "", w.DeadLetterQueue, amqp.Publishing{MessageId: "nobody's"}); err != nil {
			t.Fatal(err)
		}
		gone := w
		gone.Queue = "gone"
		letters(t, p, gone, 2)
		letters(t, p, w, 1)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 2})
		report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{})
		if err != nil || report.Failed != 3 || report.Replayed != 1 || len(report.Failures) != 3 {
			t.Fatalf("%v, %v, %v", report, report.Failures, err)
		}
		var returned *confirm.ReturnedError
		if !errors.Is(report.Failures[0].Err, dlq.ErrNoTarget) || !errors.As(report.Failures[1].Err, &returned) {
			t.Errorf("%v", report.Failures)
		}
		if got := lookAll(t, q); !slices.Equal(got, []string{"nobody's", "0", "1"}) {
			t.Errorf("left %v", got)
		}
	})
}

// The handler still fails: replayed letters come back while the replay runs, and
// are not replayed again.
func TestReplayEndsThoughLettersComeBack(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "again.and.again", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, 60)
		handled := newTally()
		run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: reliable(p, w, retry.Policy{},
			func(_ context.Context, d amqp.Delivery) error {
				handled.add(d.MessageId)
				return retry.Permanent(errors.New("still broken"))
			})})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 7})
		report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{Window: 2})
		if err != nil || report.Replayed != 60 || report.Seen != 60 {
			t.Fatalf("%v, %v", report, err)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 60 })
		for i := range 60 {
			if n := handled.of(fmt.Sprint(i)); n != 1 {
				t.Errorf("letter %d handled %d times", i, n)
			}
		}
	})
}

// cutter cuts the link of the letters when a copy is confirmed, before its
// letter is acked.
type cutter struct {
	pub *confirm.Publisher
	cut func()
}

func (c *cutter) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	err := c.pub.Start(ctx, exchange, key, msg)
	var pending *confirm.PendingError
	if errors.As(err, &pending) {
		<-pending.Done()
		c.cut()
	}
	return err
}

// A crash between confirm and ack: the copy is there, the letter is, too; the
// next replay makes a second copy with the same replay-id (R 21).
func TestReplayCutBetweenConfirmAndAck(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "cut", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, 5)
		proxy := b.Proxy(t)
		cfg := dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 2}
		report, err := openQueue(open(t, link.Config{URLs: []string{proxy.URL()}}), cfg).Replay(deadline(t), &cutter{p, proxy.Cut}, dlq.ReplayConfig{})
		if err == nil || report.Replayed > 1 {
			t.Fatalf("%v, %v", report, err)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue)+report.Replayed == 5 })
		first := take(t, l, w.Queue)
		if len(first) == 0 {
			t.Fatal("no copy")
		}
		var again dlq.Report
		unlocked(t, func() error {
			again, err = openQueue(l, cfg).Replay(deadline(t), p, dlq.ReplayConfig{})
			return err
		})
		if again.Replayed != 5-report.Replayed {
			t.Fatalf("%v", again)
		}
		second := map[string]any{}
		for _, d := range take(t, l, w.Queue) {
			second[d.MessageId] = d.Headers[story.HeaderReplayID]
		}
		for _, d := range first[report.Replayed:] {
			if id := d.Headers[story.HeaderReplayID]; id == nil || second[d.MessageId] != id {
				t.Errorf("letter %s: replay-id %v, then %v", d.MessageId, id, second[d.MessageId])
			}
		}
	})
}
