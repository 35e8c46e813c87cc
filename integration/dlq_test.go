package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// letters buries n letters of w as its middleware would, message-ids 0 to n-1.
func letters(t *testing.T, p *confirm.Publisher, w topology.Work, n int) {
	t.Helper()
	var receipts []*confirm.Receipt
	for i := range n {
		s := story.Story{
			RetryCount: 3, RetryMax: 3, FirstFailedAt: time.Now(), LastError: "EOF", ErrorClass: "error",
			OriginQueue: w.Queue, OriginExchange: "events", OriginKey: "a.b", OriginPriority: 3,
			DeadReason: story.ReasonExhausted, DeadAt: time.Now(), ExpiresAt: time.Now(),
		}
		msg := amqp.Publishing{MessageId: fmt.Sprint(i), Headers: s.Table(), Body: fmt.Append(nil, i)}
		receipts = append(receipts, p.Send(deadline(t), "", w.DeadLetterQueue, msg))
	}
	for _, r := range receipts {
		if err := r.Wait(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func openQueue(l *link.Link, cfg dlq.QueueConfig) *dlq.Queue {
	cfg.Logger = logger()
	return dlq.Open(l, cfg)
}

func ids(ds []amqp.Delivery) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.MessageId)
	}
	return out
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// lookAll returns the message-ids a look shows.
func lookAll(t *testing.T, q *dlq.Queue) []string {
	t.Helper()
	var out []string
	err := q.Look(deadline(t), func(letter dlq.Letter) error {
		if letter.Delivery.Ack(false) == nil {
			t.Error("a letter could be settled by who looks at it")
		}
		out = append(out, letter.Delivery.MessageId)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unlocked repeats f until the lock is free: the broker deletes the lock of a
// connection that was cut a moment after it has given the letters back.
func unlocked(t *testing.T, f func() error) {
	t.Helper()
	var err error
	eventually(t, func() bool {
		var locked *dlq.LockedError
		err = f()
		return !errors.As(err, &locked)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Thirty looks at a queue, over several channels each: every letter is shown in
// order each time, and all are there in order afterwards (R 20).
func TestLookingChangesNothing(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "looked.at", topology.WorkConfig{})
		letters(t, publisher(t, l, confirm.Config{}), w, 20)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 6})
		for range 30 {
			if got := lookAll(t, q); !slices.Equal(got, numbers(0, 20)) {
				t.Fatalf("looked at %v", got)
			}
		}
		if n, err := q.Count(deadline(t)); n != 20 || err != nil {
			t.Errorf("%d letters, %v", n, err)
		}
		if got := ids(take(t, l, w.DeadLetterQueue)); !slices.Equal(got, numbers(0, 20)) {
			t.Errorf("left %v", got)
		}
	})
}

// A look that its function ends leaves the order as it was; one that its ctx,
// the consumer timeout or Rotate ends may put the letters seen behind the others.
// Nothing is lost.
func TestLookEndedEarly(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "looked.at.early", topology.WorkConfig{})
		letters(t, publisher(t, l, confirm.Config{}), w, 50)
		mine := errors.New("mine")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stop := func(int) error { return dlq.ErrStop }
		for _, tc := range []struct {
			name    string
			cfg     dlq.QueueConfig
			f       func(seen int) error
			want    func(error) bool
			ordered bool
		}{
			{"stop", dlq.QueueConfig{}, stop, func(err error) bool { return err == nil }, true},
			{"again", dlq.QueueConfig{}, stop, func(err error) bool { return err == nil }, true},
			{"error", dlq.QueueConfig{}, func(int) error { return mine }, func(err error) bool { return errors.Is(err, mine) }, true},
			{"rotate", dlq.QueueConfig{Rotate: true}, stop, func(err error) bool { return err == nil }, false},
			{"timeout", dlq.QueueConfig{ConsumerTimeout: 2}, nil, func(err error) bool {
				var incomplete *dlq.IncompleteError
				return errors.As(err, &incomplete) && incomplete.Seen < incomplete.Total && incomplete.Total == 50
			}, false},
			{"ctx", dlq.QueueConfig{}, func(int) error { cancel(); return nil }, func(err error) bool { return errors.Is(err, context.Canceled) }, false},
		} {
			tc.cfg.Queue, tc.cfg.Prefetch = w.DeadLetterQueue, 8
			seen := 0
			err := openQueue(l, tc.cfg).Look(ctx, func(dlq.Letter) error {
				if seen++; seen < 20 || tc.f == nil {
					return nil
				}
				return tc.f(seen)
			})
			if !tc.want(err) || seen > 49 {
				t.Errorf("%s: %v after %d letters", tc.name, err, seen)
			}
			got := lookAll(t, openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}))
			if tc.ordered && !slices.Equal(got, numbers(0, 50)) {
				t.Errorf("%s: left %v", tc.name, got)
			}
			if slices.Sort(got); len(slices.Compact(got)) != 50 {
				t.Errorf("%s: lost some: %v", tc.name, got)
			}
		}
	})
}

