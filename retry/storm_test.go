package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// What the handlers call is down for a minute, with 4 messages a second: without
// a budget each message is tried four times; with one, retries stay within their
// share, and the letters say why. All are there, and what comes later is handled.
func TestBudgetEndsAStorm(t *testing.T) {
	const n = 240
	storm := func(t *testing.T, b *amqptest.Broker, budget *retry.Budget) (calls int, letters map[string]int, handled int) {
		t.Helper()
		r := newRig(t, b, topology.WorkConfig{})
		var down atomic.Bool
		var all, done atomic.Int64
		down.Store(true)
		run := r.start(t, consumer.Config{Workers: 8}, retry.Policy{BackOff: retry.Constant(800 * time.Millisecond), Budget: budget},
			func(context.Context, amqp.Delivery) error {
				all.Add(1)
				if down.Load() {
					return errNot
				}
				done.Add(1)
				return nil
			})
		operate(t, b, func(ch *amqp.Channel) error {
			for i := range n {
				pass(250 * time.Millisecond)
				if err := ch.Publish("", r.w.Queue, true, false, amqp.Publishing{MessageId: fmt.Sprint(i), DeliveryMode: amqp.Persistent}); err != nil {
					return err
				}
			}
			return nil
		})
		r.settled(t)
		calls = int(all.Load())
		down.Store(false)
		publish(t, b, r.w.Queue, named("after")...)
		r.settled(t)
		undisturbed(t, run)
		letters = map[string]int{}
		for _, l := range r.letters() {
			letters[l.Reason]++
		}
		return calls, letters, int(done.Load())
	}
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		calls, letters, handled := storm(t, b, nil)
		if calls != 4*n || letters[story.ReasonExhausted] != n || handled != 1 {
			t.Errorf("without a budget: %d calls, letters %v, %d handled", calls, letters, handled)
		}
	})
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		calls, letters, handled := storm(t, b, &retry.Budget{Share: 0.3, MinPerSecond: 0.5})
		most := n + int(0.3*n) + 35 + 4 // the outage and what follows it take less than 70 s
		if calls > most || calls < most-30 || letters[story.ReasonBudget]+letters[story.ReasonExhausted] != n || letters[story.ReasonBudget] < n/2 || handled != 1 {
			t.Errorf("with a budget: %d calls, at most %d expected, letters %v, %d handled", calls, most, letters, handled)
		}
	})
}

// A crowd that fails at once comes back in a crowd, unless the jitter spreads it;
// none comes later than the delay itself, as the ladder has it.
func TestJitterSpreadsACrowd(t *testing.T) {
	const n = 60
	for _, tc := range []struct {
		jitter retry.Jitter
		least  int // moments
		most   int
	}{{retry.NoJitter, 1, 1}, {retry.EqualJitter, 5, 9}, {retry.FullJitter, 12, 23}} {
		t.Run(tc.jitter.String(), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				var a attempts
				r.start(t, consumer.Config{Workers: 8, Prefetch: n}, retry.Policy{BackOff: retry.Exponential(3*time.Second, time.Minute), Jitter: tc.jitter},
					func(_ context.Context, d amqp.Delivery) error {
						if a.add(t, d) == 0 {
							return errNot
						}
						return nil
					})
				began := time.Now()
				publish(t, b, r.w.Queue, named(numbers(n)...)...)
				r.settled(t)
				moments := map[time.Duration]bool{}
				for _, id := range numbers(n) {
					got := a.moments(id, began)
					if len(got) != 2 || got[1] > r.park(3*time.Second) {
						t.Errorf("message %s: attempts after %v", id, got)
						continue
					}
					moments[got[1]] = true
				}
				if len(moments) < tc.least || len(moments) > tc.most {
					t.Errorf("%d moments, want %d to %d", len(moments), tc.least, tc.most)
				}
			})
		})
	}
}

