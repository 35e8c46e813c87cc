package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var (
	kinds   = []topology.QueueType{topology.Quorum, topology.Classic}
	deep    = topology.Ladder{Levels: 24}
	minutes = topology.Ladder{Levels: 12} // reach 6 minutes
)

// Five attempts, each after its delay to the millisecond, then the dead-letter
// queue with the whole story.
func TestFiveAttemptsThenBurial(t *testing.T) {
	delays := []time.Duration{time.Second, 7 * time.Second, 90 * time.Second, 5 * time.Minute}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{Type: kind, Ladder: minutes})
				var a attempts
				began := time.Now()
				publish(t, b, r.w.Queue, amqp.Publishing{MessageId: "m", Body: []byte("body"), Headers: amqp.Table{"mine": "kept"}})
				run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Schedule(delays...)}, func(_ context.Context, d amqp.Delivery) error {
					a.add(t, d)
					return errNot
				})
				r.settled(t)
				want, at := []time.Duration{0}, time.Duration(0)
				for _, d := range delays {
					at += r.park(d)
					want = append(want, at)
				}
				if got := a.moments("m", began); !slices.Equal(got, want) {
					t.Errorf("attempts after %v, want %v", got, want)
				}
				if got := a.counts("m"); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
					t.Errorf("they count %v", got)
				}
				letters := r.letters()
				if len(letters) != 1 {
					t.Fatalf("%d letters", len(letters))
				}
				l := letters[0]
				if l.Queue != r.w.Queue || l.Reason != story.ReasonExhausted || l.Attempts != 5 || l.LastError != "not yet" || len(l.Problems) > 0 ||
					!l.DeadAt.Equal(began.Add(at)) || !l.Story.FirstFailedAt.Equal(began) || l.Story.RetryMax != 4 {
					t.Errorf("letter %+v", l)
				}
				if d := l.Delivery; d.MessageId != "m" || string(d.Body) != "body" || d.Headers["mine"] != "kept" || d.DeliveryMode != amqp.Persistent || d.Headers["x-death"] != nil {
					t.Errorf("message %+v", d)
				}
				undisturbed(t, run)
			})
		})
	}
}

// H 5.1: a short delay is not held up by a longer one that was parked before
// it; each comes back at its own moment.
func TestMixedDelays(t *testing.T) {
	delays := []time.Duration{
		time.Hour, 10 * time.Minute, 90 * time.Second, 89 * time.Second,
		3 * time.Second, 1500 * time.Millisecond, 1400 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond, time.Millisecond, 0,
	}
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{Ladder: deep})
		var a attempts
		run := r.start(t, consumer.Config{}, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
			if a.add(t, d) > 0 {
				return nil
			}
			delay, err := time.ParseDuration(d.MessageId)
			if err != nil {
				return err
			}
			return retry.After(errors.New("later"), delay)
		})
		began := time.Now()
		for _, d := range delays {
			publish(t, b, r.w.Queue, named(d.String())...)
		}
		r.settled(t)
		for _, d := range delays {
			got := a.moments(d.String(), began)
			if want := []time.Duration{0, r.park(d)}; !slices.Equal(got, want) {
				t.Errorf("delay %v: attempts after %v, want %v", d, got, want)
			}
		}
		undisturbed(t, run)
	})
}

// R 4: messages with a high priority keep coming to the ladder; those without
// get out at their moment all the same, on 4.0 too.
func TestPrioritiesDoNotBlockTheLadder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		r.start(t, consumer.Config{Workers: 4}, retry.Policy{BackOff: retry.Constant(800 * time.Millisecond)}, func(_ context.Context, d amqp.Delivery) error {
			if a.add(t, d) == 0 {
				return errNot
			}
			if want := uint8(9 * len(d.AppId)); d.Priority != want {
				t.Errorf("message %s came back with priority %d, want %d", d.MessageId, d.Priority, want)
			}
			return nil
		})
		began := time.Now()
		publish(t, b, r.w.Queue, named(numbers(60)...)...)
		operate(t, b, func(ch *amqp.Channel) error {
			for i := range 60 {
				msg := amqp.Publishing{MessageId: fmt.Sprint("stream", i), Priority: 9, AppId: "1", DeliveryMode: amqp.Persistent}
				if err := ch.Publish("", r.w.Queue, true, false, msg); err != nil {
					return err
				}
				pass(20 * time.Millisecond)
			}
			return nil
		})
		r.settled(t)
		for _, id := range numbers(60) {
			if got := a.moments(id, began); len(got) != 2 || got[1] != 800*time.Millisecond {
				t.Errorf("message %s: attempts after %v", id, got)
			}
		}
	})
}

// The broker restarts while copies wait on the ladder: they come back, and not
// before their time.
func TestRestartWithCopiesOnTheLadder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{Ladder: minutes})
		var a attempts
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(5 * time.Minute)}, func(_ context.Context, d amqp.Delivery) error {
			if a.add(t, d) == 0 {
				return errNot
			}
			return nil
		})
		began := time.Now()
		publish(t, b, r.w.Queue, named(numbers(10)...)...)
		for range 3 {
			pass(time.Minute)
			b.Restart()
		}
		r.settled(t)
		a.same(t, 10, 0, 1)
		for _, id := range numbers(10) {
			if got := a.moments(id, began); got[1] < 5*time.Minute {
				t.Errorf("message %s: attempts after %v", id, got)
			}
		}
		if got := r.ids(r.w.DeadLetterQueue); len(got) > 0 {
			t.Errorf("letters: %v", got)
		}
	})
}

