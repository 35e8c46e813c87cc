package confirm_test

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
	"github.com/hareline/hareline/confirm"
)

// batch makes n messages to a queue, with the ids of send.
func batch(n int, exchange, key string) []confirm.Message {
	all := make([]confirm.Message, n)
	for i := range all {
		all[i] = confirm.Message{Exchange: exchange, Key: key, Publishing: message(i)}
	}
	return all
}

// A batch larger than the window is confirmed as a whole, in its order, and
// with no more under way than the window has places.
func TestBatch(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 7})
		if err := p.PublishBatch(soon(t), batch(100, "", "q")); err != nil {
			t.Error(err)
		}
		arrivedInOrder(t, b, "q", 100)
		if n := len(ids(b, "q")); n != 100 {
			t.Errorf("%d stored", n)
		}
		inject(t, b, amqptest.Fault{Do: amqptest.HoldConfirm, Times: -1})
		began := time.Now()
		err := p.PublishBatch(after(t, time.Second), batch(100, "", "q"))
		failed := as[*confirm.BatchError](t, err)
		unknown, unsent := 0, 0
		for _, err := range failed.Outcomes {
			if stored, ok := err.(stores); ok && stored.PossiblyStored() {
				unknown++
			} else if ok {
				unsent++
			}
		}
		if n := len(ids(b, "q")) - 100; n != 7 || unknown != 7 || unsent != 93 || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%d written, %d unknown, %d unsent: %v", n, unknown, unsent, err)
		}
	})
}

func TestEmptyBatch(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		if err := publisher(t, b, confirm.Config{}).PublishBatch(soon(t), nil); err != nil {
			t.Error(err)
		}
	})
}

// Each message of a batch has its own outcome, whatever its neighbours have:
// confirmed, returned, nacked, refused. What a
// repetition may help is given back under its message-id, and then confirmed.
func TestPartOfABatchFails(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: "q", Nth: 4})
		all := batch(10, "", "q")
		all[1].Key = "missing"
		all[5].Headers = amqp.Table{"n": uint64(1)}
		all[8].MessageId = "" // the publisher makes one
		all[4].MessageId = "" // it is the one that is nacked
		want := []string{"", "*confirm.ReturnedError", "", "", "*confirm.NackedError", "*confirm.RefusedError", "", "", "", ""}

		err := p.PublishBatch(soon(t), all)
		failed := as[*confirm.BatchError](t, err)
		for i, err := range failed.Outcomes {
			if got := fmt.Sprintf("%T", err); got != want[i] && (err != nil || want[i] != "") {
				t.Errorf("message %d: %v, want %q", i, err, want[i])
			}
		}
		if text := err.Error(); !strings.Contains(text, "3 of 10 messages of the batch were not confirmed (1 returned, 1 nacked, 1 refused); the first is message 1: ") {
			t.Errorf("%s", text)
		}
		if e := as[*confirm.ReturnedError](t, err); e.Key != "missing" {
			t.Errorf("errors.As found %v", e)
		}
		if len(failed.Unwrap()) != 3 || !failed.PossiblyStored() {
			t.Errorf("%v", failed.Unwrap())
		}
		if all[4].MessageId != "" || all[8].MessageId != "" {
			t.Error("the caller's messages were written to")
		}
		again := failed.Repeat()
		nacked := as[*confirm.NackedError](t, err)
		if len(again) != 1 || again[0].MessageId != nacked.MessageID || nacked.MessageID == "" {
			t.Fatalf("to repeat: %v", again)
		}
		if err := p.PublishBatch(soon(t), again); err != nil {
			t.Error(err)
		}
		if got := firsts(ids(b, "q")); len(got) != 8 || !slices.Contains(got, nacked.MessageID) {
			t.Errorf("stored: %v", got)
		}
	})
}

// One message of a batch closes the channel: it alone is refused.
func TestBadNeighbourInABatch(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		all := batch(100, "", "q")
		all[50].Exchange = "nowhere"
		e := as[*confirm.BatchError](t, p.PublishBatch(soon(t), all))
		if refused := as[*confirm.RefusedError](t, e.Outcomes[50]); refused.Code != 404 || len(e.Unwrap()) != 1 {
			t.Error(e)
		}
		if got := firsts(ids(b, "q")); len(got) != 99 {
			t.Errorf("%d stored", len(got))
		}
	})
}

// Nothing of a batch is stored: then a repetition of the whole doubles nothing.
func TestNothingOfABatchIsStored(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := publisher(t, b, confirm.Config{})
		err := p.PublishBatch(soon(t), batch(3, "", "missing"))
		if e := as[*confirm.BatchError](t, err); e.PossiblyStored() || len(e.Repeat()) != 0 {
			t.Error(e)
		}
		err = p.PublishBatch(after(t, -1), batch(3, "", "missing"))
		if e := as[*confirm.BatchError](t, err); e.PossiblyStored() || len(e.Repeat()) != 3 {
			t.Error(e)
		}
	})
}

// A batch outlives lost links and alarms as single messages do, and Close waits for it.
func TestBatchOverLostLinks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Window: 20})
		inject(t, b, amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish", Nth: 15, Every: 40, Times: 3})
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 60, Delay: time.Minute})
		if err := p.PublishBatch(soon(t), batch(100, "", "q")); err != nil {
			t.Error(err)
		}
		arrivedInOrder(t, b, "q", 100)
	})
}

// After Close a batch is unsent as a whole.
func TestBatchAfterClose(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		if err := p.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		err := p.PublishBatch(soon(t), batch(3, "", "q"))
		if e := as[*confirm.BatchError](t, err); len(e.Unwrap()) != 3 || !errors.Is(err, confirm.ErrClosed) {
			t.Error(e)
		}
	})
}
