package dlq_test

import (
	"context"
	"errors"
	"fmt"
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

// Edit changes what is published; the story is ours all the same. A letter that
// it refuses stays.
func TestReplayEdits(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 3)
		refused := errors.New("not this one")
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Edit: func(letter dlq.Letter, msg *amqp.Publishing) error {
			for name := range msg.Headers {
				if strings.HasPrefix(name, story.Prefix) {
					t.Errorf("Edit is shown %s", name)
				}
			}
			if letter.Delivery.MessageId == "1" {
				return refused
			}
			msg.Body = []byte("mended " + letter.Delivery.MessageId)
			msg.ContentType, msg.Type, msg.CorrelationId = "text/plain", "film", "c"
			msg.Expiration, msg.Priority, msg.UserId, msg.DeliveryMode = "1", 9, "nobody", amqp.Transient
			msg.Headers = amqp.Table{"fixed": true, "x-death": "forged", "CC": []any{"elsewhere"}, story.HeaderReplayCount: int64(900), story.HeaderReplayID: "forged"}
			return nil
		}})
		if err != nil || report.Replayed != 2 || report.Failed != 1 || !errors.Is(report.Failures[0].Err, refused) {
			t.Fatalf("%v, %v, %v", report, report.Failures, err)
		}
		complete(t, b, w.DeadLetterQueue, []string{"1"})
		complete(t, b, w.Queue, []string{"0", "2"})
		for _, m := range b.Messages("/", w.Queue) {
			s, err := story.Read(m.Headers)
			if err != nil || s.ReplayCount != 1 || s.ReplayID == "forged" || s.OriginQueue != w.Queue {
				t.Errorf("%+v, %v", s, err)
			}
			if string(m.Body) != "mended "+m.MessageID || m.ContentType != "text/plain" || m.Type != "film" || m.Headers["fixed"] != true {
				t.Errorf("not edited: %+v", m)
			}
			if m.Headers["x-death"] != nil || m.Headers["CC"] != nil || m.Expiration != "" || m.UserID != "" || m.Priority != 0 || m.DeliveryMode != amqp.Persistent {
				t.Errorf("against the rules of copies: %+v", m)
			}
		}
	})
}

// A dry run says what would happen, and nothing does.
func TestReplayDryRun(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{MessageId: "nobody's"})
		lost := w
		lost.Queue = "gone"
		letters(t, b, lost, 2)
		letters(t, b, w, 5)
		before := ids(b, w.DeadLetterQueue)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{DryRun: true, Edit: func(letter dlq.Letter, _ *amqp.Publishing) error {
			if letter.Delivery.MessageId == "4" {
				return errors.New("no")
			}
			return nil
		}})
		if err != nil || report.Selected != 8 || report.Failed != 4 || report.Replayed != 0 {
			t.Errorf("%v, %v, %v", report, report.Failures, err)
		}
		if !errors.Is(report.Failures[0].Err, dlq.ErrNoTarget) {
			t.Errorf("%v", report.Failures)
		}
		missing := as[*amqp.Error](t, report.Failures[1].Err)
		if missing.Code != amqp.NotFound {
			t.Errorf("%v", missing)
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, before) || len(ids(b, w.Queue)) != 0 {
			t.Errorf("left %v", got)
		}
		if n := len(b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventAcked && e.Queue == w.DeadLetterQueue })); n != 0 {
			t.Errorf("%d acks", n)
		}
	})
}