// Errors of three kinds, each with its own policy, in one queue: each message
// meets its own, with the moments that its policy says.
func TestClassesOfErrors(t *testing.T) {
	errDeadlock, errMaintenance := errors.New("deadlock"), errors.New("down for maintenance")
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	p := retry.Policy{MaxRetries: 1, BackOff: retry.Constant(200 * time.Millisecond), Classes: []retry.Class{
		{Match: is(errDeadlock), Immediate: 2, MaxRetries: -1},
		{Match: is(errMaintenance), BackOff: retry.Schedule(time.Second, 3*time.Second, 6*time.Second)},
		{Match: func(err error) bool { var h *retry.HTTPError; return errors.As(err, &h) && h.Status == 429 }, MaxRetries: 2},
	}}
	fails := map[string]error{
		"deadlock": errDeadlock, "maintenance": errMaintenance, "transient": errNot,
		"limited": retry.FromHTTP(429, map[string][]string{"Retry-After": {"2"}}),
	}
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		var a attempts
		run := r.start(t, consumer.Config{}, p, func(_ context.Context, d amqp.Delivery) error {
			a.add(t, d)
			return fails[d.MessageId]
		})
		began := time.Now()
		publish(t, b, r.w.Queue, named("deadlock", "maintenance", "transient", "limited")...)
		r.settled(t)
		two, m := r.park(2*time.Second), r.park(time.Second)
		for id, want := range map[string][]time.Duration{
			"deadlock":    {0, 0, 0},
			"maintenance": {0, m, m + r.park(3*time.Second), m + r.park(3*time.Second) + r.park(6*time.Second)},
			"transient":   {0, r.park(200 * time.Millisecond)},
			"limited":     {0, two, 2 * two},
		} {
			if got := a.moments(id, began); !slices.Equal(got, want) {
				t.Errorf("%s: attempts after %v, want %v", id, got, want)
			}
		}
		for _, l := range r.letters() {
			want := map[string]int{"deadlock": 1, "maintenance": 4, "transient": 2, "limited": 3}[l.Delivery.MessageId]
			if l.Reason != story.ReasonExhausted || l.Attempts != want {
				t.Errorf("letter %s: %s after %d attempts, want %d", l.Delivery.MessageId, l.Reason, l.Attempts, want)
			}
		}
		if n := len(r.letters()); n != len(fails) {
			t.Errorf("%d letters", n)
		}
		undisturbed(t, run)
	})
}

// Immediate retries leave no trace on the broker when one of them succeeds. A
// shutdown among them gives the message back uncounted, and a process that dies
// among them leaves it in the queue.
func TestImmediateRetriesLeaveNoTrace(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		calls := map[string]int{}
		run := r.start(t, consumer.Config{}, retry.Policy{Immediate: 2}, func(_ context.Context, d amqp.Delivery) error {
			if calls[d.MessageId]++; calls[d.MessageId] < 3 {
				return errNot
			}
			if len(d.Headers) > 0 {
				t.Errorf("message %s has headers %v", d.MessageId, d.Headers)
			}
			return nil
		})
		publish(t, b, r.w.Queue, named(numbers(5)...)...)
		r.settled(t)
		run.Stopped(t)
		for _, id := range numbers(5) {
			if calls[id] != 3 {
				t.Errorf("message %s was handled %d times", id, calls[id])
			}
		}
		if got := r.letters(); len(got) > 0 {
			t.Errorf("letters: %+v", got)
		}

		n, second := 0, make(chan struct{})
		publish(t, b, r.w.Queue, named("m")...)
		run = r.start(t, consumer.Config{DrainTimeout: time.Second}, retry.Policy{Immediate: 9}, func(ctx context.Context, _ amqp.Delivery) error {
			if n++; n == 2 {
				close(second)
				<-ctx.Done()
			}
			return errNot
		})
		<-second
		run.Stop()
		<-run.Result
		if got := r.ids(r.w.Queue); n != 2 || !slices.Equal(got, []string{"m"}) {
			t.Errorf("after a shutdown: %d calls, in the queue: %v", n, got)
		}
		for _, m := range b.Messages("/", r.w.Queue) {
			if _, counted := m.Headers[story.HeaderRetryCount]; counted {
				t.Error("the shutdown was counted")
			}
		}
	})
}
