package ordered_test

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
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
)

// R 8: the drain lets handlers finish, does not wait for what is held, and leaves
// all of it to the next process in its order.
func TestDrainLeavesTheOrder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "b1", "a2", "b2", "a3", "b3", "c1", "c2")
		var j journal
		cfg := ordered.Config{Partitions: p, Retry: seconds(600), Consumer: consumer.Config{Workers: 2, Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s", d.MessageId)
			switch d.MessageId {
			case "a1":
				return errMoment
			case "c1":
				<-time.After(10 * time.Second)
			case "b1":
				<-time.After(9 * time.Second)
				return errors.New("a failure in the drain is left to the next one")
			}
			return nil
		}}}
		first := begin(t, b, cfg)
		pass(5 * time.Second)
		began := time.Now()
		first.stopped(t)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the drain took %v; the handler of c1 5 s", took)
		}
		if got := ids(b.Messages("/", p.Queue(0))); !slices.Equal(got, []string{"a1", "b1", "a2", "b2", "a3", "b3", "c2"}) {
			t.Errorf("left: %v", got)
		}
		if got := shuffled(b); len(got) > 0 {
			t.Errorf("put out of order: %v", got)
		}
		var next journal
		cfg.Consumer.Handler = func(_ context.Context, d amqp.Delivery) error { next.add("%s", d.MessageId); return nil }
		begin(t, b, cfg)
		empty(t, b, p)
		next.is(t, "a", "a1", "a2", "a3")
		next.is(t, "b", "b1", "b2", "b3")
		next.is(t, "c", "c2")
	})
}

// A lost session: nothing of it begins any more, retries neither; handlers are
// told; and in one process a key's next handler waits for the last one.
func TestALostSessionBeginsNothing(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "b1", "b2", "c1", "c2")
		var j journal
		var inC, most atomic.Int32
		told := make(chan error, 1)
		cut := make(chan struct{})
		isCut := func() bool {
			select {
			case <-cut:
				return true
			default:
				return false
			}
		}
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(60, 60), Consumer: consumer.Config{Workers: 3, Handler: func(ctx context.Context, d amqp.Delivery) error {
			j.add("%s/%d redelivered %t", d.MessageId, attempts(d), d.Redelivered)
			switch {
			case d.MessageId == "a1" && !isCut():
				return errMoment
			case d.MessageId == "b1" && !isCut(): // watches its ctx
				<-ctx.Done()
				told <- context.Cause(ctx)
				return ctx.Err()
			case d.MessageId[0] == 'c': // does not
				most.Store(max(most.Load(), inC.Add(1)))
				<-time.After(20 * time.Second)
				inC.Add(-1)
			}
			return nil
		}}})
		pass(10 * time.Second)
		close(cut)
		b.CutConnections()
		pass(9 * time.Second)
		var shutdown interface{ Shutdown() bool }
		if cause := <-told; !errors.As(cause, &shutdown) || !shutdown.Shutdown() {
			t.Errorf("cause %v", cause)
		}
		j.is(t, "a", "a1/1 redelivered false", "a1/1 redelivered true", "a2/1 redelivered true")
		j.is(t, "b", "b1/1 redelivered false", "b1/1 redelivered true", "b2/1 redelivered true")
		j.is(t, "c", "c1/1 redelivered false")
		empty(t, b, p)
		j.is(t, "c", "c1/1 redelivered false", "c1/1 redelivered true", "c2/1 redelivered true")
		if most.Load() != 1 {
			t.Errorf("%d handlers of one key at once", most.Load())
		}
		if q, _ := b.Queue("/", "orders.dlq"); q.Ready != 0 {
			t.Errorf("%d letters", q.Ready)
		}
	})
}

// F 31: connections that are lost in a row, before anything is settled, do not
// lower the prefetch: that would put messages out of order.
func TestCutsInARowKeepTheOrder(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "a3", "a4", "a5", "a6")
		var j journal
		var works atomic.Bool
		begin(t, b, ordered.Config{Partitions: p, Consumer: consumer.Config{Prefetch: 5, Handler: func(ctx context.Context, d amqp.Delivery) error {
			if !works.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			j.add("%s", d.MessageId)
			return nil
		}}})
		for range 4 {
			pass(time.Minute)
			b.CutConnections()
		}
		works.Store(true)
		empty(t, b, p)
		j.is(t, "a", "a1", "a2", "a3", "a4", "a5", "a6")
	})
}

