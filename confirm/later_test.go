package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
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

// relay is a service that publishes messages for later: their queue, and a
// publisher that knows it.
type relay struct {
	link *link.Link
	work topology.Work
	pub  *confirm.Publisher
}

func newRelay(t *testing.T, b *amqptest.Broker, ladder topology.Ladder) relay {
	t.Helper()
	l := open(t, b, link.Config{})
	w := topology.WorkQueue("later", topology.WorkConfig{Ladder: ladder})
	if err := topology.Declare(soon(t), l, w.Topology); err != nil {
		t.Fatal(err)
	}
	return relay{l, w, publisherOn(t, l, confirm.Config{Later: w})}
}

// run consumes the queue, with what the documentation puts around Forward,
// until the test ends or the result is called.
func (r relay) run(t *testing.T) (stop func()) {
	t.Helper()
	copies := publisherOn(t, r.link, confirm.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = consumer.Run(ctx, r.link, consumer.Config{Queue: r.work.Queue, Logger: quiet, Handler: consumer.Chain(r.pub.Forward,
			dlq.Middleware(copies, r.work, dlq.Config{Logger: quiet}),
			retry.Middleware(copies, r.work, retry.Policy{BackOff: retry.Constant(time.Second), Logger: quiet}),
			consumer.Recover())})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// came waits until a message is published by its key to a queue, and says when.
func came(t *testing.T, b *amqptest.Broker, key string) time.Time {
	t.Helper()
	_, err := b.WaitEvent(after(t, 48*time.Hour), func(e amqptest.Event) bool {
		return e.Kind == amqptest.EventPublished && e.Key == key && len(e.Queues) > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// A message for later comes to its exchange at its time, with everything that
// it was given, by every route that its key and CC have.
func TestLater(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		for _, q := range []string{"q", "copy", "blind", "other"} {
			declare(t, b, q, nil)
		}
		operate(t, b, func(ch *amqp.Channel) error {
			return errors.Join(ch.QueueBind("q", "order.*", "amq.topic", false, nil), ch.QueueBind("copy", "cc.1", "amq.topic", false, nil),
				ch.QueueBind("blind", "bcc.0", "amq.topic", false, nil), ch.QueueBind("other", "#.later", "amq.topic", false, nil))
		})
		r.run(t)
		sent := amqp.Publishing{
			Headers: amqp.Table{
				"n": 5_000_000_000, "nested": amqp.Table{"list": []any{"a", int64(1), nil}}, "at": time.Unix(1e9, 0),
				"CC": []any{"cc.1"}, "BCC": []any{"bcc.0"}, confirm.HeaderLater: "mine", "hareline-retry-count": int64(3),
			},
			ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 7,
			CorrelationId: "c", ReplyTo: "r", Expiration: confirm.Expiration(time.Minute), MessageId: "m",
			Timestamp: time.Unix(1e9, 0), Type: "t", UserId: "guest", AppId: "a", Body: []byte("body"),
		}
		began := time.Now()
		if err := r.pub.PublishLater(soon(t), time.Hour, "amq.topic", "order.created", sent); err != nil {
			t.Fatal(err)
		}
		level, _, _ := r.work.Park(time.Hour - time.Hour/9) // where it waits at first
		if waiting := b.Messages("/", level); len(waiting) != 1 || waiting[0].Priority != 0 || waiting[0].Expiration != "" || len(waiting[0].Headers) != 2 {
			t.Errorf("waits as %+v", waiting)
		}
		if sent.Priority != 7 || len(sent.Headers) != 7 {
			t.Errorf("the caller's message was changed: %+v", sent)
		}
		if took := came(t, b, "order.created").Sub(began); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("it came after %s", took)
		}
		pass(time.Second)
		for _, queue := range []string{"q", "copy", "blind"} {
			got := b.Messages("/", queue)
			if len(got) != 1 {
				t.Errorf("%d in %s", len(got), queue)
				continue
			}
			m := got[0]
			want := amqp.Table{
				"n": int64(5_000_000_000), "nested": amqp.Table{"list": []any{"a", int64(1), nil}}, "at": time.Unix(1e9, 0),
				"CC": []any{"cc.1"}, confirm.HeaderLater: "mine", "hareline-retry-count": int64(3),
				confirm.HeaderPublishID: m.Headers[confirm.HeaderPublishID],
			}
			if fmt.Sprint(m.Headers) != fmt.Sprint(want) && !reflect.DeepEqual(m.Headers, map[string]any(want)) {
				t.Errorf("headers\n%v, want\n%v", m.Headers, want)
			}
			if m.Exchange != "amq.topic" || m.RoutingKey != "order.created" || m.Priority != 7 || m.Expiration != "60000" || m.MessageID != "m" ||
				m.UserID != "guest" || m.CorrelationID != "c" || m.ReplyTo != "r" || m.Type != "t" || m.AppID != "a" || string(m.Body) != "body" ||
				m.ContentType != "application/json" || m.ContentEncoding != "utf-8" || !m.Timestamp.Equal(time.Unix(1e9, 0)) || m.DeliveryMode != amqp.Persistent {
				t.Errorf("%+v", m)
			}
		}
		if n := len(ids(b, "other")); n != 0 {
			t.Errorf("%d came elsewhere: something routed by a header on the ladder", n)
		}
	})
}

// No delay comes early, and none more than about a second late, however long;
// also one that is longer than the ladder, which reaches 24 s here.
func TestLaterIsOnTime(t *testing.T) {
	for _, delay := range []time.Duration{
		time.Millisecond, 100 * time.Millisecond, 1700 * time.Millisecond, 17 * time.Second, 5 * time.Minute, 59 * time.Minute,
	} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRelay(t, b, topology.Ladder{Scope: "short", Levels: 8})
				declare(t, b, "q", nil)
				r.run(t)
				began := time.Now()
				if err := r.pub.PublishLater(soon(t), delay, "", "q", message(0)); err != nil {
					t.Fatal(err)
				}
				if late := came(t, b, "q").Sub(began) - delay; late < 0 || late > 1200*time.Millisecond {
					t.Errorf("late by %s", late)
				}
			})
		})
	}
}

