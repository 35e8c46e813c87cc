package ordered_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

// Run returns when the handlers have, or says that they have not: also when the
// session is lost in the drain.
func TestRunWaitsForItsHandlers(t *testing.T) {
	for name, tc := range map[string]struct {
		work    time.Duration
		cut     bool
		took    time.Duration
		running int
	}{
		"in time":          {20 * time.Second, false, 15 * time.Second, 0},
		"in time, cut off": {20 * time.Second, true, 15 * time.Second, 0},
		"too late":         {time.Hour, false, 34 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				p := declare(t, b, 1)
				publish(t, b, p, "a1", "a2")
				var atWork atomic.Int32
				proc := begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{DrainTimeout: 30 * time.Second, Handler: func(context.Context, amqp.Delivery) error {
					atWork.Add(1)
					<-time.After(tc.work) // deaf to its ctx
					atWork.Add(-1)
					return nil
				}}})
				pass(5 * time.Second)
				began := time.Now()
				proc.stop()
				if tc.cut {
					pass(time.Second)
					b.CutConnections()
				}
				<-proc.ended
				if took := time.Since(began); took < tc.took-2*time.Second || took > tc.took {
					t.Errorf("the drain took %v", took)
				}
				if n := int(atWork.Load()); n != tc.running {
					t.Errorf("%d handlers run", n)
				}
				var late *consumer.DrainError
				if told := errors.As(proc.err, &late); told != (tc.running > 0) || told && late.Running != tc.running {
					t.Errorf("told: %v", proc.err)
				}
				pass(time.Hour)
			})
		})
	}
}

// Middleware that postpones without a delay does not spin.
func TestPostponedWithoutDelay(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2")
		began := time.Now()
		var j journal
		var calls atomic.Int32
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			if time.Since(began) < time.Second && calls.Add(1) < 1000 {
				return consumer.Postpone(0, nil)
			}
			j.add("%s", d.MessageId)
			return nil
		}}})
		empty(t, b, p)
		j.is(t, "a", "a1", "a2")
		if n := calls.Load(); n > 11 {
			t.Errorf("called %d times in a second", n)
		}
	})
}

// What panics outside of the handler is no end of the process, and stops its key
// no longer than a failure of the handler.
func TestPanicsOutsideOfTheHandler(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "a3", "a4", "b1")
		var j journal
		var redacted atomic.Int32
		rule := func(err error) (retry.Verdict, bool) {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				panic("a rule")
			}
			return 0, false
		}
		cfg := ordered.Config{Partitions: p, Retry: retry.Policy{Rules: []retry.Rule{rule}}, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s/%d", d.MessageId, attempts(d))
			switch d.MessageId {
			case "a1":
				return io.ErrUnexpectedEOF
			case "a2":
				return &hostile{}
			case "a3":
				return retry.Permanent(errors.New("no"))
			}
			return nil
		}}}
		cfg.DeadLetters.Redact = func(text string) string {
			if text == "no" && redacted.Add(1) < 3 {
				panic("redact")
			}
			return text
		}
		begin(t, b, cfg)
		empty(t, b, p)
		j.is(t, "a", "a1/1", "a2/1", "a3/1", "a4/1")
		j.is(t, "b", "b1/1")
		letters := b.Messages("/", "orders.dlq")
		if got := ids(letters); !slices.Equal(got, []string{"a1", "a2", "a3"}) {
			t.Fatalf("letters %v", got)
		}
		for i, want := range []string{story.ReasonUnexpected, story.ReasonUnexpected, story.ReasonPermanent} {
			if got := letters[i].Headers[story.HeaderDeadReason]; got != want {
				t.Errorf("letter %d: %v", i, letters[i].Headers)
			}
		}
	})
}

// hostile is a pending error whose outcome is a panic.
type hostile struct{}

func (*hostile) Error() string         { return "under way" }
func (*hostile) Done() <-chan struct{} { return closed }
func (*hostile) Outcome() error        { panic("outcome") }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// endless is a pending error whose outcome is the same error.
type endless struct{ asked atomic.Int32 }

func (*endless) Error() string         { return "under way" }
func (*endless) Done() <-chan struct{} { return closed }
func (e *endless) Outcome() error {
	if e.asked.Add(1) > 100_000 {
		return nil
	}
	return e
}

// Outcomes that are odd: pending for ever, and postponed.
func TestOddOutcomes(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "a3")
		forEver := &endless{}
		began := time.Now()
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s/%d@%v", d.MessageId, attempts(d), time.Since(began).Truncate(time.Second))
			switch {
			case d.MessageId == "a1":
				return forEver
			case d.MessageId == "a2" && time.Since(began) < 25*time.Second:
				return &later{done: closed, outcome: postponed(10 * time.Second)}
			}
			return nil
		}}})
		empty(t, b, p)
		j.is(t, "a", "a1/1@0s", "a2/1@0s", "a2/1@10s", "a2/1@20s", "a2/1@30s", "a3/1@30s")
		if n := forEver.asked.Load(); n > 1000 {
			t.Errorf("asked %d times", n)
		}
	})
}

