package retry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// The twin of R 1: a handler past its own deadline is parked with count 1, or
// buried if it says so, although its ctx is over; also where the deadline stands
// outside of the middleware that publishes the copies.
func TestHandlerPastItsDeadlineIsParked(t *testing.T) {
	for _, outermost := range []bool{false, true} {
		t.Run(fmt.Sprintf("outermost %t", outermost), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{})
				publish(t, b, r.w.Queue, named("park", "bury")...)
				var a attempts
				chain := []consumer.Middleware{
					dlq.Middleware(r.copies, r.w, dlq.Config{Logger: quiet}),
					retry.Middleware(r.copies, r.w, retry.Policy{BackOff: retry.Constant(second), Logger: quiet}),
				}
				if deadline := consumer.Timeout(time.Minute); outermost {
					chain = slices.Insert(chain, 0, deadline)
				} else {
					chain = append(chain, deadline)
				}
				run := r.run(t, consumer.Config{Handler: consumer.Chain(func(ctx context.Context, d amqp.Delivery) error {
					if a.add(t, d) > 0 {
						return nil
					}
					<-ctx.Done()
					if d.MessageId == "bury" {
						return retry.Permanent(ctx.Err())
					}
					return ctx.Err()
				}, chain...)})
				r.settled(t)
				if park, bury := a.counts("park"), a.counts("bury"); !slices.Equal(park, []int{0, 1}) || !slices.Equal(bury, []int{0}) {
					t.Errorf("attempts with counts %v and %v", park, bury)
				}
				if l := r.letters(); len(l) != 1 || l[0].Delivery.MessageId != "bury" || l[0].Reason != story.ReasonPermanent {
					t.Errorf("letters %+v", l)
				}
				undisturbed(t, run)
			})
		})
	}
}

// H 4.3, H 4.4: forged x-death and x-delivery-count change nothing, whatever a
// version makes of them; a forged count of our own is poison.
func TestForgedHeaders(t *testing.T) {
	forged := amqp.Table{
		"x-delivery-count": int64(7), "x-first-death-queue": "work", "x-last-death-queue": "work",
		"x-death": []any{amqp.Table{
			"count": int64(99), "queue": "work", "reason": "expired", "exchange": "", "routing-keys": []any{"work"}, "time": time.Unix(0, 0),
		}},
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{Type: kind})
				for id, headers := range map[string]amqp.Table{
					"forged": forged, "plain": nil,
					"poison": {story.HeaderRetryCount: int64(-5)}, "nonsense": {story.HeaderRetryCount: "many"},
				} {
					publish(t, b, r.w.Queue, amqp.Publishing{MessageId: id, Headers: headers})
				}
				var a attempts
				deaths := map[string]any{}
				run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second), MaxRetries: 5}, func(_ context.Context, d amqp.Delivery) error {
					if a.add(t, d) < 5 {
						return errNot
					}
					deaths[d.MessageId] = d.Headers["x-death"]
					return nil
				})
				r.settled(t)
				for _, id := range []string{"forged", "plain"} {
					if got := a.counts(id); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
						t.Errorf("%s: attempts with counts %v", id, got)
					}
					for i, entry := range deaths[id].([]any) { // those of the last stay on the ladder, no more
						if e := entry.(amqp.Table); e["count"] != int64(1) || !topology.IsLadderQueue(fmt.Sprint(e["queue"])) {
							t.Errorf("%s: death %d is %v", id, i, e)
						}
					}
				}
				letters := r.letters()
				if len(letters) != 2 || len(a.all()) != 2 {
					t.Errorf("handled %v, %d letters", a.all(), len(letters))
				}
				for _, l := range letters {
					if l.Reason != story.ReasonMalformed {
						t.Errorf("letter %+v", l)
					}
				}
				undisturbed(t, run)
			})
		})
	}
}

