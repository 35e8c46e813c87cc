package ordered_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

var errMoment = retry.Transient(errors.New("not now"))

// seconds are the delays of a policy.
func seconds(all ...int) retry.Policy {
	var delays []time.Duration
	for _, s := range all {
		delays = append(delays, time.Duration(s)*time.Second)
	}
	return retry.Policy{BackOff: retry.Schedule(delays...)}
}

func attempts(d amqp.Delivery) int {
	s, err := story.Read(d.Headers)
	if err != nil {
		return -1
	}
	return s.RetryCount + 1
}

// R 9: while the first message of a key is tried again, those behind it wait, and
// other keys of the same partition go on.
func TestAFailingKeyHoldsItsFollowersAndNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "b1", "a3", "b2", "a4", "b3")
		var j journal
		began := time.Now()
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(10, 60), Consumer: consumer.Config{
			Handler: func(_ context.Context, d amqp.Delivery) error {
				n := attempts(d)
				j.add("%s/%d@%v", d.MessageId, n, time.Since(began).Truncate(time.Second))
				if d.MessageId == "a2" && n < 3 {
					return errMoment
				}
				return nil
			},
		}})
		empty(t, b, p)
		j.is(t, "b", "b1/1@0s", "b2/1@0s", "b3/1@0s")
		j.is(t, "a", "a1/1@0s", "a2/1@0s", "a2/2@10s", "a2/3@1m10s", "a3/1@1m10s", "a4/1@1m10s")
		if got := shuffled(b); len(got) > 0 {
			t.Errorf("put out of order: %v", got)
		}
	})
}

// Keys are handled side by side, one message of each at a time.
func TestWorkersShareTheKeys(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		var names []string
		for i := range 5 {
			for _, key := range "abcd" {
				names = append(names, fmt.Sprintf("%c%d", key, i))
			}
		}
		publish(t, b, p, names...)
		began := time.Now()
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Workers: 4, Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s>", d.MessageId)
			<-time.After(time.Second)
			j.add("%s<", d.MessageId)
			return nil
		}}})
		empty(t, b, p)
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("20 messages of a second each, four keys side by side, took %v", took)
		}
		j.is(t, "c", "c0>", "c0<", "c1>", "c1<", "c2>", "c2<", "c3>", "c3<", "c4>", "c4<")
	})
}

// The letter is confirmed before the follower begins, and tells of all attempts.
func TestBuriedBeforeTheFollowersRun(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 2)
		publish(t, b, p, "a1", "a2", "a3", "a4", "a5", "a6")
		// The letter of a4 is refused for a while; a5 has to wait for it.
		if _, err := b.Inject(amqptest.Fault{Do: amqptest.Nack, Key: "orders.dlq", Nth: 4, Times: 3}); err != nil {
			t.Fatal(err)
		}
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(1, 2), Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			letters, _ := b.Queue("/", "orders.dlq")
			j.add("%s/%d letters %d", d.MessageId, attempts(d), letters.Ready)
			switch d.MessageId {
			case "a1":
				return errMoment
			case "a2":
				return retry.Permanent(errors.New("never"))
			case "a3":
				panic("bug")
			case "a4":
				runtime.Goexit()
			}
			return nil
		}}})
		empty(t, b, p)
		j.is(t, "a", "a1/1 letters 0", "a1/2 letters 0", "a1/3 letters 0", "a2/1 letters 1", "a3/1 letters 2", "a4/1 letters 3", "a5/1 letters 4", "a6/1 letters 4")
		letters := b.Messages("/", "orders.dlq")
		if got := ids(letters); !slices.Equal(got, []string{"a1", "a2", "a3", "a4"}) {
			t.Fatalf("letters %v", got)
		}
		_, key := p.Route("a")
		for i, want := range []string{story.ReasonExhausted, story.ReasonPermanent, story.ReasonUnexpected, story.ReasonUnexpected} {
			h := letters[i].Headers
			if h[story.HeaderDeadReason] != want || h[story.HeaderOriginKey] != key || h[story.HeaderOriginQueue] != p.Queue(p.Index("a")) {
				t.Errorf("letter %d: %v", i, h)
			}
		}
		if n := fmt.Sprint(letters[0].Headers[story.HeaderRetryCount]); n != "2" {
			t.Errorf("the letter of a1 tells of %s retries", n)
		}
	})
}

