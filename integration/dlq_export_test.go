package integration

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// exportedLetter is what of a letter must not change on its way through a file and
// another stay in the queue.
func exportedLetter(l dlq.Letter) dlq.Letter {
	d := l.Delivery
	l.Delivery = amqp.Delivery{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
	for _, name := range []string{"hareline-publish-id", "x-delivery-count", "x-acquired-count"} {
		delete(d.Headers, name)
	}
	return l
}

func parsedLetters(t *testing.T, q *dlq.Queue) (all []dlq.Letter) {
	t.Helper()
	if err := q.Look(deadline(t), func(l dlq.Letter) error { all = append(all, exportedLetter(l)); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// Letters of all kinds (buried, rejected by a consumer, foreign with every type of
// header) are exported, discarded and imported, and are what they were, in order;
// the broker's record of the rejected one, too, so that its replay finds its way.
func TestExportAndImportOnBrokers(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "exported", topology.WorkConfig{Ladder: topology.Ladder{Levels: 2}})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, 20)
		now := time.Unix(1_790_000_000, 0)
		for _, one := range []struct {
			queue string
			msg   amqp.Publishing
		}{
			{w.Queue, amqp.Publishing{MessageId: "rejected", Timestamp: now, Headers: amqp.Table{"n": int32(1)}}},
			{w.DeadLetterQueue, amqp.Publishing{
				MessageId: "foreign", Timestamp: now, ContentType: "a/b", ContentEncoding: "gzip", CorrelationId: "c", ReplyTo: "r", Type: "t", AppId: "a",
				Headers: amqp.Table{
					"int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16), "int32": int32(-32), "uint32": uint32(32), "int64": int64(-64),
					"float32": float32(1.5), "float64": 2.5, "bool": true, "nil": nil, "text": "t\u00e4xt", "bytes": []byte{0, 0xff}, "odd": "\xff\xfe",
					"decimal": amqp.Decimal{Scale: 2, Value: 314}, "time": now, "table": amqp.Table{"list": []any{"x", nil, int64(7), amqp.Table{"y": false}}},
					"CC": []any{w.Queue},
				},
				Body: []byte{0, 0xff, '\n'},
			}},
		} {
			if err := p.Publish(deadline(t), "", one.queue, one.msg); err != nil {
				t.Fatal(err)
			}
			if one.queue != w.Queue {
				continue
			}
			do(t, l, func(ch *amqp.Channel) error {
				d, _, err := ch.Get(w.Queue, false)
				if err != nil {
					return err
				}
				return d.Reject(false)
			})
			eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 21 })
		}
		take(t, l, w.Queue) // what CC sent there
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		before := parsedLetters(t, q)
		var file bytes.Buffer
		if n, err := q.Export(deadline(t), &file, nil); err != nil || n != 22 {
			t.Fatalf("%d exported, %v", n, err)
		}
		if report, err := q.Discard(deadline(t), func(dlq.Letter) bool { return true }); err != nil || report.Discarded != 22 {
			t.Fatalf("%v, %v", report, err)
		}
		if n, err := q.Import(deadline(t), strings.NewReader(file.String()), p); err != nil || n != 22 {
			t.Fatalf("%d imported, %v", n, err)
		}
		after := parsedLetters(t, q)
		if len(before) != 22 || len(after) != 22 {
			t.Fatalf("%d letters, of %d", len(after), len(before))
		}
		delete(before[21].Delivery.Headers, "CC")
		for i := range after {
			if !reflect.DeepEqual(before[i], after[i]) {
				t.Errorf("%d: was\n%+v\nis\n%+v", i, before[i], after[i])
			}
		}
		if n := depth(t, l, w.Queue); n != 0 {
			t.Errorf("%d messages sent elsewhere", n)
		}
		report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{Limit: 21})
		if got := depth(t, l, w.Queue); err != nil || report.Replayed != 21 || got != 21 {
			t.Errorf("%v, %v, %v; %d in the queue", report, report.Failures, err, got)
		}
	})
}
