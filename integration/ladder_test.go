package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// park parks a message for a delay; its body tells the delay.
func park(t *testing.T, p *confirm.Publisher, w topology.Work, id string, delay time.Duration) time.Duration {
	t.Helper()
	exchange, key, actual := w.Park(delay)
	if err := p.Publish(deadline(t), exchange, key, amqp.Publishing{MessageId: id}); err != nil {
		t.Fatal(err)
	}
	return actual
}

// arrivals consumes a queue with the bare client until the test ends.
func arrivals(t *testing.T, l *link.Link, queue string) <-chan amqp.Delivery {
	t.Helper()
	s, err := l.Session(deadline(t), link.Consuming)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	var in <-chan amqp.Delivery
	err = s.Do(deadline(t), func(ch *amqp.Channel) (err error) {
		in, err = ch.Consume(queue, "", true, false, false, false, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// Short delays overtake long ones; none is early; names that are patterns meet
// nobody else's messages.
func TestLadderMixedDelays(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		names := []string{"a", "a.b", "b", "*", "#", "a%2Eb", "~a", "über." + strings.Repeat("lang", 50)}
		works := make([]topology.Work, len(names))
		inbox := make([]<-chan amqp.Delivery, len(names))
		for i, name := range names {
			// the longest name leaves no room for ".dlq" in a topic key's 255 bytes
			works[i] = work(t, l, name, topology.WorkConfig{DeadLetterQueue: fmt.Sprintf("dead.%d", i)})
			inbox[i] = arrivals(t, l, name)
		}
		delays := []time.Duration{2500 * time.Millisecond, 1500 * time.Millisecond, 100 * time.Millisecond, 800 * time.Millisecond}
		due := make(map[string]span)
		for _, w := range works {
			for _, d := range delays {
				id, start := w.Queue+" after "+d.String(), time.Now()
				actual := park(t, p, w, id, d)
				due[id] = span{start.Add(actual), time.Now().Add(actual)}
			}
		}
		for i, name := range names {
			before := span{}
			for range delays {
				d := wait(t, inbox[i], "a parked message of "+name)
				now, ok := due[d.MessageId]
				switch {
				case !ok || !strings.HasPrefix(d.MessageId, name+" after "):
					t.Errorf("queue %q got %q", name, d.MessageId)
				case time.Now().Before(now.earliest):
					t.Errorf("%s came early", d.MessageId)
				case now.latest.Add(300 * time.Millisecond).Before(before.earliest):
					t.Errorf("%s came behind one with a longer delay", d.MessageId)
				}
				before = now
				delete(due, d.MessageId)
			}
		}
		if len(due) > 0 {
			t.Errorf("not arrived: %v", due)
		}
		for i, name := range names {
			if n := len(inbox[i]); n > 0 {
				t.Errorf("queue %q got %d more", name, n)
			}
		}
	})
}

// span is when a parked message is due: parked some time during its publish.
type span struct{ earliest, latest time.Time }

// A lasting stream of newer messages does not hold up older ones, as long as all
// enter with priority 0 (R 4).
func TestLadderUnderALastingStream(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		w := work(t, l, "orders", topology.WorkConfig{})
		in := arrivals(t, l, "orders")
		exchange, key, _ := w.Park(800 * time.Millisecond)
		send := func(id string) { p.Send(deadline(t), exchange, key, amqp.Publishing{MessageId: id}) }
		for i := range 300 {
			send(fmt.Sprintf("old %d", i))
		}
		ctx, stop := context.WithCancel(deadline(t))
		var stream sync.WaitGroup
		stream.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				send("new")
				<-tick.C
			}
		})
		defer stream.Wait()
		defer stop()
		for i := range 300 { // while the stream goes on
			if d := wait(t, in, "an old message"); d.MessageId != fmt.Sprintf("old %d", i) {
				t.Fatalf("%q came as number %d", d.MessageId, i)
			}
		}
	})
}

// Ladders of one scope with another number of levels share no name: one message in,
// one out (R 5).
func TestLaddersOfOtherLevelsDoNotMeet(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
		three := work(t, l, "orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "team", Levels: 3}})
		four := work(t, l, "orders", topology.WorkConfig{Ladder: topology.Ladder{Scope: "team", Levels: 4}})
		in := arrivals(t, l, "orders")
		park(t, p, three, "three", 700*time.Millisecond)
		park(t, p, four, "four", 700*time.Millisecond)
		park(t, p, four, "last", 1500*time.Millisecond)
		got := []string{}
		for range 3 {
			got = append(got, wait(t, in, "a parked message").MessageId)
		}
		slices.Sort(got[:2])
		if want := []string{"four", "three", "last"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A target that is gone blocks nobody: its messages lie in the unclaimed queue, and
// tell where they belong.
func TestUnclaimedMessages(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{Window: 500})
		gone, here := work(t, l, "gone.queue", topology.WorkConfig{}), work(t, l, "here", topology.WorkConfig{})
		do(t, l, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("gone.queue", false, false, false); return err })
		var receipts []*confirm.Receipt
		exchange, key, _ := gone.Park(300 * time.Millisecond)
		for range 100 { // more than the 32 a dead-letter worker holds
			receipts = append(receipts, p.Send(deadline(t), exchange, key, amqp.Publishing{}))
		}
		for _, r := range receipts {
			if err := r.Wait(deadline(t)); err != nil {
				t.Fatal(err)
			}
		}
		in := arrivals(t, l, "here")
		park(t, p, here, "neighbour", 300*time.Millisecond)
		wait(t, in, "the neighbour")
		unclaimed := gone.Ladder.Unclaimed()
		b.AwaitDepth(t, unclaimed, 100, patience)
		for _, d := range take(t, l, unclaimed) {
			if target, ok := topology.TargetOf(d.RoutingKey); !ok || target != "gone.queue" {
				t.Fatalf("key %q tells %q", d.RoutingKey, target)
			}
		}
	})
}