// R 3, R 13: what another user published with its validated user_id is retried
// and buried under ours, and a handler sees the first route at each attempt.
func TestCopiesOfAForeignUser(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := map[string]amqptest.User{"guest": {Password: "guest"}, "other": {Password: "other"}}
				b := amqptest.Config{Version: v, Clock: amqptest.Running, Users: all}.New(t)
				r := newRig(t, b, topology.WorkConfig{Bindings: []topology.Binding{{Source: "amq.topic", Key: "order.#"}}})
				theirs, err := confirm.Open(soon(t), open(t, b, link.Config{URLs: []string{"amqp://other:other@broker/"}}), confirm.Config{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				if err := theirs.Publish(soon(t), "amq.topic", "order.made", amqp.Publishing{MessageId: "m", UserId: "other", Priority: 3}); err != nil {
					t.Fatal(err)
				}
				var a attempts
				run := r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Constant(second), MaxRetries: 2}, func(ctx context.Context, d amqp.Delivery) error {
					n := a.add(t, d)
					raw, restored := consumer.RawRoute(ctx)
					if d.Exchange != "amq.topic" || d.RoutingKey != "order.made" || d.Priority != 3 || restored != (n > 0) || restored && raw.Exchange == "amq.topic" {
						t.Errorf("attempt %d came as %q %q, priority %d; raw route %+v, %t", n, d.Exchange, d.RoutingKey, d.Priority, raw, restored)
					}
					if want := map[bool]string{true: "other"}[n == 0]; d.UserId != want {
						t.Errorf("attempt %d has the user-id %q", n, d.UserId)
					}
					return errNot
				})
				r.settled(t)
				if got := a.counts("m"); !slices.Equal(got, []int{0, 1, 2}) {
					t.Errorf("attempts with counts %v", got)
				}
				if l := r.letters(); len(l) != 1 || l[0].Story.OriginUserID != "other" || l[0].Story.OriginKey != "order.made" || l[0].Story.OriginPriority != 3 {
					t.Errorf("letters %+v", l)
				}
				undisturbed(t, run)
				if err := theirs.Close(soon(t)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// R 2: messages with 40, 100 and 120 KiB of headers, an error text of 200 KiB,
// among neighbours. Nothing pauses, no connection closes, and all that fits is
// kept.
func TestHugeHeaders(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		for id, kib := range map[string]int{"40": 40, "100": 100, "120": 120, "text": 0} {
			publish(t, b, r.w.Queue, amqp.Publishing{MessageId: id, Headers: amqp.Table{"kept": "yes", "huge": strings.Repeat("h", kib<<10)}})
		}
		publish(t, b, r.w.Queue, named(numbers(20)...)...)
		var a attempts
		run := r.start(t, consumer.Config{Workers: 4}, retry.Policy{BackOff: retry.Constant(second), MaxRetries: 2}, func(_ context.Context, d amqp.Delivery) error {
			a.add(t, d)
			switch {
			case d.MessageId == "text":
				return retry.Transient(errors.New(strings.Repeat("é", 100<<10)))
			case d.Headers["kept"] != nil:
				return errNot
			}
			return nil
		})
		r.settled(t)
		undisturbed(t, run)
		if n := len(b.Trace(amqptest.OfKind(amqptest.EventConnectionOpened))); n != 2+5 { // ours, and those that published
			t.Errorf("%d connections", n)
		}
		a.same(t, 20, 0)
		letters := r.letters()
		for _, l := range letters {
			s, huge := l.Story, l.Delivery.Headers["huge"]
			if s.RetryCount != 2 || l.Delivery.Headers["kept"] != "yes" || len(l.Problems) > 0 || len(l.LastError) > 2<<10 {
				t.Errorf("letter %s: %d retries, kept %v, an error text of %d bytes, %v",
					l.Delivery.MessageId, s.RetryCount, l.Delivery.Headers["kept"], len(l.LastError), l.Problems)
			}
			if dropped := l.Delivery.MessageId == "120"; dropped != (huge == nil) || dropped != slices.Contains(s.DroppedHeaders, "huge") {
				t.Errorf("letter %s: huge header there: %t; dropped: %v", l.Delivery.MessageId, huge != nil, s.DroppedHeaders)
			}
		}
		if len(letters) != 4 {
			t.Errorf("%d letters", len(letters))
		}
	})
}

// spoiler spoils the copies of one message with a foreign user_id, so that the
// broker answers each with 406, for ever.
type spoiler struct {
	*confirm.Publisher
	id string
}

func (s spoiler) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	if msg.MessageId == s.id {
		msg.UserId = "somebody-else"
	}
	return s.Publisher.Start(ctx, exchange, key, msg)
}