// Two of the ladder's exchanges are deleted: copies that wait above the one are
// held by the broker until it is there again; a copy that is to enter at the
// other is refused, and the consumer pauses until it can. Nothing is lost.
func TestLadderExchangeDeleted(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		run := r.start(t, consumer.Config{}, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error {
			if a.add(t, d) == 0 {
				return retry.After(errors.New("later"), 800*time.Millisecond)
			}
			return nil
		})
		for i := range 2 { // and again: what is known of the exchange must not outlive it
			waiting, late := fmt.Sprint("waiting", i), fmt.Sprint("late", i)
			publish(t, b, r.w.Queue, named(waiting)...)
			pass(100 * time.Millisecond) // on level 3
			operate(t, b, func(ch *amqp.Channel) error {
				return errors.Join(ch.ExchangeDelete(r.top(400*time.Millisecond), false, false), ch.ExchangeDelete(r.top(800*time.Millisecond), false, false))
			})
			publish(t, b, r.w.Queue, named(late)...)
			run.Becomes(t, consumer.Paused)
			pass(10 * time.Minute)
			if got := r.underWay(); got != 2 {
				t.Errorf("%d messages are under way, want 2", got)
			}
			r.declare(t)
			run.Becomes(t, consumer.Consuming)
			r.settled(t)
			for _, id := range []string{waiting, late} {
				if got := a.counts(id); !slices.Equal(got, []int{0, 1}) {
					t.Errorf("message %s: attempts with counts %v", id, got)
				}
			}
		}
		if got := r.ids(r.w.Ladder.Unclaimed()); len(got) > 0 {
			t.Errorf("unclaimed: %v", got)
		}
	})
}

// The work queue is gone when the delay is over: the copy lies in the ladder's
// unclaimed queue.
func TestQueueGoneWhenTheDelayIsOver(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{Ladder: minutes})
		run := r.start(t, consumer.Config{GiveUpAfter: time.Second}, retry.Policy{BackOff: retry.Constant(5 * time.Minute)},
			func(context.Context, amqp.Delivery) error { return errNot })
		publish(t, b, r.w.Queue, named(numbers(3)...)...)
		pass(time.Minute)
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: r.w.Queue})
		var refused *consumer.SubscribeError
		if err := <-run.Result; !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
		pass(time.Hour)
		got := r.ids(r.w.Ladder.Unclaimed())
		if slices.Sort(got); !slices.Equal(got, numbers(3)) {
			t.Errorf("unclaimed: %v", got)
		}
	})
}

// H 4.4: thirty retries. 4.0 deletes a message of a queue without a limit after
// 21 deliveries; ours ends in the dead-letter queue after 31.
func TestThirtyRetries(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{Type: kind})
				publish(t, b, r.w.Queue, named("m")...)
				var a attempts
				r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(time.Second), MaxRetries: 30},
					func(_ context.Context, d amqp.Delivery) error { a.add(t, d); return errNot })
				r.settled(t)
				letters := r.letters()
				if len(a.all()["m"]) != 31 || len(letters) != 1 || letters[0].Attempts != 31 || letters[0].Reason != story.ReasonExhausted {
					t.Errorf("%d attempts, letters %+v", len(a.all()["m"]), letters)
				}
			})
		})
	}
}

// R 14: a message whose life ends before its next attempt is buried as expired;
// a retry does not make it immortal, nor does one kill it that it lives to see.
func TestRetriesEndWithTheLifeOfTheMessage(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{Ladder: minutes})
		began := time.Now()
		publish(t, b, r.w.Queue, amqp.Publishing{MessageId: "m", Expiration: "150000"}) // 2.5 minutes
		var a attempts
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(time.Minute), MaxRetries: 10},
			func(_ context.Context, d amqp.Delivery) error { a.add(t, d); return errNot })
		r.settled(t)
		step := r.park(time.Minute)
		if got := a.moments("m", began); !slices.Equal(got, []time.Duration{0, step, 2 * step}) {
			t.Errorf("attempts after %v", got)
		}
		if l := r.letters(); len(l) != 1 || l[0].Reason != story.ReasonExpired || l[0].Attempts != 3 || l[0].Delivery.Expiration != "" {
			t.Errorf("letters %+v", l)
		}
	})
}

// MaxElapsed ends the retries by the clock.
func TestRetriesEndByTheClock(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{Ladder: minutes})
		publish(t, b, r.w.Queue, named("m")...)
		var a attempts
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(6 * time.Minute), MaxRetries: 100, MaxElapsed: 30 * time.Minute},
			func(_ context.Context, d amqp.Delivery) error { a.add(t, d); return errNot })
		r.settled(t)
		if l := r.letters(); len(l) != 1 || l[0].Reason != story.ReasonElapsed || l[0].Attempts != len(a.all()["m"]) || l[0].Attempts != 5 {
			t.Errorf("%d attempts, letters %+v", len(a.all()["m"]), l)
		}
	})
}