// Queues that drop what is looked at are refused, others are not.
func TestUnsafeLooks(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		p := publisher(t, l, confirm.Config{})
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
			declareQueue(t, l, name, tc.args)
			if err := p.Publish(deadline(t), "", name, amqp.Publishing{MessageId: "m"}); err != nil {
				t.Fatal(err)
			}
			seen := 0
			err := openQueue(l, dlq.QueueConfig{Queue: name}).Look(deadline(t), func(dlq.Letter) error { seen++; return nil })
			var unsafe *dlq.UnsafeLookError
			if errors.As(err, &unsafe) == tc.safe || tc.safe && (err != nil || seen != 1) || !tc.safe && seen > 0 {
				t.Errorf("%s: %v, %d seen", name, err, seen)
			}
			if name != "no-limit" {
				continue
			}
			err = openQueue(l, dlq.QueueConfig{Queue: name, Force: true}).Look(deadline(t), func(dlq.Letter) error { seen++; return nil })
			if err != nil || seen != 1 {
				t.Errorf("forced: %v, %d seen", err, seen)
			}
		}
		err := openQueue(l, dlq.QueueConfig{Queue: "missing"}).Look(deadline(t), func(dlq.Letter) error { return nil })
		var broken *dlq.QueueError
		var refused *amqp.Error
		if !errors.As(err, &broken) || !errors.As(err, &refused) || refused.Code != amqp.NotFound {
			t.Errorf("missing queue: %v", err)
		}
	})
}

// Only one look or replay at a time, in one process and across processes.
func TestLock(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		other := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "locked", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, 3)
		cfg := dlq.QueueConfig{Queue: w.DeadLetterQueue}
		err := openQueue(l, cfg).Look(deadline(t), func(dlq.Letter) error {
			for name, from := range map[string]*link.Link{"same link": l, "other link": other} {
				_, err := openQueue(from, cfg).Replay(deadline(t), p, dlq.ReplayConfig{})
				var locked *dlq.LockedError
				if !errors.As(err, &locked) {
					t.Errorf("%s: %v", name, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, from := range map[string]*link.Link{"same link": l, "other link": other} {
			if got := lookAll(t, openQueue(from, cfg)); len(got) != 3 {
				t.Errorf("%s, after the lock: %v", name, got)
			}
		}
	})
}

// The link is cut in the middle of a look: nothing is lost.
func TestLookCut(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "look.cut", topology.WorkConfig{})
		letters(t, publisher(t, l, confirm.Config{}), w, 40)
		proxy := b.Proxy(t)
		seen := 0
		q := openQueue(open(t, link.Config{URLs: []string{proxy.URL()}}), dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 5})
		err := q.Look(deadline(t), func(dlq.Letter) error {
			if seen++; seen == 20 {
				proxy.Cut()
			}
			return nil
		})
		var broken *dlq.QueueError
		if !errors.As(err, &broken) {
			t.Fatalf("%v after %d letters", err, seen)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 40 })
		var got []string
		unlocked(t, func() error {
			return openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Look(deadline(t), func(letter dlq.Letter) error {
				got = append(got, letter.Delivery.MessageId)
				return nil
			})
		})
		slices.Sort(got)
		if len(slices.Compact(got)) != 40 {
			t.Errorf("left %v", got)
		}
	})
}

