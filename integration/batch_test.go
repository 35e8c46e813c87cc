package integration

import (
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Every message of a batch has the outcome that the broker gave it: those to a
// queue that is there are in it, those to none are returned, those over the
// bound of a full one are nacked, one that cannot be written is refused. What is
// to be repeated arrives when there is room (H 1.1, H 3.1).
func TestBatchOutcomes(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := deadline(t)
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{Window: 100})
		declareQueue(t, l, "wide", quorum)
		declareQueue(t, l, "full", amqp.Table{"x-max-length": int32(10), "x-overflow": "reject-publish"})
		var batch []confirm.Message
		for i := range 400 {
			m := confirm.Message{Key: "wide", Publishing: amqp.Publishing{MessageId: fmt.Sprint(i)}}
			switch {
			case i == 250:
				m.Expiration = "soon"
			case i%5 == 0:
				m.Key = "missing"
			case i%20 == 7:
				m.Key = "full"
			}
			batch = append(batch, m)
		}
		var failed *confirm.BatchError
		if err := p.PublishBatch(ctx, batch); !errors.As(err, &failed) {
			t.Fatalf("%v", err)
		}
		confirmed := map[string]int{}
		for i, err := range failed.Outcomes {
			var returned *confirm.ReturnedError
			var refused *confirm.RefusedError
			var nacked *confirm.NackedError
			switch key := batch[i].Key; {
			case i == 250 && errors.As(err, &refused):
			case key == "missing" && errors.As(err, &returned) && returned.MessageID == fmt.Sprint(i):
			case key == "full" && errors.As(err, &nacked) && nacked.MessageID == fmt.Sprint(i):
			case key != "missing" && i != 250 && err == nil:
				confirmed[key]++
			default:
				t.Errorf("message %d to %s: %v", i, key, err)
			}
		}
		if wide, full := len(take(t, l, "wide")), len(take(t, l, "full")); wide != confirmed["wide"] || full != confirmed["full"] || full == 20 || full < 10 {
			t.Errorf("%d and %d stored; confirmed %v", wide, full, confirmed)
		}
		again := failed.Repeat()
		if len(again)+confirmed["full"] != 20 {
			t.Errorf("%d to be repeated, %d confirmed", len(again), confirmed["full"])
		}
		for len(again) > 0 { // the queue takes 10 at a time
			err := p.PublishBatch(ctx, again)
			for _, d := range take(t, l, "full") {
				confirmed[d.MessageId]++
			}
			if again = nil; errors.As(err, &failed) {
				again = failed.Repeat()
			} else if err != nil {
				t.Fatal(err)
			}
		}
		for i, m := range batch {
			if m.Key == "full" && confirmed[m.MessageId] > 1 {
				t.Errorf("message %d arrived twice", i)
			}
		}
	})
}

// A batch over a link that is cut: all confirmed in the end, all there, in the
// order of their first arrivals (H 2.2, R 32).
func TestBatchOverCutLinks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		seen := newTally()
		l := open(t, link.Config{URLs: []string{proxy.URL()}, ReconnectMin: 10 * time.Millisecond})
		p := publisher(t, l, confirm.Config{Window: 100, OnOutcome: func(confirm.Outcome) { seen.add("outcome") }})
		direct := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, direct, "batches", quorum)
		const n = 900
		batch := make([]confirm.Message, n)
		for i := range batch {
			batch[i] = confirm.Message{Key: "batches", Publishing: amqp.Publishing{MessageId: fmt.Sprintf("%05d", i)}}
		}
		result := make(chan error, 1)
		go func() { result <- p.PublishBatch(deadline(t), batch) }()
		for cut := 1; cut <= 3; cut++ {
			seen.until(t, "more outcomes", func() bool { return seen.of("outcome") >= cut*n/5 })
			proxy.Cut()
		}
		if err := wait(t, result, "the batch"); err != nil {
			t.Fatal(err)
		}
		last, firsts := "", map[string]bool{}
		for _, d := range take(t, direct, "batches") {
			if firsts[d.MessageId] {
				continue
			}
			firsts[d.MessageId] = true
			if d.MessageId < last {
				t.Errorf("%s arrived for the first time after %s", d.MessageId, last)
			}
			last = d.MessageId
		}
		if len(firsts) != n {
			t.Errorf("%d arrived", len(firsts))
		}
	})
}
