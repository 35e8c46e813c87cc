package dlq_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// R 20, F 5 to F 7: looks over several channels each: every letter is shown in
// order each time, and all are there in order afterwards.
func TestLookingChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		letters(t, b, w, 20)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 6})
		for range 10 {
			if got := lookAll(t, q); !slices.Equal(got, numbers(0, 20)) {
				t.Fatalf("looked at %v", got)
			}
		}
		if n, err := q.Count(soon(t)); n != 20 || err != nil {
			t.Errorf("%d letters, %v", n, err)
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, numbers(0, 20)) {
			t.Errorf("left %v", got)
		}
	})
}

// A look that its function ends leaves the order as it was; one that its ctx,
// the consumer timeout or Rotate ends may put the letters seen behind the others.
// Nothing is lost.
func TestLookEndedEarly(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		letters(t, b, w, 50)
		mine := errors.New("mine")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stop := func() error { return dlq.ErrStop }
		for _, tc := range []struct {
			name    string
			cfg     dlq.QueueConfig
			f       func() error
			want    func(error) bool
			ordered bool
		}{
			{"stop", dlq.QueueConfig{}, stop, func(err error) bool { return err == nil }, true},
			{"again", dlq.QueueConfig{}, stop, func(err error) bool { return err == nil }, true},
			{"error", dlq.QueueConfig{}, func() error { return mine }, func(err error) bool { return errors.Is(err, mine) }, true},
			{"rotate", dlq.QueueConfig{Rotate: true}, stop, func(err error) bool { return err == nil }, false},
			{"timeout", dlq.QueueConfig{}, func() error { pass(time.Minute); return nil }, func(err error) bool {
				var incomplete *dlq.IncompleteError
				return errors.As(err, &incomplete) && incomplete.Seen < incomplete.Total && incomplete.Total == 50 && incomplete.After == 15*time.Minute
			}, false},
			{"ctx", dlq.QueueConfig{}, func() error { cancel(); return nil }, func(err error) bool { return errors.Is(err, context.Canceled) }, false},
		} {
			tc.cfg.Queue, tc.cfg.Prefetch = w.DeadLetterQueue, 8
			seen := 0
			err := openQueue(l, tc.cfg).Look(ctx, func(dlq.Letter) error {
				if seen++; seen < 20 {
					return nil
				}
				return tc.f()
			})
			if !tc.want(err) || seen > 49 {
				t.Errorf("%s: %v after %d letters", tc.name, err, seen)
			}
			if got := ids(b, w.DeadLetterQueue); tc.ordered && !slices.Equal(got, numbers(0, 50)) {
				t.Errorf("%s: left %v", tc.name, got)
			}
			complete(t, b, w.DeadLetterQueue, numbers(0, 50))
		}
	})
}

// F 9: queues that drop what is looked at are refused, others are not.
func TestUnsafeLooks(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		for name, tc := range map[string]struct {
			args amqp.Table
			safe bool
		}{
			"no-limit":   {amqp.Table{"x-queue-type": "quorum"}, false},
			"minus-one":  {amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": -1}, false},
			"small":      {amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 20, "x-message-ttl": 600_000}, false},
			"stream":     {amqp.Table{"x-queue-type": "stream"}, false},
			"huge":       {amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1 << 30, "x-message-ttl": 600_000, "x-dead-letter-exchange": "amq.direct", "x-single-active-consumer": true}, true},
			"classic":    {nil, true},
			"classic-by": {amqp.Table{"x-queue-type": "classic", "x-message-ttl": 600_000}, true},
		} {
			declareQueue(t, b, name, tc.args)
			publish(t, b, "", name, amqp.Publishing{MessageId: "m"})
			seen := 0
			err := openQueue(l, dlq.QueueConfig{Queue: name}).Look(soon(t), func(dlq.Letter) error { seen++; return nil })
			var unsafe *dlq.UnsafeLookError
			if errors.As(err, &unsafe) == tc.safe || tc.safe && (err != nil || seen != 1) || !tc.safe && seen > 0 {
				t.Errorf("%s: %v, %d seen", name, err, seen)
			}
			complete(t, b, name, []string{"m"})
			if name != "no-limit" {
				continue
			}
			err = openQueue(l, dlq.QueueConfig{Queue: name, Force: true}).Look(soon(t), func(dlq.Letter) error { seen++; return nil })
			if err != nil || seen != 1 {
				t.Errorf("forced: %v, %d seen", err, seen)
			}
		}
		err := openQueue(l, dlq.QueueConfig{Queue: "missing"}).Look(soon(t), func(dlq.Letter) error { return nil })
		as[*dlq.QueueError](t, err)
		if refused := as[*amqp.Error](t, err); refused.Code != amqp.NotFound {
			t.Errorf("missing queue: %v", err)
		}
	})
}