func TestDiscard(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "discarded", topology.WorkConfig{})
		letters(t, publisher(t, l, confirm.Config{}), w, 30)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue, Prefetch: 4})
		report, err := q.Discard(deadline(t), func(letter dlq.Letter) bool { return len(letter.Delivery.Body) == 1 })
		if err != nil || report.Discarded != 10 || report.Kept != 20 {
			t.Errorf("%v, %v", report, err)
		}
		if got := ids(take(t, l, w.DeadLetterQueue)); !slices.Equal(got, numbers(10, 30)) {
			t.Errorf("left %v", got)
		}
	})
}

// What the broker dead-letters by itself, straight away and after a trip over
// the ladder, is read right on every version, and replayed to where it failed
// (R 13).
func TestLettersOfTheBroker(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "broker.s", topology.WorkConfig{Bindings: []topology.Binding{{Source: "amq.topic", Key: "a.*"}}})
		p := publisher(t, l, confirm.Config{})
		if err := p.Publish(deadline(t), "amq.topic", "a.b", amqp.Publishing{MessageId: "foreign"}); err != nil {
			t.Fatal(err)
		}
		exchange, key, _ := w.Park(100 * time.Millisecond)
		s := story.Story{RetryCount: 1, OriginQueue: w.Queue, OriginExchange: "amq.topic", OriginKey: "a.c"}
		if err := p.Publish(deadline(t), exchange, key, amqp.Publishing{MessageId: "parked", Headers: s.Table()}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return depth(t, l, w.Queue) == 2 })
		do(t, l, func(ch *amqp.Channel) error {
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
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue) == 2 })
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		attempts := map[string]int{}
		err := q.Look(deadline(t), func(letter dlq.Letter) error {
			attempts[letter.Delivery.MessageId] = letter.Attempts
			if letter.Queue != w.Queue || letter.Reason != "rejected" || letter.DeadAt.IsZero() || len(letter.Problems) > 0 {
				t.Errorf("%+v", letter)
			}
			return nil
		})
		if err != nil || attempts["foreign"] != 0 || attempts["parked"] != 1 || len(attempts) != 2 {
			t.Fatalf("%v, %v", attempts, err)
		}
		if report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{}); err != nil || report.Replayed != 2 {
			t.Fatalf("%v, %v", report, err)
		}
		keys := map[string]string{}
		for _, d := range take(t, l, w.Queue) {
			s, err := story.Read(d.Headers)
			keys[d.MessageId] = s.OriginKey
			if err != nil || s.OriginExchange != "amq.topic" || s.OriginQueue != w.Queue {
				t.Errorf("%+v, %v", s, err)
			}
		}
		if keys["foreign"] != "a.b" || keys["parked"] != "a.c" {
			t.Errorf("origin keys %v", keys)
		}
	})
}

// The queue of a parked copy is gone when its delay is over: the copy lies in the
// ladder's unclaimed queue, which can be looked at and replayed like any other.
func TestUnclaimedLetters(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "un.claimed", topology.WorkConfig{Ladder: topology.Ladder{Scope: "un.claimed", Levels: 3}})
		p := publisher(t, l, confirm.Config{})
		exchange, key, _ := w.Park(100 * time.Millisecond)
		s := story.Story{RetryCount: 1, OriginQueue: w.Queue, OriginKey: "a.c"}
		for id, h := range map[string]amqp.Table{"ours": s.Table(), "foreign": nil} {
			if err := p.Publish(deadline(t), exchange, key, amqp.Publishing{MessageId: id, Headers: h}); err != nil {
				t.Fatal(err)
			}
		}
		do(t, l, func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(w.Queue, false, false, false)
			return err
		})
		unclaimed := w.Ladder.Unclaimed()
		eventually(t, func() bool { return depth(t, l, unclaimed) == 2 })
		q := openQueue(l, dlq.QueueConfig{Queue: unclaimed})
		err := q.Look(deadline(t), func(letter dlq.Letter) error {
			if letter.Queue != w.Queue || letter.Reason != dlq.ReasonUnclaimed {
				t.Errorf("%+v", letter)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
			t.Fatal(err)
		}
		if report, err := q.Replay(deadline(t), p, dlq.ReplayConfig{}); err != nil || report.Replayed != 2 || depth(t, l, w.Queue) != 2 {
			t.Errorf("%v, %v", report, err)
		}
	})
}