// Another process takes over where the first one was cut off.
func TestTakeOver(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 2)
		var j journal
		cfg := func(name string) ordered.Config {
			return ordered.Config{Partitions: p, Retry: seconds(1, 1, 1), Consumer: consumer.Config{Handler: func(_ context.Context, d amqp.Delivery) error {
				<-time.After(300 * time.Millisecond)
				if d.MessageId == "a3" && name == "first" {
					return errMoment
				}
				j.add("%s by %s", d.MessageId, name)
				return nil
			}}}
		}
		first := begin(t, b, cfg("first"))
		second := begin(t, b, cfg("second"))
		publish(t, b, p, "a1", "a2", "a3", "a4", "a5", "a6")
		pass(1500 * time.Millisecond)
		for _, s := range second.consumer.Stats() {
			if s.Keys > 0 {
				t.Errorf("both are active: %+v", s)
			}
		}
		first.stopped(t)
		empty(t, b, p)
		j.is(t, "a", "a1 by first", "a2 by first", "a3 by second", "a4 by second", "a5 by second", "a6 by second")
	})
}

// R 19: what is held for half of the consumer timeout goes back in order, in time,
// and its key goes on.
func TestHeldTooLong(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1", "a2", "b1", "a3", "b2")
		const timeout = 20 * time.Minute
		var j journal
		began := time.Now()
		proc := begin(t, b, ordered.Config{Partitions: p, Retry: seconds(240, 240), Consumer: consumer.Config{
			ConsumerTimeout: timeout,
			Handler: func(_ context.Context, d amqp.Delivery) error {
				j.add("%s/%d", d.MessageId, attempts(d))
				if d.MessageId[0] == 'a' {
					return errMoment
				}
				return nil
			},
		}})
		empty(t, b, p)
		if took := time.Since(began); took > 3*timeout {
			t.Errorf("took %v", took)
		}
		j.is(t, "b", "b1/1", "b2/1")
		// 8 min for each message's three attempts: a2 was cut in its second, and
		// began anew.
		j.is(t, "a", "a1/1", "a1/2", "a1/3", "a2/1", "a2/1", "a2/2", "a2/3", "a3/1", "a3/1", "a3/2", "a3/3")
		if got := ids(b.Messages("/", "orders.dlq")); !slices.Equal(got, []string{"a1", "a2", "a3"}) {
			t.Errorf("letters %v", got)
		}
		if got := shuffled(b); len(got) > 0 {
			t.Errorf("put out of order: %v", got)
		}
		if proc.told(consumer.Disconnected) > 0 {
			t.Error("a session was lost: the broker's timeout came first")
		}
	})
}

// A delay that the handler asks for is cut to what the consumer timeout allows.
func TestALongDelayIsCut(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		publish(t, b, p, "a1")
		var j journal
		began := time.Now()
		begin(t, b, ordered.Config{Partitions: p, Retry: seconds(1, 1, 1), Consumer: consumer.Config{ConsumerTimeout: time.Hour, Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("a@%v", time.Since(began).Truncate(time.Second))
			return retry.After(errors.New("come back later"), 20*time.Minute)
		}}})
		empty(t, b, p)
		j.is(t, "a", "a@0s", "a@20m0s", "a@30m0s", "a@30m0s")
		if q, _ := b.Queue("/", "orders.dlq"); q.Ready != 1 {
			t.Errorf("%d letters", q.Ready)
		}
	})
}

// Beyond MaxHeld the partition waits: keys that have failed are tried again, no
// other begins.
func TestMaxHeld(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		p := declare(t, b, 1)
		var names []string
		for key := 'a'; key <= 'j'; key++ {
			names = append(names, fmt.Sprintf("%c1", key))
		}
		publish(t, b, p, names...)
		var j journal
		var works atomic.Bool
		proc := begin(t, b, ordered.Config{Partitions: p, MaxHeld: 3, Retry: seconds(60, 60, 60), Consumer: consumer.Config{Workers: 1, Prefetch: 6, Handler: func(_ context.Context, d amqp.Delivery) error {
			j.add("%s/%d", d.MessageId, attempts(d))
			if works.Load() {
				return nil
			}
			return errMoment
		}}})
		pass(90 * time.Second)
		stat := proc.consumer.Stats()[0]
		if !stat.Waiting || stat.Held != 3 || stat.Failing != 3 || stat.Keys != 6 || stat.Running != 0 || time.Since(stat.Oldest) != 90*time.Second || stat.Queue != p.Queue(0) {
			t.Errorf("state %+v", stat)
		}
		if n := proc.told(ordered.Waiting); n != 1 {
			t.Errorf("told %d times that it waits", n)
		}
		for _, key := range []string{"a", "b", "c"} {
			j.is(t, key, key+"1/1", key+"1/2")
		}
		j.is(t, "d")
		before := proc.told(consumer.Consuming)
		works.Store(true)
		empty(t, b, p)
		j.is(t, "d", "d1/1")
		if proc.told(consumer.Consuming) != before+1 {
			t.Error("not told that it goes on")
		}
		if stat := proc.consumer.Stats()[0]; stat != (ordered.Stat{Queue: p.Queue(0)}) {
			t.Errorf("state at the end %+v", stat)
		}
	})
}
