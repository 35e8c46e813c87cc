package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// second is the delay of these tests, which fits their ladders exactly.
const second = time.Second

// once fails each message at its first attempt.
func once(t *testing.T, a *attempts) consumer.Handler {
	return func(_ context.Context, d amqp.Delivery) error {
		if a.add(t, d) == 0 {
			return errNot
		}
		return nil
	}
}

// Every third copy is refused by the broker. The same copy is published until
// it is taken: the handlers see no difference, and no copy is twice.
func TestCopiesThatAreNacked(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		nacks := inject(t, b, amqptest.Fault{Do: amqptest.Nack, Nth: 2, Every: 3, Times: -1, Exchange: r.top(second)})
		run := r.start(t, consumer.Config{Workers: 4}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
		publish(t, b, r.w.Queue, named(numbers(40)...)...)
		r.settled(t)
		a.same(t, 40, 0, 1)
		if nacks.Hits() < 10 {
			t.Errorf("%d nacks", nacks.Hits())
		}
		if told := run.Told(); told[consumer.Paused] == 0 || told[consumer.Disconnected] > 0 {
			t.Errorf("told: %v", told)
		}
	})
}

// Every copy is nacked for an hour. Nothing is handled meanwhile but what had
// been started, nothing is lost, and all go on afterwards.
func TestNoCopyCanBeStoredForAWhile(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		nacks := inject(t, b, amqptest.Fault{Do: amqptest.Nack, Times: -1, Exchange: r.top(second)})
		run := r.start(t, consumer.Config{Workers: 4, Prefetch: 20}, retry.Policy{BackOff: retry.Constant(second)}, func(ctx context.Context, d amqp.Delivery) error {
			<-time.After(time.Millisecond)
			return once(t, &a)(ctx, d)
		})
		publish(t, b, r.w.Queue, named(numbers(40)...)...)
		run.Becomes(t, consumer.Paused)
		pass(10 * time.Minute) // less than half the consumer timeout: the deliveries are kept
		if n := len(a.all()); n > 8 {
			t.Errorf("4 workers handled %d messages though no copy could be stored", n)
		}
		if n := nacks.Hits(); n > 60 {
			t.Errorf("%d publishes in 10 minutes", n)
		}
		nacks.Remove()
		run.Becomes(t, consumer.Consuming)
		r.settled(t)
		a.same(t, 40, 0, 1)
		if told := run.Told(); told[consumer.Disconnected] > 0 {
			t.Errorf("told: %v", told)
		}
	})
}

// The publishing connection ends at a copy, before or after the broker stored
// it. Before: it is published again, once. After: it is there twice, and both
// come back with count 1. No copy is lost either way.
func TestConnectionLostAtACopy(t *testing.T) {
	for do, want := range map[amqptest.Effect][]int{amqptest.DropBefore: {0, 1}, amqptest.DropAfter: {0, 1, 1}} {
		t.Run(string(do), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				lost := inject(t, b, amqptest.Fault{Do: do, On: "basic.publish", Exchange: r.top(second), Nth: 5})
				run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
				for _, id := range numbers(10) {
					publish(t, b, r.w.Queue, named(id)...)
					pass(10 * time.Millisecond)
				}
				r.settled(t)
				for _, id := range numbers(10) {
					want := want
					if id != "4" {
						want = []int{0, 1}
					}
					if got := a.counts(id); !slices.Equal(got, want) {
						t.Errorf("message %s: attempts with counts %v, want %v", id, got, want)
					}
				}
				if lost.Hits() != 1 || len(r.letters()) != 0 {
					t.Errorf("%d hits, %d letters", lost.Hits(), len(r.letters()))
				}
				undisturbed(t, run)
			})
		})
	}
}

// The consuming connection ends between the copy's confirm and the ack of its
// original: both are there, and the attempts of each are counted for itself.
func TestConnectionLostBetweenConfirmAndAck(t *testing.T) {
	for do, want := range map[amqptest.Effect][]int{amqptest.DropBefore: {0, 0, 1, 1}, amqptest.DropAfter: {0, 1}} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				inject(t, b, amqptest.Fault{Do: do, On: "basic.ack", Queue: r.w.Queue})
				r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second), MaxRetries: 1}, once(t, &a))
				publish(t, b, r.w.Queue, named("m")...)
				r.settled(t)
				got := a.counts("m")
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("attempts with counts %v, want %v", got, want)
				}
				if n := len(r.letters()); n != 0 {
					t.Errorf("%d letters", n)
				}
			})
		})
	}
}