// Only one look or replay at a time, in one process and across processes. A lock
// ends with its owner's connection.
func TestLock(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l, other := open(t, b, link.Config{}), open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		letters(t, b, w, 3)
		cfg := dlq.QueueConfig{Queue: w.DeadLetterQueue}
		links := map[string]*link.Link{"same link": l, "other link": other}
		for _, cut := range []bool{false, true} {
			err := openQueue(l, cfg).Look(soon(t), func(dlq.Letter) error {
				for name, from := range links {
					_, err := openQueue(from, cfg).Replay(soon(t), p, dlq.ReplayConfig{})
					var locked *dlq.LockedError
					if !errors.As(err, &locked) {
						t.Errorf("%s: %v", name, err)
					}
				}
				if cut {
					b.CutConnections()
					pass(time.Second)
				}
				return nil
			})
			if (err != nil) != cut {
				t.Fatal(err)
			}
			for name, from := range links {
				if got := lookAll(t, openQueue(from, cfg)); len(got) != 3 {
					t.Errorf("%s, after the lock: %v", name, got)
				}
			}
		}
	})
}

// The look meets each fault in its middle: nothing is lost, and it says so, unless
// all letters could be shown: after a cancel the next channel gets the rest.
func TestLookDisturbed(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, b *amqptest.Broker, queue string){
		"cut":     func(_ *testing.T, b *amqptest.Broker, _ string) { b.CutConnections() },
		"restart": func(_ *testing.T, b *amqptest.Broker, _ string) { b.Restart() },
		"channel closed": func(t *testing.T, b *amqptest.Broker, queue string) {
			inject(t, b, amqptest.Fault{Do: amqptest.CloseChannel, On: amqptest.Now, Queue: queue, Code: 541})
		},
		"connection closed": func(t *testing.T, b *amqptest.Broker, _ string) {
			inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: amqptest.Now, Code: 320})
		},
		"cancelled": func(t *testing.T, b *amqptest.Broker, queue string) {
			inject(t, b, amqptest.Fault{Do: amqptest.CancelConsumers, Queue: queue})
		},
		"lock deleted": func(t *testing.T, b *amqptest.Broker, _ string) {
			inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: "hareline.lock.*"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				letters(t, b, w, 40)
				q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 5})
				seen := 0
				err := q.Look(soon(t), func(dlq.Letter) error {
					if seen++; seen == 18 {
						disturb(t, b, w.DeadLetterQueue)
						pass(time.Second)
					}
					return nil
				})
				if harmless := name == "cancelled" || name == "lock deleted"; !harmless || err != nil || seen != 40 {
					as[*dlq.QueueError](t, err)
				}
				pass(30 * time.Second)
				complete(t, b, w.DeadLetterQueue, numbers(0, 40))
				if got := lookAll(t, q); len(got) != 40 {
					t.Errorf("the next look saw %v", got)
				}
			})
		})
	}
}

// Another consumer holds a dead-letter queue with a single active consumer: the
// look ends, saying so.
func TestLookAtAQueueThatAnotherHolds(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declareQueue(t, b, "held", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1 << 30, "x-single-active-consumer": true})
		publish(t, b, "", "held", amqp.Publishing{MessageId: "0"}, amqp.Publishing{MessageId: "1"})
		s, err := l.Session(soon(t), link.Consuming)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(soon(t), func(ch *amqp.Channel) error {
			if err := ch.Qos(1, 0, false); err != nil {
				return err
			}
			_, err := ch.Consume("held", "other", false, false, false, false, nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		err = openQueue(l, dlq.QueueConfig{Queue: "held"}).Look(soon(t), func(dlq.Letter) error { return nil })
		as[*dlq.IncompleteError](t, err)
		if err := s.Close(soon(t)); err != nil {
			t.Error(err)
		}
		complete(t, b, "held", numbers(0, 2))
	})
}

// Discard removes what is selected, and nothing else, in order.
func TestDiscard(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		letters(t, b, w, 30)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 4})
		report, err := q.Discard(soon(t), func(letter dlq.Letter) bool { return len(letter.Delivery.Body) == 1 })
		if err != nil || report.Discarded != 10 || report.Kept != 20 {
			t.Errorf("%v, %v", report, err)
		}
		if got := ids(b, w.DeadLetterQueue); !slices.Equal(got, numbers(10, 30)) {
			t.Errorf("left %v", got)
		}
	})
}

