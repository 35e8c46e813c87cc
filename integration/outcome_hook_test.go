package integration

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

var holdHook = flag.Duration("hook.hold", 0, "how long TestSlowOutcomeHook holds the hook at least; the bare client gives a slow reader up after 5s")

// Scenario 2 (H 1.3, H 13.2): while the hook is held at the first of many
// returns, each caller has its own, and another channel of the same connection
// is answered; afterwards the hook is told of every one, in order.
func TestSlowOutcomeHook(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		const n = 500
		ctx := deadline(t)
		l := open(t, link.Config{URLs: []string{b.URL}})
		began := time.Now()
		held, release := make(chan struct{}), make(chan struct{})
		var told []string
		p := publisher(t, l, confirm.Config{Window: 50, OnOutcome: func(o confirm.Outcome) {
			if len(told) == 0 {
				close(held)
				<-release
			}
			var returned *confirm.ReturnedError
			if !errors.As(o.Err, &returned) || o.Dropped != 0 {
				t.Errorf("told %+v", o)
			}
			told = append(told, o.MessageID)
		}})
		batch := make([]confirm.Message, n)
		for i := range batch {
			batch[i] = confirm.Message{Key: "missing", Publishing: amqp.Publishing{MessageId: fmt.Sprint(i)}}
		}
		var failed *confirm.BatchError
		if err := p.PublishBatch(ctx, batch); !errors.As(err, &failed) || len(failed.Unwrap()) != n {
			t.Fatal(err)
		}
		wait(t, held, "the hook")
		published := time.Since(began)
		s, err := l.Session(ctx, link.Publishing)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(ctx, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive("amq.topic", "topic", true, false, false, false, nil)
		}); err != nil {
			t.Error(err)
		}
		t.Logf("%d returns after %s; a passive declare beside the held hook took %s", n, published, time.Since(began)-published)
		if left := *holdHook - time.Since(began); left > 0 {
			<-time.After(left)
		}
		close(release)
		if err := p.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for i, id := range told {
			if id != fmt.Sprint(i) {
				t.Fatalf("told of %s in place %d", id, i)
			}
		}
		if len(told) != n {
			t.Errorf("told of %d, want %d", len(told), n)
		}
	})
}
