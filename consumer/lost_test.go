package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// H 8.5: A is acked, B, C and D are in handlers, the link is cut, and B finishes
// only when the new session has given B's old tag to another message, whose
// handler runs. Then the consumer ends: B, C and D are still there.
func TestLateResultMeetsItsTagAgain(t *testing.T) {
	for kind, args := range map[string]amqp.Table{"quorum": quorum, "classic": classic} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "late", args)
				for _, id := range []string{"A", "B", "C", "D"} {
					publish(t, b, "late", amqp.Publishing{MessageId: id, DeliveryMode: amqp.Persistent})
				}
				started := make(chan amqp.Delivery, 100)
				releaseB := make(chan struct{})
				var cut atomic.Bool
				r := run(t, l, consumer.Config{
					Queue: "late", Prefetch: 5, DrainTimeout: time.Second,
					Workers: 5, // three stay with the old session, two are free for the new one
					Handler: func(ctx context.Context, d amqp.Delivery) error {
						late := d.MessageId == "B" && !cut.Load()
						started <- d
						switch {
						case d.MessageId == "A":
							return nil
						case late:
							<-releaseB
							return nil
						}
						<-ctx.Done()
						return ctx.Err()
					},
				})
				tags := map[string]uint64{}
				for range 4 {
					d := wait(t, started, "A, B, C and D start")
					tags[d.MessageId] = d.DeliveryTag
				}
				synctest.Wait()
				if n := unacked(b, "late"); n != 3 {
					t.Fatalf("%d unacked, want all but A", n)
				}
				cut.Store(true)
				b.CutConnections()
				var reused string
				for range 2 {
					if d := wait(t, started, "the new session delivers"); d.DeliveryTag == tags["B"] {
						reused = d.MessageId
					}
				}
				if reused == "" || reused == "B" {
					t.Fatalf("B's old tag %d is %q's on the new session: this tests nothing", tags["B"], reused)
				}
				close(releaseB)
				wait(t, started, "the third delivery") // by the worker that had B
				r.Stopped(t)
				var ready []string
				for _, m := range b.Messages("/", "late") {
					ready = append(ready, m.MessageID)
				}
				if slices.Sort(ready); !slices.Equal(ready, []string{"B", "C", "D"}) {
					t.Errorf("left in the queue: %v; want B, C and D", ready)
				}
			})
		})
	}
}

// The connection ends at an ack, before or after the broker took it: the one is
// handled again, the other is not. Nothing is left.
func TestConnectionLostAtAnAck(t *testing.T) {
	for do, again := range map[amqptest.Effect]int{amqptest.DropBefore: 2, amqptest.DropAfter: 1} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", quorum)
				fill(t, b, "q", 20)
				lost := inject(t, b, amqptest.Fault{Do: do, On: "basic.ack", Queue: "q", Nth: 5})
				var c calls
				r := run(t, l, consumer.Config{Queue: "q", Prefetch: 1, Handler: func(_ context.Context, d amqp.Delivery) error {
					c.add(d)
					return nil
				}})
				eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
				r.Stopped(t)
				for id, n := range c.all() {
					want := 1
					if id == "4" {
						want = again
					}
					if n != want {
						t.Errorf("message %s was handled %d times, want %d", id, n, want)
					}
				}
				if c.distinct() != 20 || lost.Hits() != 1 {
					t.Errorf("%d handled, %d hits", c.distinct(), lost.Hits())
				}
			})
		})
	}
}

// The queue is deleted under the consumer, at any moment, of which no close
// tells (H 8.3): it resubscribes once the queue is back.
func TestQueueDeletedUnderAConsumer(t *testing.T) {
	for _, on := range []string{amqptest.Now, "basic.deliver", "basic.ack"} {
		t.Run(on, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "deleted", quorum)
				handled := make(chan string, 10)
				r := run(t, l, consumer.Config{Queue: "deleted", Handler: func(_ context.Context, d amqp.Delivery) error {
					handled <- d.MessageId
					return nil
				}})
				r.Becomes(t, consumer.Consuming)
				inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, On: on, Queue: "deleted"})
				if on != amqptest.Now {
					publish(t, b, "deleted", amqp.Publishing{MessageId: "before"})
				}
				if h := r.Becomes(t, consumer.Disconnected); h.Err == nil {
					t.Error("no reason is told")
				}
				pass(time.Minute) // GiveUpAfter is longer
				declare(t, b, "deleted", quorum)
				publish(t, b, "deleted", amqp.Publishing{MessageId: "after"})
				for wait(t, handled, "a delivery of the new queue") != "after" { // the last one of the old queue, if it was handled
				}
				r.Stopped(t)
				left(t, b, "deleted")
			})
		})
	}
}

// The broker cancels the consumer and the queue stays, as when its leader moves:
// what was unacked comes back to the next subscription.
func TestConsumerCancelledByTheBroker(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "moved", quorum)
		fill(t, b, "moved", 10)
		var c calls
		hold := make(chan struct{})
		r := run(t, l, consumer.Config{Queue: "moved", Workers: 2, Handler: func(_ context.Context, d amqp.Delivery) error {
			if c.add(d) == 1 {
				<-hold
			}
			return nil
		}})
		r.Becomes(t, consumer.Consuming)
		synctest.Wait()
		inject(t, b, amqptest.Fault{Do: amqptest.CancelConsumers, Queue: "moved"})
		r.Becomes(t, consumer.Disconnected)
		r.Becomes(t, consumer.Consuming)
		close(hold)
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "moved"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		if c.distinct() != 10 || c.all()["0"] != 2 {
			t.Errorf("handled: %v", c.all())
		}
		if n := len(b.Trace(amqptest.OfKind(amqptest.EventConsumerAdded))); n != 2 {
			t.Errorf("%d subscriptions, want 2", n)
		}
	})
}