// R 2: a copy that no time can mend never pauses the queue. Behind a quorum work
// queue the original is rejected into the broker's at-least-once dead-letter
// exchange; a classic one has none, so it is held aside, told, and in the queue
// again when the consumer ends. The neighbours are handled either way.
func TestCopyThatNoTimeCanMend(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				r := newRig(t, b, topology.WorkConfig{Type: kind})
				copies := spoiler{r.copies, "10"}
				publish(t, b, r.w.Queue, named(numbers(40)...)...)
				var a attempts
				run := r.run(t, consumer.Config{Prefetch: 10, Handler: consumer.Chain(
					func(_ context.Context, d amqp.Delivery) error {
						if a.add(t, d); d.MessageId == copies.id {
							return errNot
						}
						return nil
					},
					dlq.Middleware(copies, r.w, dlq.Config{Logger: quiet}),
					retry.Middleware(copies, r.w, retry.Policy{Logger: quiet}),
				)})
				pass(time.Minute)
				a.same(t, 40, 0)
				told := run.Told()
				if aside := told[consumer.HeldAside] == 1; told[consumer.Paused] > 0 || aside != (kind == topology.Classic) {
					t.Errorf("told: %v", told)
				}
				where := r.w.DeadLetterQueue
				if kind == topology.Classic {
					if q, _ := b.Queue("/", r.w.Queue); q.Unacked != 1 {
						t.Errorf("%d unacked, want the one held aside", q.Unacked)
					}
					where = r.w.Queue
				}
				run.Stopped(t)
				if got := r.ids(where); !slices.Equal(got, []string{"10"}) {
					t.Errorf("in %s: %v", where, got)
				}
			})
		})
	}
}

// What each kind of failure comes to, with one retry allowed.
func TestVerdictsOnTheBroker(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		want := map[string]struct {
			reason string
			calls  int
		}{
			"permanent":         {story.ReasonPermanent, 1},
			"backoff-permanent": {story.ReasonPermanent, 1},
			"panic":             {story.ReasonUnexpected, 1},
			"json":              {story.ReasonMalformed, 1},
			"forward":           {story.ReasonUnexpected, 1}, // its own copy is returned
			"transient":         {story.ReasonExhausted, 2},
			"deadline":          {story.ReasonExhausted, 2},
		}
		for id := range want {
			publish(t, b, r.w.Queue, named(id)...)
		}
		var a attempts
		r.start(t, consumer.Config{}, retry.Policy{BackOff: retry.Schedule(second)}, func(ctx context.Context, d amqp.Delivery) error {
			a.add(t, d)
			switch d.MessageId {
			case "permanent":
				return retry.Permanent(context.DeadlineExceeded)
			case "backoff-permanent":
				return backoff.Permanent(errors.New("no"))
			case "panic":
				panic(context.DeadlineExceeded)
			case "json":
				return json.Unmarshal([]byte("{"), &struct{}{})
			case "forward":
				return r.copies.Start(ctx, "", "nobody-home", amqp.Publishing{})
			case "transient":
				return errNot
			}
			return context.DeadlineExceeded
		})
		r.settled(t)
		letters := r.letters()
		for _, l := range letters {
			id := l.Delivery.MessageId
			if want := want[id]; l.Reason != want.reason || len(a.all()[id]) != want.calls {
				t.Errorf("%s: %d calls, reason %s; want %+v", id, len(a.all()[id]), l.Reason, want)
			}
		}
		if len(letters) != len(want) {
			t.Errorf("%d letters, want %d", len(letters), len(want))
		}
	})
}

// A handler forwards the message itself and panics, or fails, with that copy
// under way: it has failed all the same.
func TestAPanicWithACopyIsNoSuccess(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRig(t, b, topology.WorkConfig{})
		publish(t, b, r.w.Queue, named("panics", "forwards")...)
		r.start(t, consumer.Config{}, retry.Policy{}, func(ctx context.Context, d amqp.Delivery) error {
			err := r.copies.Start(ctx, "", r.w.Ladder.Unclaimed(), amqp.Publishing{MessageId: "forwarded"})
			if d.MessageId == "panics" {
				panic(err) // must(...): the rest of the handler does not run
			}
			return err // pending: acked once it is confirmed
		})
		r.settled(t)
		if l := r.letters(); len(l) != 1 || l[0].Delivery.MessageId != "panics" || len(r.ids(r.w.Ladder.Unclaimed())) != 2 {
			t.Errorf("letters %+v", l)
		}
	})
}