// What was replayed too often goes to the parking lot, where it is a letter still:
// what the broker's headers told, too.
func TestReplayParks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		declareQueue(t, b, "parking.lot", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1 << 30})
		letters(t, b, w, 3)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		reject := func(ids ...string) { // fails again: the broker dead-letters it
			operate(t, b, func(ch *amqp.Channel) error {
				for range ids {
					d, ok, err := ch.Get(w.Queue, false)
					if err != nil || !ok {
						return fmt.Errorf("no copy: %w", err)
					}
					if err := d.Reject(false); err != nil {
						return err
					}
				}
				return nil
			})
			eventually(t, "they are back", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Ready >= len(ids) })
		}
		cfg := dlq.ReplayConfig{MaxReplays: 2, ParkingLot: "parking.lot"}
		for range 2 {
			if report, err := q.Replay(soon(t), p, cfg); err != nil || report.Replayed != 3 || report.Parked != 0 {
				t.Fatalf("%v, %v", report, err)
			}
			reject("0", "1", "2")
		}
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{MessageId: "young", Headers: story.Story{OriginQueue: w.Queue, ReplayCount: 1}.Table()})
		var before []dlq.Letter
		if err := q.Look(soon(t), func(letter dlq.Letter) error { before = append(before, letter); return nil }); err != nil {
			t.Fatal(err)
		}
		report, err := q.Replay(soon(t), p, cfg)
		if err != nil || report.Parked != 3 || report.Replayed != 1 || report.Selected != 4 {
			t.Errorf("%v, %v, %v", report, report.Failures, err)
		}
		complete(t, b, w.DeadLetterQueue, nil)
		complete(t, b, w.Queue, []string{"young"})
		n := 0
		err = openQueue(l, dlq.QueueConfig{Queue: "parking.lot"}).Look(soon(t), func(letter dlq.Letter) error {
			was := before[n]
			n++
			if letter.Queue != was.Queue || letter.Reason != was.Reason || !letter.DeadAt.Equal(was.DeadAt) || letter.ID != was.ID || letter.Story.ReplayCount != 2 ||
				letter.Story.OriginExchange != "events" || letter.Story.OriginKey != "a.b" {
				t.Errorf("was %+v\n now %+v", was, letter)
			}
			return nil
		})
		if err != nil || n != 3 {
			t.Errorf("%d parked, %v", n, err)
		}
		// Where there is no parking lot, the letter stays.
		letters(t, b, w, 1)
		operate(t, b, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("parking.lot", false, false, false); return err })
		if _, err := q.Replay(soon(t), p, dlq.ReplayConfig{}); err != nil {
			t.Fatal(err)
		}
		reject("young", "0")
		report, err = q.Replay(soon(t), p, dlq.ReplayConfig{MaxReplays: 1, ParkingLot: "parking.lot"})
		if err != nil || report.Parked != 0 || report.Failed != 2 {
			t.Errorf("%v, %v", report, err)
		}
	})
}

// A rate is kept, and a progress is told once a second.
func TestReplayRate(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 200)
		var told []int
		began := time.Now()
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Rate: 20, Progress: func(r dlq.Report) { told = append(told, r.Replayed) }})
		took := time.Since(began)
		if err != nil || report.Replayed != 200 || took < 9*time.Second || took > 12*time.Second {
			t.Errorf("%v, %v in %v", report, err, took)
		}
		if len(told) < 10 || len(told) > 14 || told[0] != 0 || told[len(told)-1] != 200 || !slices.IsSorted(told) {
			t.Errorf("progress %v", told)
		}
		var last time.Time
		for i, e := range b.Trace(func(e amqptest.Event) bool {
			return e.Kind == amqptest.EventPublished && slices.Contains(e.Queues, w.Queue)
		}) {
			if i > 2 && e.At.Sub(last) < 40*time.Millisecond {
				t.Errorf("copy %d comes %v after the one before", i, e.At.Sub(last))
			}
			last = e.At
		}
		complete(t, b, w.DeadLetterQueue, nil)
	})
}

// A slow replay of all letters goes on beyond the consumer timeout, which takes
// nothing from it; one that keeps letters ends, and says so.
func TestReplayLongerThanTheConsumerTimeout(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 60)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, ConsumerTimeout: 20 * time.Second})
		began := time.Now()
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Rate: 1})
		if err != nil || report.Replayed != 60 || report.Seen != 60 || time.Since(began) < 50*time.Second {
			t.Fatalf("%v, %v after %v", report, err, time.Since(began))
		}
		if got := ids(b, w.Queue); !slices.Equal(got, numbers(0, 60)) {
			t.Errorf("arrived %v", got)
		}
		letters(t, b, w, 30)
		report, err = q.Replay(soon(t), p, dlq.ReplayConfig{Rate: 1, Select: func(letter dlq.Letter) bool { return letter.Delivery.MessageId != "3" }})
		as[*dlq.IncompleteError](t, err)
		if report.Replayed < 8 || report.Replayed > 14 || len(ids(b, w.DeadLetterQueue)) != 30-report.Replayed {
			t.Errorf("%v, left %v", report, ids(b, w.DeadLetterQueue))
		}
	})
}

func TestReplayConfigThatIsWrong(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		p := publisher(t, l)
		for field, cfg := range map[string]dlq.ReplayConfig{
			"Limit": {Limit: -1}, "Window": {Window: -1}, "Rate": {Rate: -1}, "MaxReplays": {MaxReplays: -1},
			"ParkingLot": {MaxReplays: 1}, "MaxReplays is 0": {ParkingLot: "x"}, "an hour": {Rate: 1e-9},
		} {
			_, err := openQueue(l, dlq.QueueConfig{Queue: "q"}).Replay(context.Background(), p, cfg)
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %v", field, err)
			}
		}
	})
}