// A channel or connection that the broker closes with a code, whatever it is, is
// replaced; nothing is lost, and what was acked before stays acked.
func TestClosedWithACode(t *testing.T) {
	type closing struct {
		do   amqptest.Effect
		code uint16
	}
	for _, how := range []closing{
		{amqptest.CloseChannel, 406}, {amqptest.CloseChannel, 404}, {amqptest.CloseChannel, 541},
		{amqptest.CloseConnection, 320}, {amqptest.CloseConnection, 541}, {amqptest.CloseConnection, 501},
	} {
		for _, on := range []string{amqptest.Now, "basic.ack"} {
			t.Run(fmt.Sprintf("%s %d at %s", how.do, how.code, on), func(t *testing.T) {
				on40(t, func(t *testing.T, b *amqptest.Broker) {
					l := open(t, b, link.Config{})
					declare(t, b, "q", quorum)
					fill(t, b, "q", 10)
					var c calls
					half, hold := make(chan struct{}), make(chan struct{})
					r := run(t, l, consumer.Config{Queue: "q", Handler: func(_ context.Context, d amqp.Delivery) error {
						if c.add(d) == 1 && d.MessageId == "5" {
							close(half)
							<-hold
						}
						return nil
					}})
					<-half
					synctest.Wait()
					inject(t, b, amqptest.Fault{Do: how.do, On: on, Queue: "q", Code: how.code})
					close(hold)
					var lost *link.ClosedError
					var said *amqp.Error
					h := r.Becomes(t, consumer.Disconnected)
					if !errors.As(h.Err, &lost) || !errors.As(h.Err, &said) || said.Code != int(how.code) {
						t.Errorf("told: %v", h.Err)
					}
					eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
					r.Stopped(t)
					for id, n := range c.all() {
						if id < "5" && n != 1 {
							t.Errorf("message %s was handled %d times, though acked before", id, n)
						}
					}
					if c.distinct() != 10 {
						t.Errorf("handled: %v", c.all())
					}
				})
			})
		}
	}
}

// The broker is away for longer than GiveUpAfter: that is no refusal. The
// consumer waits, and goes on.
func TestConnectionsRefusedForAWhile(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 3)
		handled := make(chan string, 10)
		r := run(t, l, consumer.Config{Queue: "q", GiveUpAfter: time.Minute, Handler: func(_ context.Context, d amqp.Delivery) error {
			handled <- d.MessageId
			return nil
		}})
		for range 3 {
			wait(t, handled, "the first three")
		}
		synctest.Wait()
		away := inject(t, b, amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
		b.CutConnections()
		r.Becomes(t, consumer.Disconnected)
		pass(10 * time.Minute)
		if n := away.Hits(); n < 20 || n > 400 {
			t.Errorf("%d attempts to connect in 10 minutes", n)
		}
		away.Remove()
		logins := inject(t, b, amqptest.Fault{Do: amqptest.RefuseLogin, Times: 2}) // F 3
		eventually(t, "it is connected again", func() bool { return len(b.Consumers("/")) == 1 })
		fill(t, b, "q", 3)
		for range 3 {
			wait(t, handled, "the next three")
		}
		if logins.Hits() != 2 {
			t.Errorf("%d logins refused", logins.Hits())
		}
		r.Stopped(t)
		left(t, b, "q")
	})
}

// The node restarts with handlers at work: their results are void, and their
// messages are handled again.
func TestRestartOfTheBroker(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 50)
		var c calls
		r := run(t, l, consumer.Config{Queue: "q", Workers: 4, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			<-time.After(time.Second)
			return nil
		}})
		for range 3 {
			pass(3500 * time.Millisecond)
			b.Restart()
		}
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
		twice := 0
		for _, n := range c.all() {
			twice += n - 1
		}
		if c.distinct() != 50 || twice > 12 {
			t.Errorf("%d handled, %d of them again; 3 restarts under 4 handlers each", c.distinct(), twice)
		}
	})
}

// A queue that stays away ends Run with an error that names it; a queue that
// was never there, at once.
func TestMissingQueueIsTold(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		nothing := func(context.Context, amqp.Delivery) error { return nil }
		began := time.Now()
		err := run(t, l, consumer.Config{Queue: "never", Handler: nothing}).Wait(t)
		var refused *consumer.SubscribeError
		var reason *amqp.Error
		if !errors.As(err, &refused) || !errors.As(err, &reason) || reason.Code != amqp.NotFound || !strings.Contains(err.Error(), "never") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("told after %v", took)
		}
		declare(t, b, "gone", quorum)
		r := run(t, l, consumer.Config{Queue: "gone", Handler: nothing, GiveUpAfter: time.Minute})
		r.Becomes(t, consumer.Consuming)
		began = time.Now()
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "gone"})
		if err := r.Wait(t); !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("told after %v, GiveUpAfter is a minute", took)
		}
	})
}

// Another consumer has a classic queue for itself: refused at once, by name.
func TestExclusiveConsumerElsewhere(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "mine", classic)
		nothing := func(context.Context, amqp.Delivery) error { return nil }
		first := run(t, l, consumer.Config{Queue: "mine", Handler: nothing, Exclusive: true})
		first.Becomes(t, consumer.Consuming)
		var refused *consumer.SubscribeError
		if err := run(t, l, consumer.Config{Queue: "mine", Handler: nothing}).Wait(t); !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
		first.Stopped(t)
	})
}

// The link is closed under Run.
func TestLinkClosedUnderAConsumer(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		r := run(t, l, consumer.Config{Queue: "q", Handler: func(context.Context, amqp.Delivery) error { return nil }})
		r.Becomes(t, consumer.Consuming)
		if err := l.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if err := r.Wait(t); !errors.Is(err, link.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}
