package integration

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// A message for later reaches its exchange with every property and header that
// it was given, by all its routes, CC and BCC too, not before its time, also when
// that is longer than the ladder reaches; one that no queue is bound for at its
// time is buried, not lost.
func TestMessageForLater(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := deadline(t)
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "for-later", topology.WorkConfig{Ladder: topology.Ladder{Scope: "for-later", Levels: 3}}) // 700 ms
		p := publisher(t, l, confirm.Config{Later: w})
		copies := publisher(t, l, confirm.Config{})
		run(t, l, consumer.Config{Queue: w.Queue, Handler: reliable(copies, w, retry.Policy{}, consumer.Timeout(time.Minute)(p.Forward))})
		declareQueue(t, l, "created", amqp.Table{"x-max-priority": int32(9)})
		declareQueue(t, l, "blind", nil)
		do(t, l, func(ch *amqp.Channel) error {
			return errors.Join(ch.QueueBind("created", "order.*", "amq.topic", false, nil), ch.QueueBind("blind", "bcc", "amq.topic", false, nil))
		})
		uri, err := amqp.ParseURI(b.URL)
		if err != nil {
			t.Fatal(err)
		}
		sent := amqp.Publishing{
			Headers: amqp.Table{
				"n": int64(5_000_000_000), "small": int8(-3), "wide": uint16(40000), "f": 1.5, "b": true, "void": nil, "bytes": []byte{0, 255},
				"at": time.Unix(1e9, 0), "nested": amqp.Table{"list": []any{"a", int64(1), amqp.Table{"deep": "x"}}},
				"BCC": []any{"bcc"}, "hareline-retry-count": int64(3), "x-mine": "y",
			},
			ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 5, CorrelationId: "c", ReplyTo: "r",
			Expiration: confirm.Expiration(time.Hour), MessageId: "m", Timestamp: time.Unix(1e9, 0), Type: "t", UserId: uri.Username, AppId: "a", Body: []byte("body"),
		}
		began := time.Now()
		const delay = 1100 * time.Millisecond
		if err := p.PublishLater(ctx, delay, "amq.topic", "order.created", sent); err != nil {
			t.Fatal(err)
		}
		if err := p.PublishLater(ctx, time.Millisecond, "amq.topic", "nobody", amqp.Publishing{MessageId: "nobody"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return depth(t, l, "blind") == 1 && depth(t, l, w.DeadLetterQueue) == 1 })
		if took := time.Since(began); took < delay {
			t.Errorf("it came after %s", took)
		}
		got := take(t, l, "created")
		if len(got) != 1 {
			t.Fatalf("%d arrived", len(got))
		}
		d := got[0]
		delete(d.Headers, confirm.HeaderPublishID)
		delete(d.Headers, "x-delivery-count")
		delete(sent.Headers, "BCC")
		for name, v := range sent.Headers {
			if !same(v, d.Headers[name]) {
				t.Errorf("header %s was %#v, is %#v", name, v, d.Headers[name])
			}
		}
		if len(d.Headers) != len(sent.Headers) || d.Exchange != "amq.topic" || d.RoutingKey != "order.created" {
			t.Errorf("arrived by %q %q with %v", d.Exchange, d.RoutingKey, d.Headers)
		}
		is := fmt.Sprint(d.ContentType, d.ContentEncoding, d.DeliveryMode, d.Priority, d.CorrelationId, d.ReplyTo, d.Expiration, d.MessageId, d.Timestamp.Unix(), d.Type, d.UserId, d.AppId, string(d.Body))
		was := fmt.Sprint(sent.ContentType, sent.ContentEncoding, sent.DeliveryMode, sent.Priority, sent.CorrelationId, sent.ReplyTo, sent.Expiration, sent.MessageId, sent.Timestamp.Unix(), sent.Type, sent.UserId, sent.AppId, string(sent.Body))
		if is != was {
			t.Errorf("properties were\n%s, are\n%s", was, is)
		}
		if letters := take(t, l, w.DeadLetterQueue); letters[0].MessageId != "nobody" {
			t.Errorf("buried %v", letters)
		}
	})
}

func same(a, b any) bool {
	if a, ok := a.(time.Time); ok {
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	}
	return reflect.DeepEqual(a, b)
}
