package amqptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// TestTraceOfAWorkQueue plays a message's life, step by step, and compares
// what the broker tells of it with a golden file.
func TestTraceOfAWorkQueue(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) {
			b := Config{Version: v}.New(t)
			c := dialNamed(t, b, "worker")
			ch := opened(t, c)
			workQueue(t, ch)
			publishMandatory(t, ch, "orders", "order-1")
			publishMandatory(t, ch, "nowhere", "order-2")
			d := fetch(t, ch, "orders")
			_ = d.Nack(false, true)
			await(t, b, OfKind(EventRequeued))
			d = fetch(t, ch, "orders")
			_ = d.Reject(false)
			await(t, b, OfKind(EventDeadLettered))
			b.Advance(time.Minute)
			if _, _, err := ch.Get("orders", true); err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueuePurge("orders", false); err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueueDelete("orders", false, false, false); err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueueDeclarePassive("gone", false, false, false, false, nil); err == nil {
				t.Error("no error")
			}
			_ = c.Close()
			await(t, b, OfKind(EventConnectionClosed))
			if err := b.CompareTrace(filepath.Join("testdata", "trace", "work-queue-"+string(v)+".golden"), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func workQueue(t *testing.T, ch *amqp.Channel) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeDeclare("shop", "topic", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	args := amqp.Table{"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "failed"}
	if _, err := ch.QueueDeclare("orders", true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("failed", true, false, false, false, amqp.Table{"x-message-ttl": 60000}); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("orders", "orders", "shop", false, nil); err != nil {
		t.Fatal(err)
	}
}

// publishMandatory publishes to the exchange shop and waits for the confirm.
func publishMandatory(t *testing.T, ch *amqp.Channel, key, id string) {
	t.Helper()
	d, err := ch.PublishWithDeferredConfirm("shop", key, true, false, amqp.Publishing{MessageId: id})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WaitContext(inTime(t)); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, ch *amqp.Channel, queue string) amqp.Delivery {
	t.Helper()
	d, ok, err := ch.Get(queue, false)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return d
}

// TestTraceOfFaults compares the trace of a consumer in trouble with a golden file.
func TestTraceOfFaults(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "consumer")
	ch := opened(t, c)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume(q.Name, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	nack := inject(t, b, Fault{Name: "disk full", Do: Nack})
	for range 2 {
		d, err := ch.PublishWithDeferredConfirm("", q.Name, false, false, amqp.Publishing{MessageId: "018f3c1e-0000-7000-8000-0123456789ab"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = d.WaitContext(inTime(t))
	}
	d := <-deliveries
	inject(t, b, Fault{Do: DropAfter, On: "basic.ack"})
	_ = d.Ack(false)
	await(t, b, OfKind(EventQueueDeleted))
	if nack.Hits() != 1 {
		t.Error("not nacked")
	}
	if err := b.CompareTrace(filepath.Join("testdata", "trace", "faults.golden"), nil); err != nil {
		t.Error(err)
	}
}

func TestTraceForgetsTheOldest(t *testing.T) {
	b := Config{Trace: 3}.New(t)
	for i := range 5 {
		b.Advance(time.Duration(i+1) * time.Second)
	}
	var got []string
	for _, e := range b.Trace(nil) {
		got = append(got, fmt.Sprintf("%d %s", e.Seq, e.Text))
	}
	if fmt.Sprint(got) != "[3 3s 4 4s 5 5s]" {
		t.Errorf("kept: %v", got)
	}
	if text := b.TraceText(nil); !strings.HasPrefix(text, "(2 earlier events are gone)\n+3s ") {
		t.Error(text)
	}
}

func TestTraceOff(t *testing.T) {
	b := Config{Trace: -1}.New(t)
	b.Advance(time.Second)
	if got := b.Trace(nil); len(got) != 0 {
		t.Errorf("kept: %v", got)
	}
	if _, err := b.WaitEvent(t.Context(), OfKind(EventAdvanced)); err == nil {
		t.Error("waiting for what is never kept")
	}
}

func TestWaitEvent(t *testing.T) {
	b := New(t)
	b.Advance(time.Second)
	if e, err := b.WaitEvent(t.Context(), OfKind(EventAdvanced)); err != nil || e.Text != "1s" {
		t.Error(e, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	wait := func(ctx context.Context) {
		_, err := b.WaitEvent(ctx, OfKind(EventQueueDeclared))
		done <- err
	}
	enough := errors.New("enough")
	go wait(ctx)
	b.Advance(time.Second)
	cancel(enough)
	if err := <-done; !errors.Is(err, enough) {
		t.Error(err)
	}
	go wait(t.Context())
	_ = b.Close()
	if err := <-done; !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

func TestEventString(t *testing.T) {
	for want, e := range map[string]Event{
		"time advanced text=1m0s": {Kind: EventAdvanced, VHost: "/", Text: "1m0s"},
		`3/1 published exchange="(AMQP default)" key=q tag=2 id=m queues=q,"a b"`: {
			Kind: EventPublished, Connection: 3, Channel: 1, VHost: "/", Key: "q", Tag: 2, MessageID: "m", Queues: []string{"q", "a b"},
		},
		`3 queue declared vhost=v type=quorum`:                                 {Kind: EventQueueDeclared, Connection: 3, VHost: "v", Type: "quorum"},
		`1/1 delivered queue="a\nb" consumer=c tag=1 redelivered text="=\xff"`: {Kind: EventDelivered, Connection: 1, Channel: 1, VHost: "/", Queue: "a\nb", Consumer: "c", Tag: 1, Redelivered: true, Text: "=\xff"},
	} {
		if got := e.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestEventStringIsOneLine: whatever clients put into names, an event is one
// line of printable text.
func TestEventStringIsOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		e := Event{Kind: EventPublished, Queue: name, Key: name, Exchange: name, Queues: []string{name}, MessageID: name, Text: name}
		line := e.String()
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q", line)
		}
	})
}

func TestTraceTextReplacesMadeUpNames(t *testing.T) {
	n := normalizer{}
	for _, test := range [][2]string{
		{"queue=amq.gen-AAAAAAAAAAAAAAAAAAAAA1 id=018f3c1e-0000-7000-8000-0123456789ab", "queue=amq.gen-1 id=uuid-1"},
		{"queue=amq.gen-AAAAAAAAAAAAAAAAAAAAA2", "queue=amq.gen-2"},
		{"text='amq.gen-AAAAAAAAAAAAAAAAAAAAA1'", "text='amq.gen-1'"},
		{"queue=amq.gen-short", "queue=amq.gen-short"},
	} {
		if got := n.line(test[0]); got != test[1] {
			t.Errorf("%s: %s, want %s", test[0], got, test[1])
		}
	}
	if got := n.consumer("ctag-/tmp/a b/x.test-7") + n.consumer("amq.ctag-AAAAAAAAAAAAAAAAAAAAA1") + n.consumer("mine"); got != "ctag-1ctag-2mine" {
		t.Error(got)
	}
}

func TestCompareTrace(t *testing.T) {
	b := New(t)
	b.Advance(time.Second)
	b.Advance(time.Minute)
	file := filepath.Join(t.TempDir(), "new", "trace.golden")
	if err := b.CompareTrace(file, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), UpdateGolden) {
		t.Error(err)
	}
	t.Setenv(UpdateGolden, "1")
	if err := b.CompareTrace(file, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv(UpdateGolden, "")
	if err := b.CompareTrace(file, nil); err != nil {
		t.Error(err)
	}
	b.Advance(time.Hour)
	err := b.CompareTrace(file, nil)
	if err == nil || !strings.Contains(err.Error(), "line 3") || !strings.Contains(err.Error(), "\n+ +1m1s time advanced text=1h0m0s") {
		t.Error(err)
	}
}