// Only messages of a batch that have a delay wait.
func TestLaterInABatch(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{Scope: "short", Levels: 8})
		declare(t, b, "q", nil)
		r.run(t)
		all := batch(4, "", "q")
		all[0].Delay, all[2].Delay, all[3].Delay = 3*time.Second, time.Second, -time.Second
		if err := r.pub.PublishBatch(soon(t), all); err != nil {
			t.Fatal(err)
		}
		if got := ids(b, "q"); !slices.Equal(got, []string{"001", "003"}) {
			t.Errorf("at once: %v", got)
		}
		pass(2 * time.Second)
		if got := ids(b, "q"); !slices.Equal(got, []string{"001", "003", "002"}) {
			t.Errorf("after 2 s: %v", got)
		}
		pass(2 * time.Second)
		if got := ids(b, "q"); !slices.Equal(got, []string{"001", "003", "002", "000"}) {
			t.Errorf("after 4 s: %v", got)
		}
	})
}

// What can be refused is refused when PublishLater is called, not at the time.
func TestLaterRefusesAtOnce(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		for name, bad := range map[string]amqp.Publishing{
			"expiration": {Expiration: "5s"},
			"header":     {Headers: amqp.Table{"n": uint64(1)}},
			"CC":         {Headers: amqp.Table{"CC": "a"}},
			"body":       {Body: make([]byte, 17<<20)},
			"type":       {Type: string(make([]byte, 256))},
		} {
			err := r.pub.PublishLater(soon(t), time.Hour, "", "q", bad)
			if e := as[*confirm.RefusedError](t, err); e.Code != 0 || e.Key != "q" {
				t.Errorf("%s: %v", name, err)
			}
		}
		as[*confirm.RefusedError](t, publisher(t, b, confirm.Config{}).PublishLater(soon(t), time.Hour, "", "q", message(0)))
		err := r.pub.PublishLater(soon(t), time.Hour, "", "q", amqp.Publishing{UserId: "somebody"})
		if e := as[*confirm.RefusedError](t, err); e.Code != amqp.PreconditionFailed {
			t.Error(e)
		}
		if n := published(b); n != 0 {
			t.Errorf("%d were stored", n)
		}
	})
}

