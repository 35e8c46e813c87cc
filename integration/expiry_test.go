package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// R 14: retries do not make a message immortal that has a life of its own: what
// would come back after its end is buried, as expired. Nor do they kill one that
// lives long enough, or one without an end.
func TestRetriesEndWithTheLifeOfTheMessage(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		w := work(t, l, "mortal", topology.WorkConfig{})
		handled := make(chan string, 10)
		attempts := newTally()
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: reliable(publisher(t, l, confirm.Config{}), w,
			retry.Policy{BackOff: retry.Constant(400 * time.Millisecond), MaxRetries: 12}, func(_ context.Context, d amqp.Delivery) error {
				if n := attempts.add(d.MessageId); d.MessageId == "short" || n < 3 {
					return retry.Transient(errors.New("not yet"))
				}
				if d.Expiration != "" {
					t.Errorf("message %s came back with the expiration %q", d.MessageId, d.Expiration)
				}
				told, err := story.Read(d.Headers)
				if err != nil || told.ExpiresAt.IsZero() != (d.MessageId == "endless") {
					t.Errorf("message %s: story %+v, %v", d.MessageId, told, err)
				}
				handled <- d.MessageId
				return nil
			})})
		for id, life := range map[string]string{"short": "1000", "long": "3600000", "endless": ""} {
			if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{MessageId: id, Expiration: life}); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := wait(t, handled, "a message"), wait(t, handled, "another"); a == b {
			t.Errorf("%s twice", a)
		}
		b.AwaitDepth(t, w.DeadLetterQueue, 1, patience)
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		for _, d := range take(t, l, w.DeadLetterQueue) {
			// At the start, 400 and 800 ms after it; a slow machine has time for less.
			if letter := dlq.Parse(d); letter.Reason != story.ReasonExpired || letter.Attempts > 3 || d.MessageId != "short" || d.Expiration != "" {
				t.Errorf("letter %s: %s after %d attempts, expiration %q", d.MessageId, letter.Reason, letter.Attempts, d.Expiration)
			}
		}
	})
}

// A budget that is spent: what it allows is tried again, the rest is buried at
// once and says why, and what succeeds is not touched by it.
func TestBudgetBuriesWhatItDoesNotAllow(t *testing.T) {
	const n, allowed = 60, 12 // a fifth
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		w := work(t, l, "storm", topology.WorkConfig{})
		calls := newTally()
		budget := &retry.Budget{Share: 0.2, MinPerSecond: -1, Window: time.Hour} // as long as any test
		good := make(chan struct{}, n)
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Handler: reliable(publisher(t, l, confirm.Config{}), w,
			retry.Policy{BackOff: retry.Constant(100 * time.Millisecond), MaxRetries: 1, Budget: budget}, func(_ context.Context, d amqp.Delivery) error {
				if d.Type == "good" {
					good <- struct{}{}
					return nil
				}
				calls.add("bad")
				return retry.Transient(errors.New("down"))
			})})
		send := func(kind string) {
			for range n / 2 {
				if err := p.Publish(deadline(t), "", w.Queue, amqp.Publishing{Type: kind}); err != nil {
					t.Fatal(err)
				}
			}
		}
		send("good")
		for range n / 2 {
			wait(t, good, "a message that is handled")
		}
		send("bad")
		b.AwaitDepth(t, w.DeadLetterQueue, n/2, patience)
		if err := r.stopped(t); err != nil {
			t.Error(err)
		}
		reasons := map[string]int{}
		for _, d := range take(t, l, w.DeadLetterQueue) {
			reasons[dlq.Parse(d).Reason]++
		}
		// The first to fail do so before all have earned their part.
		if got := reasons[story.ReasonExhausted]; got < n/2/5 || got > allowed || got+reasons[story.ReasonBudget] != n/2 || calls.of("bad") != n/2+got {
			t.Errorf("letters %v, %d calls", reasons, calls.of("bad"))
		}
	})
}