// Confirms are late, or come in another order: the workers go on meanwhile, no
// more than the prefetch is under way, and each original is acked only when its
// own copy is confirmed.
func TestLateConfirmsHoldNobodyUp(t *testing.T) {
	for _, f := range []amqptest.Fault{
		{Do: amqptest.DelayConfirm, Delay: 20 * time.Second, Times: -1},
		{Do: amqptest.ReorderConfirms, Count: 15, Times: 30},
		{Do: amqptest.HoldConfirm, Times: -1},
	} {
		t.Run(string(f.Do), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				f := f
				f.Exchange = r.top(second)
				fault := inject(t, b, f)
				run := r.start(t, consumer.Config{Prefetch: 15}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
				publish(t, b, r.w.Queue, named(numbers(30)...)...)
				synctest.Wait()
				q, _ := b.Queue("/", r.w.Queue)
				if handled := len(a.all()); f.Do == amqptest.ReorderConfirms && (handled != 30 || q.Unacked != 0) ||
					f.Do != amqptest.ReorderConfirms && (handled != 15 || q.Unacked != 15 || q.Ready != 15) {
					t.Errorf("one worker handled %d, %d unacked, with a prefetch of 15", handled, q.Unacked)
				}
				if f.Do == amqptest.HoldConfirm {
					pass(10 * time.Second)
					fault.Remove()
				}
				r.settled(t)
				a.same(t, 30, 0, 1)
				undisturbed(t, run)
			})
		})
	}
}

// A confirm comes so late that the copy counts as unknown: it is published
// again. That makes two, and loses none.
func TestConfirmThatIsTooLate(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 10 * time.Minute, Exchange: r.top(second)})
		run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second), CopyTimeout: 5 * time.Second}, once(t, &a))
		publish(t, b, r.w.Queue, named(numbers(3)...)...)
		r.settled(t)
		total := 0
		for id, all := range a.all() {
			for _, one := range all {
				if one.count > 1 {
					t.Errorf("message %s: count %d", id, one.count)
				}
			}
			total += len(all)
		}
		if len(a.all()) != 3 || total != 7 {
			t.Errorf("%d attempts at %d messages, want 2 each and one more", total, len(a.all()))
		}
		if told := run.Told(); told[consumer.Paused] != 1 {
			t.Errorf("told: %v", told)
		}
	})
}

// An alarm stops the copies and not the consumer: acks go on, copies wait, and
// go when the alarm is over. None is doubled.
func TestAlarmHoldsCopies(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		publish(t, b, r.w.Queue, named(numbers(20)...)...)
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, Delay: 20 * time.Second})
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second)}, func(_ context.Context, d amqp.Delivery) error {
			if a.add(t, d) == 0 && len(d.MessageId) == 1 {
				return errNot
			}
			return nil
		})
		pass(10 * time.Second)
		if q, _ := b.Queue("/", r.w.Queue); q.Ready != 0 || q.Unacked != 10 {
			t.Errorf("under the alarm: %d ready, %d unacked; want the ten whose copies wait", q.Ready, q.Unacked)
		}
		r.settled(t)
		a.same(t, 10, 0, 1)
		if n := len(r.letters()); n != 0 || len(a.all()) != 20 {
			t.Errorf("%d letters, %d handled", n, len(a.all()))
		}
	})
}

// The broker does not read copies for a while: they wait, and none is doubled.
func TestBrokerThatDoesNotReadCopies(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: "basic.publish", Exchange: r.top(second), Nth: 3, Delay: 5 * time.Second})
		run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
		publish(t, b, r.w.Queue, named(numbers(20)...)...)
		r.settled(t)
		a.same(t, 20, 0, 1)
		undisturbed(t, run)
	})
}