// A target that takes nothing at the time: the message is retried, or buried
// with the reason, and not lost.
func TestLaterAndNoQueue(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		declare(t, b, "q", nil)
		r.run(t)
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: "q"})
		for i, key := range []string{"missing", "q"} {
			if err := r.pub.PublishLater(soon(t), time.Minute, "", key, message(i)); err != nil {
				t.Fatal(err)
			}
		}
		came(t, b, "q") // retried after the nack
		if got := ids(b, r.work.DeadLetterQueue); !slices.Equal(got, []string{"000"}) {
			t.Errorf("buried: %v", got)
		}
		m := b.Messages("/", "q")[0]
		if len(m.Headers) != 1 { // the publish-id: nothing of its retry
			t.Errorf("headers %v", m.Headers)
		}
	})
}

// The link is lost while messages come out and are forwarded: all arrive.
func TestLaterOverLostLinks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		declare(t, b, "q", nil)
		r.run(t)
		all := batch(100, "", "q")
		for i := range all {
			all[i].Delay = time.Duration(i) * 20 * time.Millisecond
		}
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 30, Every: 50, Times: 4})
		if err := r.pub.PublishBatch(soon(t), all); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Minute)
		if got := firsts(ids(b, "q")); len(got) != 100 {
			t.Errorf("%d arrived", len(got))
		}
	})
}

// Nobody forwards for a part of the delay: what is left of it makes it good.
func TestLaterMakesUpForAnOutage(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		declare(t, b, "q", nil)
		began := time.Now()
		if err := r.pub.PublishLater(soon(t), 2*time.Hour, "", "q", message(0)); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour + 55*time.Minute) // it came out after less, and nobody was there
		r.run(t)
		if late := came(t, b, "q").Sub(began) - 2*time.Hour; late < 0 || late > 1200*time.Millisecond {
			t.Errorf("late by %s", late)
		}
	})
}

// A delivery that PublishLater did not publish is malformed, and buried.
func TestForwardOfAForeignMessage(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		r.run(t)
		good := amqp.Table{
			"version": int64(1), "exchange": "", "key": "q", "at": int64(0), "rest": int64(0), "priority": int64(0),
			"expiration": "", "user-id": "", "headers": amqp.Table{},
		}
		bad := []amqp.Table{nil, {confirm.HeaderLater: "x"}}
		for field, v := range map[string]any{"version": int64(2), "exchange": 1, "key": nil, "at": "now", "rest": int64(-1), "priority": int64(256), "expiration": 1, "user-id": 1, "headers": "h"} {
			broken := amqp.Table{field: v}
			for k, v := range good {
				if k != field {
					broken[k] = v
				}
			}
			bad = append(bad, amqp.Table{confirm.HeaderLater: broken})
		}
		bad = append(bad, amqp.Table{confirm.HeaderLater: amqp.Table{"version": int64(1), "rest": int64(math.MaxInt64)}})
		for i, h := range bad {
			m := message(i)
			m.Headers = h
			var malformed interface{ Malformed() bool }
			if err := r.pub.Forward(soon(t), amqp.Delivery{Headers: h}); !errors.As(err, &malformed) || !malformed.Malformed() {
				t.Errorf("%v: %v", h, err)
			}
			if err := r.pub.Publish(soon(t), "", r.work.Queue, m); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		if n := len(ids(b, r.work.DeadLetterQueue)); n != len(bad) {
			t.Errorf("%d of %d buried", n, len(bad))
		}
		// What this release writes into messages is read by later ones.
		// Its time has come though this clock says that it has not: nothing is left.
		good["at"] = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		declare(t, b, "q", nil)
		if err := r.pub.Publish(soon(t), "", r.work.Queue, amqp.Publishing{MessageId: "v1", Headers: amqp.Table{confirm.HeaderLater: good}}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if got := ids(b, "q"); !slices.Equal(got, []string{"v1"}) {
			t.Errorf("forwarded: %v", got)
		}
	})
}

func TestExpiration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", -time.Second: "0", 1: "1", time.Millisecond: "1", time.Millisecond + 1: "2", 90 * time.Second: "90000", math.MaxInt64: "9223372036855",
	} {
		if got := confirm.Expiration(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
