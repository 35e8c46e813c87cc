package dlq_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func journalPath(t *testing.T) string { return filepath.Join(t.TempDir(), "replay.journal") }

// copies counts the messages of a queue by their message-id.
func copies(b *amqptest.Broker, queue string) map[string]int {
	n := map[string]int{}
	for _, id := range ids(b, queue) {
		n[id]++
	}
	return n
}

// doubled fails the test where there are two copies that nobody was told of.
func doubled(t *testing.T, b *amqptest.Broker, queue string, told []dlq.Duplicate) (n int) {
	t.Helper()
	for id, count := range copies(b, queue) {
		if count < 2 {
			continue
		}
		n++
		if !slices.ContainsFunc(told, func(d dlq.Duplicate) bool { return d.MessageID == id && d.ReplayID != "" && d.ID != "" }) {
			t.Errorf("%d copies of %s, and it is not listed", count, id)
		}
	}
	return n
}

// R 21: the letters' connection is lost after copies were confirmed and before
// their letters were acked. The journal has the confirms, so the next replay
// removes these letters and publishes none of them again.
func TestReplayResumedAfterTheConfirm(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 20)
		inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.ack", Queue: w.DeadLetterQueue, Nth: 3})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		cfg := dlq.ReplayConfig{Window: 8, Journal: journalPath(t)}
		first, err := q.Replay(soon(t), p, cfg)
		if err == nil {
			t.Fatalf("not lost: %v", first)
		}
		eventually(t, "all is back", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Unacked == 0 })
		left, arrived := copies(b, w.DeadLetterQueue), copies(b, w.Queue)
		both := 0
		for id := range arrived {
			both += left[id]
		}
		if both == 0 {
			t.Fatalf("no letter with a copy: left %v, arrived %v", left, arrived)
		}
		second, err := q.Replay(soon(t), p, cfg)
		if err != nil || second.Resumed != both || second.Replayed != len(left)-both || len(second.Duplicates) != 0 {
			t.Errorf("%v, %v, %v; want %d resumed", second, second.Duplicates, err, both)
		}
		if n := doubled(t, b, w.Queue, nil); n > 0 || len(copies(b, w.Queue)) != 20 {
			t.Errorf("arrived %v", copies(b, w.Queue))
		}
		complete(t, b, w.DeadLetterQueue, nil)
	})
}

// The replay ends before the confirms come. The next one publishes these letters
// again, and lists them; a third has nothing to say of them.
func TestReplayResumedBeforeTheConfirm(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 12)
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{Body: []byte("no id")})
		held := inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Queue: w.Queue, Times: -1})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		cfg := dlq.ReplayConfig{Window: 5, Journal: journalPath(t), To: w.Queue}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first, err := q.Replay(ctx, p, cfg)
		if !errors.Is(err, context.DeadlineExceeded) || first.Replayed != 0 || first.Failed != 5 {
			t.Fatalf("%v, %v", first, err)
		}
		held.Remove()
		if n := len(ids(b, w.Queue)); n == 0 {
			t.Fatal("no copy is there")
		}
		second, err := q.Replay(soon(t), p, cfg)
		if err != nil || second.Replayed != 13 || second.Resumed != 0 || len(second.Duplicates) != 5 {
			t.Errorf("%v, %v, %v", second, second.Duplicates, err)
		}
		if n := doubled(t, b, w.Queue, second.Duplicates); n == 0 {
			t.Errorf("arrived %v", copies(b, w.Queue))
		}
		complete(t, b, w.DeadLetterQueue, nil)
		if _, err := os.Stat(cfg.Journal); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing is in doubt, and the journal is still there: %v", err)
		}
	})
}

// One message-id, one death, other bodies: the journal tells these letters apart,
// and never removes one for another's copy. Without a message-id nothing is
// removed unpublished.
func TestReplayResumedWithLikeLetters(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		for _, id := range []string{"same", ""} {
			for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
				publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{MessageId: id, Body: []byte(body)})
			}
		}
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		cfg := dlq.ReplayConfig{To: w.Queue, Window: 2, Journal: journalPath(t)}
		var last dlq.Report
		for nth := range 6 {
			dropped := inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: "basic.ack", Queue: w.DeadLetterQueue, Nth: 2})
			var err error
			if last, err = q.Replay(soon(t), p, cfg); err == nil && dropped.Hits() > 0 {
				t.Errorf("%d: %v", nth, last)
			}
			dropped.Remove()
			eventually(t, "all is back", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Unacked == 0 })
		}
		if _, err := q.Replay(soon(t), p, cfg); err != nil {
			t.Fatal(err)
		}
		complete(t, b, w.DeadLetterQueue, nil)
		arrived := map[string]int{}
		for _, m := range b.Messages("/", w.Queue) {
			arrived[string(m.Body)]++
		}
		for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
			if arrived[body] < 2 {
				t.Errorf("a letter %q is lost: %v", body, arrived)
			}
		}
	})
}

// Nothing is published when the journal cannot be used.
func TestReplayWithAJournalOfOthers(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 3)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		other := journalPath(t)
		if err := os.WriteFile(other, []byte("hareline replay journal 1 \"other\" \"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, path := range map[string]string{"other": other, "folder": t.TempDir(), "missing folder": "/missing/replay.journal"} {
			report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Journal: path})
			if broken := as[*dlq.JournalError](t, err); broken.Path != path || report.Replayed != 0 {
				t.Errorf("%s: %v, %v", name, report, err)
			}
		}
		if n := len(ids(b, w.Queue)); n != 0 {
			t.Errorf("%d copies", n)
		}
		complete(t, b, w.DeadLetterQueue, numbers(0, 3))
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Journal: "/missing/replay.journal", DryRun: true})
		if err != nil || report.Selected != 3 {
			t.Errorf("dry: %v, %v", report, err)
		}
	})
}

// Two letters that nothing tells apart: the ack of the first came through, but not
// the answer. The other one is not taken for it.
func TestReplayResumedWithEqualLetters(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		for range 2 {
			publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{Body: []byte("equal")})
		}
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.ack", Queue: w.DeadLetterQueue})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		cfg := dlq.ReplayConfig{To: w.Queue, Limit: 1, Journal: journalPath(t)}
		if report, _ := q.Replay(soon(t), p, cfg); report.Failed != 1 || len(report.Duplicates) != 1 {
			t.Fatalf("not lost: %v", report)
		}
		eventually(t, "one is left", func() bool {
			q, _ := b.Queue("/", w.DeadLetterQueue)
			return q.Unacked == 0 && q.Ready == 1 && len(ids(b, w.Queue)) == 1
		})
		report, err := q.Replay(soon(t), p, cfg)
		if err != nil || report.Replayed != 1 || report.Resumed != 0 || len(report.Duplicates) != 1 {
			t.Errorf("%v, %v", report, err)
		}
		if n := len(ids(b, w.Queue)); n != 2 {
			t.Errorf("%d copies of two letters", n)
		}
		complete(t, b, w.DeadLetterQueue, nil)
	})
}
