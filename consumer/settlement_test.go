package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/link"
)

// settlements writes down what became of each delivery.
type settlements struct {
	mu  sync.Mutex
	all []string
}

func (s *settlements) add(d amqp.Delivery, r settlement.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprintf("%s: %q %v", d.MessageId, r.Method, r.Err))
}

func (s *settlements) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.all))
}

// middleware asks for the settlement of each delivery, once its handler has returned.
func (s *settlements) middleware(t *testing.T) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			err := next(ctx, d)
			teller, ok := settlement.From(ctx)
			if !ok || teller.Queue() != "q" {
				t.Error("no teller in the handler's ctx")
				return err
			}
			if !teller.OnSettled(d.DeliveryTag, func(r settlement.Result) { s.add(d, r) }) {
				s.add(d, settlement.Result{Method: "too late"})
			}
			return err
		}
	}
}

type hopeless struct{}

func (hopeless) Error() string { return "no time mends it" }
func (hopeless) Reject() bool  { return true }

// Every delivery's settlement is told once, by the method that was written: also of a
// multiple ack, whose tags are many.
func TestSettlements(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 6)
		var told settlements
		var c calls
		copied := &forwarded{done: make(chan struct{})}
		r := run(t, l, consumer.Config{Queue: "q", Workers: 6, Handler: consumer.Chain(func(_ context.Context, d amqp.Delivery) error {
			first := c.add(d) == 1
			switch d.MessageId {
			case "1":
				if first {
					return errors.New("give it back")
				}
			case "2":
				return hopeless{}
			case "3":
				return copied
			}
			return nil
		}, told.middleware(t))})
		eventually(t, "all but one are settled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready == 0 && q.Unacked == 1 })
		want := []string{`0: "ack" <nil>`, `1: "ack" <nil>`, `1: "nack" <nil>`, `2: "reject" <nil>`, `4: "ack" <nil>`, `5: "ack" <nil>`}
		if got := told.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		close(copied.done)
		eventually(t, "the last is settled", func() bool { q, _ := b.Queue("/", "q"); return q.Unacked == 0 })
		r.Stopped(t)
		want = slices.Insert(want, 4, `3: "ack" <nil>`)
		if got := told.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// What a lost session leaves unsettled is told as such: the broker delivers it again.
func TestSettlementOfALostSession(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 1)
		var told settlements
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Handler: consumer.Chain(func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) == 1 {
				return &forwarded{done: make(chan struct{})}
			}
			return nil
		}, told.middleware(t))})
		eventually(t, "the copy is waited for", func() bool { return c.distinct() == 1 })
		synctest.Wait()
		b.CloseConnections("operator")
		eventually(t, "it is settled at last", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		if got, want := told.told(), []string{`0: "" <nil>`, `0: "ack" <nil>`}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// Acks of one write are told as such: numbered, and with something they share.
func TestSettlementsOfOneWrite(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		const n = 5
		fill(t, b, "q", n)
		told := make(chan struct{})
		var others sync.WaitGroup
		others.Add(n - 1)
		var got []string // written by the goroutine that settles
		var shared []*any
		r := run(t, l, consumer.Config{Queue: "q", Workers: n, Handler: func(ctx context.Context, d amqp.Delivery) error {
			teller, _ := settlement.From(ctx)
			teller.OnSettled(d.DeliveryTag, func(r settlement.Result) {
				got = append(got, fmt.Sprintf("%d of %d", r.Index, r.Of))
				shared = append(shared, r.Shared)
				if d.MessageId == "0" { // meanwhile the others are handled
					close(told)
					<-time.After(time.Second)
				}
			})
			if d.MessageId == "0" {
				others.Wait() // all are with a worker
			} else {
				others.Done()
				<-told
			}
			return nil
		}})
		eventually(t, "all are settled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		if want := []string{"0 of 1", "0 of 4", "1 of 4", "2 of 4", "3 of 4"}; !slices.Equal(got, want) {
			t.Fatalf("told %q, want %q", got, want)
		}
		if shared[0] != nil || shared[1] == nil || shared[1] != shared[4] {
			t.Errorf("shared: %v", shared)
		}
	})
}