// R 19: a message whose letter cannot be stored, or whose copy hangs, goes back
// in order before the broker's consumer timeout, also when nothing is behind it.
func TestBurialHeldTooLong(t *testing.T) {
	for name, fails := range map[string]error{"no dead-letter queue": errors.New("a bug"), "a copy without an outcome": &later{done: nil}} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				p := declare(t, b, 1)
				operate(t, b, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("orders.dlq", false, false, false); return err })
				publish(t, b, p, "a1")
				var calls atomic.Int32
				proc := begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(context.Context, amqp.Delivery) error {
					if calls.Add(1) > 3 {
						return nil
					}
					return fails
				}}})
				pass(50 * time.Minute)
				if n := calls.Load(); n != 3 {
					t.Errorf("delivered %d times in 50 min", n)
				}
				empty(t, b, p)
				if n := proc.told(consumer.Disconnected); n > 0 {
					t.Errorf("%d sessions were lost: the broker's timeout came first", n)
				}
			})
		})
	}
}

// A partition that waits, and is paused or held, is told as paused.
func TestHealthOfAWaitingPartition(t *testing.T) {
	for name, order := range map[string]func(*consumer.Control, error) func(){"pause": (*consumer.Control).Pause, "hold": (*consumer.Control).Hold} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				p := declare(t, b, 1)
				publish(t, b, p, "a1", "a2", "a3", "a4")
				var control consumer.Control
				var works atomic.Bool
				proc := begin(t, b, ordered.Config{Partitions: p, MaxHeld: 2, Retry: seconds(10, 10, 10), Consumer: consumer.Config{Control: &control, Handler: func(context.Context, amqp.Delivery) error {
					if works.Load() {
						return nil
					}
					return errMoment
				}}})
				pass(5 * time.Second)
				if proc.told(ordered.Waiting) == 0 {
					t.Fatal("does not wait")
				}
				works.Store(true)
				lift := order(&control, errors.New("on purpose"))
				pass(time.Minute)
				proc.mu.Lock()
				last := proc.health[len(proc.health)-1]
				proc.mu.Unlock()
				if last.Status != consumer.Paused || last.Err == nil {
					t.Errorf("the last that was told: %+v", last)
				}
				lift()
				empty(t, b, p)
			})
		})
	}
}

// A Budget counts first attempts that succeed.
func TestBudgetCountsAllFirstAttempts(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("a%d", i))
		}
		publish(t, b, p, names...)
		policy := seconds(1, 1)
		policy.Budget = &retry.Budget{Share: 0.1, MinPerSecond: -1}
		begin(t, b, ordered.Config{Partitions: p, Retry: policy, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			if keyOf(d.MessageId) == "b" && attempts(d) == 1 {
				return errMoment
			}
			return nil
		}}})
		empty(t, b, p)
		publish(t, b, p, "b1", "b2")
		empty(t, b, p)
		if got := ids(b.Messages("/", "orders.dlq")); len(got) > 0 {
			t.Errorf("letters %v", got)
		}
	})
}

// A handler that outlasts the consumer timeout: RabbitMQ 4.3 would take its message
// alone, and give the next process what is behind all that this one still has. The
// session ends before that, and all comes back in order.
func TestAHandlerThatOutlastsTheConsumerTimeout(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		names := []string{"b1"}
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprintf("a%d", i))
		}
		publish(t, b, p, append(names, want...)...)
		var j journal
		var stuck atomic.Int32
		seen := map[string]bool{} // under the journal's lock
		cfg := ordered.Config{Partitions: p, Consumer: consumer.Config{Workers: 2, Prefetch: 5, Handler: func(_ context.Context, d amqp.Delivery) error {
			if keyOf(d.MessageId) == "b" {
				if stuck.Add(1) == 1 {
					<-time.After(40 * time.Minute) // deaf to its ctx
				}
				return nil
			}
			<-time.After(time.Minute)
			j.mu.Lock()
			first := !seen[d.MessageId]
			seen[d.MessageId] = true
			j.mu.Unlock()
			if first {
				j.add("%s", d.MessageId)
			}
			return nil
		}}}
		first := begin(t, b, cfg)
		begin(t, b, cfg)
		empty(t, b, p)
		j.is(t, "a", want...)
		if n := first.told(consumer.Disconnected); n > 0 {
			t.Errorf("%d sessions were lost: the broker's timeout came first", n)
		}
	})
}

// A handler that goes on after its session is lost is no reason to replace the
// sessions that follow, but for what waits behind it.
func TestADeafHandlerDoesNotReplaceSessionsInARow(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "b1")
		var calls atomic.Int32
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(context.Context, amqp.Delivery) error {
			if calls.Add(1) == 1 {
				<-time.After(3 * time.Hour)
			}
			return nil
		}}})
		pass(160 * time.Minute)
		if n := len(b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventRequeued })); n > 10 {
			t.Errorf("given back %d times", n)
		}
		empty(t, b, p)
	})
}
