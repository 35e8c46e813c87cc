package dlq_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// stuck is a publisher of which one copy has no outcome.
type stuck struct {
	dlq.Starter
	id    string
	times int
}

type noOutcome struct{ error }

func (noOutcome) Done() <-chan struct{} { return nil }
func (noOutcome) Outcome() error        { return errors.New("no outcome yet") }

func (s *stuck) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	if msg.MessageId == s.id {
		s.times++
		return noOutcome{errors.New("under way")}
	}
	return s.Starter.Start(ctx, exchange, key, msg)
}

// A copy that has no outcome when the replay's time is over keeps its letter: it
// is not replayed once more by the same replay, while the first one is under way.
func TestReplayOfAnUnansweredCopy(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := &stuck{Starter: publisher(t, l), id: "19"}
		letters(t, b, w, 40)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, ConsumerTimeout: 20 * time.Second})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Rate: 2})
		as[*dlq.IncompleteError](t, err)
		if p.times != 1 || report.Failed != 1 || len(report.Duplicates) != 1 {
			t.Errorf("published %d times; %v", p.times, report)
		}
	})
}

// Many letters may be under way at once, though nothing is known of their size
// when the first channel is opened.
func TestReplayFillsItsWindow(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 300)
		held := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Queue: w.Queue, Nth: 40, Times: -1})
		done := make(chan struct{})
		go func() {
			defer close(done)
			q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
			report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Window: 100})
			if err != nil || report.Seen != 300 || report.Replayed+report.Failed != 300 {
				t.Errorf("%v, %v", report, err)
			}
		}()
		pass(10 * time.Second)
		if n := len(ids(b, w.Queue)); n < 130 {
			t.Errorf("%d copies, of which 39 are confirmed", n)
		}
		held.Remove()
		<-done
		got := ids(b, w.Queue)
		slices.Sort(got)
		if n := len(slices.Compact(got)) + len(ids(b, w.DeadLetterQueue)); n < 300 {
			t.Errorf("%d letters and copies", n)
		}
	})
}

// Letters whose acks came through, but not the answer, are not met again. A replay
// that has seen the whole queue forgets them: when they are imported again, they
// are replayed, not taken for replayed.
func TestReplayOfLettersThatCameBack(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 3)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		var backup bytes.Buffer
		if _, err := q.Export(soon(t), &backup, nil); err != nil {
			t.Fatal(err)
		}
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.ack", Queue: w.DeadLetterQueue})
		cfg := dlq.ReplayConfig{Limit: 1, Journal: journalPath(t)}
		if report, _ := q.Replay(soon(t), p, cfg); report.Failed != 1 {
			t.Fatalf("not lost: %v", report)
		}
		eventually(t, "two are left", func() bool {
			q, _ := b.Queue("/", w.DeadLetterQueue)
			return q.Unacked == 0 && q.Ready == 2
		})
		old := time.Now().Add(-time.Hour) // in the bubble's time
		if err := os.Chtimes(cfg.Journal, old, old); err != nil {
			t.Fatal(err)
		}
		cfg.Limit = 0
		if report, err := q.Replay(soon(t), p, cfg); err != nil || report.Replayed != 2 {
			t.Fatalf("%v, %v", report, err)
		}
		if _, err := os.Stat(cfg.Journal); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the journal is left: %v", err)
		}
		if n, err := q.Import(soon(t), &backup, p); err != nil || n != 3 {
			t.Fatalf("%d, %v", n, err)
		}
		if report, err := q.Replay(soon(t), p, cfg); err != nil || report.Replayed != 3 || report.Resumed != 0 {
			t.Errorf("%v, %v", report, err)
		}
	})
}

// Two letters on one line are not taken for one.
func TestImportOfTwoLettersOnALine(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		for _, text := range []string{
			`{"hareline_letter":1,"message_id":"1"}{"hareline_letter":1,"message_id":"2"}`,
			`{"hareline_letter":1,"message_id":"1","bdy":"a slip of the pen"}`,
		} {
			n, err := q.Import(soon(t), strings.NewReader(text), publisher(t, l))
			if failed := as[*dlq.ImportError](t, err); failed.Line != 1 || n != 0 {
				t.Errorf("%s: %d, %v", text, n, err)
			}
		}
	})
}

// A foreign letter's error may be as long as its headers; a group keeps little of it.
func TestGroupsOfLongErrors(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		long := strings.Repeat("x", 60<<10)
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{Headers: amqp.Table{story.HeaderLastError: long, story.HeaderErrorClass: long[:30<<10]}})
		groups, _, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Groups(soon(t), nil)
		if err != nil || len(groups) != 1 || len(groups[0].Text) > 2<<10 || len(groups[0].Class) > 2<<10 {
			t.Errorf("%d groups of %d bytes, %v", len(groups), len(groups[0].Text), err)
		}
	})
}

// What is listed of a parked copy is the replay-id that it carries.
func TestDuplicateOfAParkedLetter(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		declareQueue(t, b, "parking.lot", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1 << 30})
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{MessageId: "1", Headers: story.Story{OriginQueue: w.Queue, ReplayCount: 1, ReplayID: "of its replay"}.Table()})
		inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.ack", Queue: w.DeadLetterQueue})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		report, _ := q.Replay(soon(t), p, dlq.ReplayConfig{MaxReplays: 1, ParkingLot: "parking.lot"})
		if len(report.Duplicates) != 1 || report.Duplicates[0].ReplayID != stories(t, b, "parking.lot")["1"].ReplayID {
			t.Errorf("%v: %+v", report, report.Duplicates)
		}
	})
}

// A progress is told of an empty queue, too.
func TestProgressOfAnEmptyQueue(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		told := 0
		_, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).
			Replay(soon(t), publisher(t, l), dlq.ReplayConfig{Progress: func(dlq.Report) { told++ }})
		if err != nil || told == 0 {
			t.Errorf("told %d times, %v", told, err)
		}
	})
}

// A look that has no time for one letter ends; it does not open one channel after
// the other for ever.
func TestLookWithoutTime(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		letters(t, b, w, 3)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, ConsumerTimeout: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		as[*dlq.IncompleteError](t, q.Look(ctx, func(dlq.Letter) error { return nil }))
	})
}