// A message that can be neither handled nor buried holds its key alone.
func TestADeadLetterQueueThatIsGoneHoldsOneKey(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		operate(t, b, func(ch *amqp.Channel) error { _, err := ch.QueueDelete("orders.dlq", false, false, false); return err })
		publish(t, b, p, "a1", "a2", "b1", "b2")
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s", d.MessageId)
			if d.MessageId == "a1" {
				return errors.New("a bug")
			}
			return nil
		}}})
		pass(5 * time.Minute)
		j.is(t, "b", "b1", "b2")
		j.is(t, "a", "a1")
		declare(t, b, 1)
		empty(t, b, p)
		j.is(t, "a", "a1", "a2")
		if got := ids(b.Messages("/", "orders.dlq")); !slices.Equal(got, []string{"a1"}) {
			t.Errorf("letters %v", got)
		}
	})
}

// A broken story is no reason to call the handler; the followers run.
func TestABrokenStoryIsBuried(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publishAs(t, b, p, amqp.Publishing{MessageId: "a1", Headers: amqp.Table{story.HeaderRetryCount: "many"}}, amqp.Publishing{MessageId: "a2"})
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s", d.MessageId)
			return nil
		}}})
		empty(t, b, p)
		j.is(t, "a", "a2")
		if m := b.Messages("/", "orders.dlq"); len(m) != 1 || m[0].Headers[story.HeaderDeadReason] != story.ReasonMalformed {
			t.Errorf("letters %v", m)
		}
	})
}

// A handler that hands its message on is done when that is confirmed; the worker
// is free meanwhile, the key is not.
func TestAPendingErrorOfTheHandler(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "b1", "a2", "b2")
		var j journal
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(5), Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s/%d", d.MessageId, attempts(d))
			if d.MessageId != "a1" {
				return nil
			}
			pending := &later{done: make(chan struct{})}
			if attempts(d) == 1 {
				pending.outcome = errMoment
			}
			time.AfterFunc(time.Minute, func() {
				j.add("%s confirmed", d.MessageId)
				close(pending.done)
			})
			return pending
		}}})
		pass(30 * time.Second)
		j.is(t, "b", "b1/1", "b2/1")
		empty(t, b, p)
		j.is(t, "a", "a1/1", "a1 confirmed", "a1/2", "a1 confirmed", "a2/1")
	})
}

// A breaker that is open postpones: its key waits, and no attempt counts.
func TestPostponed(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2")
		var j journal
		began := time.Now()
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(1), Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s/%d@%v", d.MessageId, attempts(d), time.Since(began).Truncate(time.Second))
			if time.Since(began) < 25*time.Second {
				return postponed(10 * time.Second)
			}
			return nil
		}}})
		empty(t, b, p)
		j.is(t, "a", "a1/1@0s", "a1/1@10s", "a1/1@20s", "a1/1@30s", "a2/1@30s")
	})
}

type postponed time.Duration

func (postponed) Error() string                 { return "the breaker is open" }
func (p postponed) Again(context.Context) error { return p }
func (p postponed) Postpone() time.Duration     { return time.Duration(p) }

type later struct {
	done    chan struct{}
	outcome error
}

func (*later) Error() string           { return "under way" }
func (l *later) Done() <-chan struct{} { return l.done }
func (l *later) Outcome() error        { return l.outcome }

// What came without Route, and what somebody else keys.
func TestKeysOfOthers(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		operate(t, b, func(ch *amqp.Channel) error {
			for _, name := range []string{"a1", "b1", "a2", "b2"} {
				if err := ch.Publish("", p.Queue(0), true, false, amqp.Publishing{MessageId: name, Headers: amqp.Table{"customer": keyOf(name)}}); err != nil {
					return err
				}
			}
			return nil
		})
		var j journal
		begin(t, b, ordered.Config{
			Partitions: p, Retry: seconds(1),
			Key: func(d amqp.Delivery) string { key, _ := d.Headers["customer"].(string); return key },
			Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
				j.add("%s/%d", d.MessageId, attempts(d))
				if strings.HasPrefix(d.MessageId, "a") && attempts(d) == 1 {
					return errMoment
				}
				return nil
			}},
		})
		pass(500 * time.Millisecond)
		j.is(t, "b", "b1/1", "b2/1")
		empty(t, b, p)
		j.is(t, "a", "a1/1", "a1/2", "a2/1", "a2/2")
	})
}