// The connection is lost at the ack of a discarded letter: what is not surely
// removed counts as failed, and what counts as discarded is gone.
func TestDiscardCutAtAnAck(t *testing.T) {
	for _, do := range []amqptest.Effect{amqptest.DropBefore, amqptest.DropAfter} {
		t.Run(string(do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := work(t, l, topology.WorkConfig{})
				letters(t, b, w, 20)
				inject(t, b, amqptest.Fault{Do: do, On: "basic.ack", Queue: w.DeadLetterQueue, Nth: 5})
				report, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Discard(soon(t), func(dlq.Letter) bool { return true })
				if err == nil && report.Failed == 0 {
					t.Errorf("%v: told as if nothing had happened", report)
				}
				pass(time.Second)
				if gone := 20 - len(ids(b, w.DeadLetterQueue)); report.Discarded > gone || report.Discarded+report.Failed < gone {
					t.Errorf("%d letters are gone; %v", gone, report)
				}
			})
		})
	}
}

// R 13: what the broker dead-letters by itself, straight away and after a trip
// over the ladder, is read right on every version, and replayed to where it
// failed.
func TestLettersOfTheBroker(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{Bindings: []topology.Binding{{Source: "amq.topic", Key: "a.*"}}})
		p := publisher(t, l)
		publish(t, b, "amq.topic", "a.b", amqp.Publishing{MessageId: "foreign"})
		exchange, key, delay := w.Park(100 * time.Millisecond)
		s := story.Story{RetryCount: 1, OriginQueue: w.Queue, OriginExchange: "amq.topic", OriginKey: "a.c"}
		publish(t, b, exchange, key, amqp.Publishing{MessageId: "parked", Headers: s.Table()})
		pass(delay)
		operate(t, b, func(ch *amqp.Channel) error {
			for range 2 {
				d, _, err := ch.Get(w.Queue, false)
				if err == nil {
					err = d.Reject(false)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		complete(t, b, w.DeadLetterQueue, []string{"foreign", "parked"})
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		attempts := map[string]int{}
		err := q.Look(soon(t), func(letter dlq.Letter) error {
			attempts[letter.Delivery.MessageId] = letter.Attempts
			if letter.Queue != w.Queue || letter.Reason != "rejected" || letter.DeadAt.IsZero() || len(letter.Problems) > 0 {
				t.Errorf("%+v", letter)
			}
			return nil
		})
		if err != nil || attempts["foreign"] != 0 || attempts["parked"] != 1 || len(attempts) != 2 {
			t.Fatalf("%v, %v", attempts, err)
		}
		if report, err := q.Replay(soon(t), p, dlq.ReplayConfig{}); err != nil || report.Replayed != 2 {
			t.Fatalf("%v, %v", report, err)
		}
		replayed := stories(t, b, w.Queue)
		for id, key := range map[string]string{"foreign": "a.b", "parked": "a.c"} {
			if s := replayed[id]; s.OriginKey != key || s.OriginExchange != "amq.topic" || s.OriginQueue != w.Queue {
				t.Errorf("%s: %+v", id, s)
			}
		}
	})
}

// The queue of a parked copy is gone when its delay is over: the copy lies in the
// ladder's unclaimed queue, which can be looked at and replayed like any other.
func TestUnclaimedLetters(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		exchange, key, delay := w.Park(100 * time.Millisecond)
		s := story.Story{RetryCount: 1, OriginQueue: w.Queue, OriginKey: "a.c"}
		for id, h := range map[string]amqp.Table{"ours": s.Table(), "foreign": nil} {
			publish(t, b, exchange, key, amqp.Publishing{MessageId: id, Headers: h})
		}
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: w.Queue})
		pass(delay)
		unclaimed := w.Ladder.Unclaimed()
		complete(t, b, unclaimed, []string{"ours", "foreign"})
		q := openQueue(l, dlq.QueueConfig{Queue: unclaimed})
		err := q.Look(soon(t), func(letter dlq.Letter) error {
			if letter.Queue != w.Queue || letter.Reason != dlq.ReasonUnclaimed {
				t.Errorf("%+v", letter)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		declare(t, l, w)
		if report, err := q.Replay(soon(t), p, dlq.ReplayConfig{}); err != nil || report.Replayed != 2 {
			t.Errorf("%v, %v", report, err)
		}
		complete(t, b, w.Queue, []string{"ours", "foreign"})
	})
}
