package dlq_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// parsed are the letters of a queue, in order.
func parsed(t *testing.T, q *dlq.Queue) (all []dlq.Letter) {
	t.Helper()
	if err := q.Look(soon(t), func(letter dlq.Letter) error { all = append(all, letter); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// content is what of a letter must not change on its way through a file.
func content(l dlq.Letter) dlq.Letter {
	d := l.Delivery
	l.Delivery = amqp.Delivery{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
	delete(d.Headers, "hareline-publish-id") // of each publish
	return l
}

// Letters are exported, discarded, imported again, and are what they were, in
// order: ours, the broker's own, and any other.
func TestExportAndImport(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 20)
		publish(t, b, "", w.Queue, amqp.Publishing{MessageId: "broker's", Expiration: "600000", Headers: amqp.Table{"n": int32(1)}})
		operate(t, b, func(ch *amqp.Channel) error {
			d, _, err := ch.Get(w.Queue, false)
			if err != nil {
				return err
			}
			return d.Reject(false)
		})
		eventually(t, "it is dead", func() bool { q, _ := b.Queue("/", w.DeadLetterQueue); return q.Ready == 21 })
		publish(t, b, "", w.DeadLetterQueue, amqp.Publishing{
			ContentType: "a/b", ContentEncoding: "gzip", CorrelationId: "c", ReplyTo: "r", Timestamp: time.Unix(1e9, 0), Type: "t", AppId: "a", Priority: 3,
			Headers: amqp.Table{"int": int16(1), "time": time.Unix(5, 0), "table": amqp.Table{"list": []any{"x", nil, 1.5}}, "CC": []any{"elsewhere"}},
			Body:    []byte{0, 0xff, '\n'},
		})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		before := parsed(t, q)
		var file bytes.Buffer
		if n, err := q.Export(soon(t), &file, nil); err != nil || n != 22 || bytes.Count(file.Bytes(), []byte("\n")) != 22 {
			t.Fatalf("%d exported, %v:\n%s", n, err, &file)
		}
		if got := parsed(t, q); len(got) != 22 {
			t.Errorf("%d letters left by the export", len(got))
		}
		if _, err := q.Discard(soon(t), func(dlq.Letter) bool { return true }); err != nil {
			t.Fatal(err)
		}
		declareQueue(t, b, "elsewhere", nil)
		if n, err := q.Import(soon(t), strings.NewReader("\n"+file.String()+"\n \n"), p); err != nil || n != 22 {
			t.Fatalf("%d imported, %v", n, err)
		}
		after := parsed(t, q)
		if len(after) != len(before) {
			t.Fatalf("%d letters of %d", len(after), len(before))
		}
		for i := range after {
			if i == 21 {
				delete(before[i].Delivery.Headers, "CC")
			}
			for _, l := range []dlq.Letter{before[i], after[i]} {
				delete(l.Delivery.Headers, "x-delivery-count") // of each stay
				delete(l.Delivery.Headers, "x-acquired-count")
			}
			was, is := content(before[i]), content(after[i])
			if was.Delivery.Timestamp.IsZero() { // the publisher gives one, and a message-id
				is.Delivery.Timestamp = time.Time{}
			}
			if was.Delivery.MessageId == "" {
				is.Delivery.MessageId, is.ID = "", was.ID
			}
			if !reflect.DeepEqual(was, is) {
				t.Errorf("%d: was\n%+v\nis\n%+v", i, was, is)
			}
		}
		if got := ids(b, "elsewhere"); len(got) != 0 {
			t.Errorf("sent elsewhere, too: %v", got)
		}
		if report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Limit: 21}); err != nil || report.Replayed != 21 {
			t.Errorf("%v, %v, %v", report, report.Failures, err)
		}
	})
}

// A letter with every property comes back as it was; what would lose or send it
// elsewhere does not come back.
func TestImportLeavesOut(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		line := `{"hareline_letter":1,"message_id":"1","user_id":"somebody","expiration":"1","delivery_mode":1,"headers":{"BCC":{"array":["work"]},"CC":{"array":["work"]}},"body":"x"}`
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		if n, err := q.Import(soon(t), strings.NewReader(line), publisher(t, l)); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		pass(time.Minute)
		complete(t, b, w.DeadLetterQueue, []string{"1"})
		complete(t, b, w.Queue, nil)
		if m := b.Messages("/", w.DeadLetterQueue)[0]; m.DeliveryMode != amqp.Persistent || m.UserID != "" {
			t.Errorf("%+v", m)
		}
	})
}

// An import that fails says at which line; all before it are there.
func TestImportThatFails(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 400)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		var file bytes.Buffer
		if _, err := q.Export(soon(t), &file, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Discard(soon(t), func(dlq.Letter) bool { return true }); err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(file.String(), "\n")
		broken := slices.Concat(lines[:300], []string{"rubbish\n"}, lines[300:])
		n, err := q.Import(soon(t), strings.NewReader(strings.Join(broken, "")), p)
		if failed := as[*dlq.ImportError](t, err); failed.Line != 301 || n != 300 {
			t.Errorf("%d, %v", n, err)
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, numbers(0, 300)) {
			t.Errorf("%d letters: %v", len(got), got)
		}
		nacked := inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: w.DeadLetterQueue, Nth: 50})
		n, err = q.Import(soon(t), strings.NewReader(strings.Join(lines[300:], "")), p)
		failed := as[*dlq.ImportError](t, err)
		as[*confirm.NackedError](t, failed)
		if failed.Line != 50 || n != 49 || nacked.Hits() != 1 {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := openQueue(l, dlq.QueueConfig{Queue: "missing"}).Import(soon(t), strings.NewReader(lines[0]), p); err == nil {
			t.Error("imported into nothing")
		} else {
			as[*confirm.ReturnedError](t, err)
		}
		if _, err := q.Import(soon(t), strings.NewReader(lines[0]), nil); err == nil {
			t.Error("imported without a publisher")
		}
	})
}

type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

var errDisk = errors.New("disk full")

// What cannot be written is told, and the letters stay as they are.
func TestExportToAFullDisk(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		letters(t, b, w, 50)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		for _, room := range []int{0, 5000} {
			if n, err := q.Export(soon(t), &fullDisk{room}, nil); !errors.Is(err, errDisk) {
				t.Errorf("%d exported, %v", n, err)
			}
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, numbers(0, 50)) {
			t.Errorf("left %v", got)
		}
	})
}