// The channel of the copies is closed with a code at a copy: with 406 for a fault
// of the message, as it seems, and 541 for one of the broker.
func TestChannelClosedAtACopy(t *testing.T) {
	for _, code := range []uint16{406, 541, 403, 404} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				inject(t, b, amqptest.Fault{Do: amqptest.CloseChannel, Code: code, On: "basic.publish", Exchange: r.top(second), Nth: 4})
				run := r.start(t, consumer.Config{Workers: 4}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
				publish(t, b, r.w.Queue, named(numbers(20)...)...)
				r.settled(t)
				for _, id := range numbers(20) {
					if got := a.counts(id); len(got) < 2 || got[len(got)-1] != 1 {
						t.Errorf("message %s: attempts with counts %v", id, got)
					}
				}
				if n := len(r.letters()); n != 0 {
					t.Errorf("%d letters", n)
				}
				if told := run.Told(); told[consumer.Disconnected] > 0 {
					t.Errorf("told: %v", told)
				}
			})
		})
	}
}

// R 1: eight handlers are cut off by the consumer's end. That is no verdict: no
// letter, no attempt counted, all eight are there. Without retry's knowledge of
// the shutdown each would be parked or buried.
func TestShutdownCountsNothing(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		publish(t, b, r.w.Queue, named(numbers(8)...)...)
		run := r.start(t, consumer.Config{Workers: 8, DrainTimeout: time.Minute}, retry.Policy{BackOff: retry.Constant(second), Unknown: retry.VerdictTransient},
			func(ctx context.Context, d amqp.Delivery) error {
				<-ctx.Done()
				switch d.MessageId {
				case "0":
					return retry.Permanent(ctx.Err())
				case "1":
					panic(ctx.Err())
				case "2":
					return errors.New("an excuse")
				}
				return ctx.Err()
			})
		pass(second)
		run.Stopped(t)
		if got := r.ids(r.w.Queue); !slices.Equal(got, numbers(8)) {
			t.Errorf("in the queue: %v", got)
		}
		for _, m := range b.Messages("/", r.w.Queue) {
			for name := range m.Headers {
				if name != "x-delivery-count" && name != "x-acquired-count" {
					t.Errorf("header %s of message %s: %v", name, m.MessageID, m.Headers[name])
				}
			}
		}
		if n := len(r.letters()); n != 0 || r.underWay() != 8 {
			t.Errorf("%d letters, %d under way", n, r.underWay())
		}
	})
}

// Copies are under way when the consumer ends: the drain waits for their
// confirms, and acks. What is not confirmed by its deadline comes back.
func TestDrainWaitsForCopies(t *testing.T) {
	for late, want := range map[time.Duration][]int{10 * time.Second: {0, 1}, 25 * time.Second: {0, 0, 1, 1}} {
		t.Run(late.String(), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: late, Times: 10, Exchange: r.top(second)})
				policy := retry.Policy{BackOff: retry.Constant(second)}
				run := r.start(t, consumer.Config{DrainTimeout: 15 * time.Second}, policy, once(t, &a))
				publish(t, b, r.w.Queue, named(numbers(10)...)...)
				pass(500 * time.Millisecond)
				run.Stopped(t)
				r.start(t, consumer.Config{}, policy, once(t, &a))
				pass(time.Minute)
				r.settled(t)
				for _, id := range numbers(10) {
					got := a.counts(id)
					if slices.Sort(got); !slices.Equal(got, want) {
						t.Errorf("message %s: attempts with counts %v, want %v", id, got, want)
					}
				}
			})
		})
	}
}

// A copy that was nacked is published again, and is under way when the consumer
// ends: the drain waits for the repeated one, too, or the message comes back
// although its copy is stored.
func TestDrainWaitsForRepeatedCopies(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		inject(t, b, amqptest.Fault{Do: amqptest.Nack, Exchange: r.top(second)})
		late := inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 5 * time.Second, Exchange: r.top(second)})
		run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
		publish(t, b, r.w.Queue, named("1")...)
		eventually(t, "the copy is published again", func() bool { return late.Hits() == 1 })
		run.Stopped(t)
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second)}, once(t, &a))
		pass(time.Minute)
		r.settled(t)
		if got := a.counts("1"); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("attempts with counts %v", got)
		}
	})
}
