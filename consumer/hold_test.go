package consumer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/time/rate"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/ratelimit"
	"github.com/hareline/hareline/link"
)

// A hold starts no handler, keeps what was delivered, and counts nothing: many
// of them do not bring a message nearer to the delivery limit.
func TestHoldKeepsWhatWasDelivered(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(3)})
		fill(t, b, "q", 40)
		var c calls
		var control consumer.Control
		release := control.Hold(errWhy)
		r := run(t, l, consumer.Config{Queue: "q", Prefetch: 10, Control: &control, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			<-time.After(10 * time.Second)
			return nil
		}})
		if h := r.Becomes(t, consumer.Paused); !errors.Is(h.Err, errWhy) {
			t.Errorf("told %v", h.Err)
		}
		release()
		r.Becomes(t, consumer.Consuming)
		for range 10 {
			pass(15 * time.Second)
			release, other := control.Hold(nil), control.Hold(errWhy)
			pass(15 * time.Second) // the one that ran is done
			before := c.distinct()
			release()
			release()
			pass(15 * time.Second)
			if got := c.distinct(); got != before || unacked(b, "q") != 10 {
				t.Errorf("%d handlers started while held, %d kept", got-before, unacked(b, "q"))
			}
			other()
		}
		drained(t, b, "q")
		r.Stopped(t)
		c.once(t, 40)
		if got := requeued(b); len(got) > 0 {
			t.Errorf("given back: %v", got)
		}
		if told := r.Told(); told[consumer.Paused] != 10 || told[consumer.Consuming] != 10 {
			t.Errorf("told %v", told)
		}
	})
}

// R 19: a hold that lasts does not run into the broker's consumer timeout, and
// takes nothing from others for ever: at half of it all goes back, in order, and
// nothing is subscribed until the release.
func TestALongHoldEndsTheSubscription(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 20)
		var c calls
		var control consumer.Control
		r := run(t, l, consumer.Config{Queue: "q", Prefetch: 10, Control: &control, Handler: func(_ context.Context, d amqp.Delivery) error {
			c.add(d)
			<-time.After(time.Second)
			return nil
		}})
		r.Becomes(t, consumer.Consuming)
		release := control.Hold(errWhy)
		pass(14 * time.Minute)
		if got := unacked(b, "q"); got < 9 {
			t.Errorf("%d kept after 14 minutes", got)
		}
		pass(4 * time.Minute)
		started := c.distinct()
		left(t, b, "q", numbers(started, 20)...)
		if now := b.Consumers("/"); len(now) != 0 {
			t.Errorf("after 18 minutes: %+v", now)
		}
		pass(30 * time.Minute)
		release()
		drained(t, b, "q")
		r.Stopped(t)
		c.once(t, 20)
		if got := timedOut(b); len(got) > 0 {
			t.Errorf("the broker took it back: %v", got)
		}
		if told := r.Told(); told[consumer.Paused] != 1 || told[consumer.Disconnected] != 0 {
			t.Errorf("told %v", told)
		}
	})
}

// A handler that ran when the hold began, and the deliveries that wait longer
// after it than a worker alone would have made them, do not shrink the prefetch
// for good.
func TestAHoldDoesNotShrinkThePrefetch(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 100)
		var control consumer.Control
		r := run(t, l, consumer.Config{Queue: "q", Prefetch: 10, Control: &control, Handler: func(context.Context, amqp.Delivery) error {
			<-time.After(time.Minute)
			return nil
		}})
		pass(time.Second)
		release := control.Hold(nil)
		pass(13 * time.Minute)
		release()
		drained(t, b, "q")
		if now := b.Consumers("/"); len(now) != 1 || now[0].Prefetch != 10 {
			t.Errorf("in the end: %+v", now)
		}
		r.Stopped(t)
		if got := timedOut(b); len(got) > 0 {
			t.Errorf("the broker took it back: %v", got)
		}
	})
}

// A hold that begins or ends while copies cannot be stored does not silence the
// holds after it.
func TestHealthOfHoldsAroundAPauseForCopies(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		var control consumer.Control
		var stored atomic.Bool
		r := run(t, l, consumer.Config{Queue: "q", Control: &control, Handler: func(context.Context, amqp.Delivery) error {
			return until{&stored}
		}})
		r.Becomes(t, consumer.Consuming)
		fill(t, b, "q", 1)
		r.Becomes(t, consumer.Paused)
		release := control.Hold(errWhy)
		r.Becomes(t, consumer.Paused)
		release()
		synctest.Wait()
		stored.Store(true)
		r.Becomes(t, consumer.Consuming)
		defer control.Hold(errWhy)()
		synctest.Wait()
		if told := r.Told(); told[consumer.Paused] != 1 {
			t.Errorf("told %v of the second hold", told)
		}
		r.Stopped(t)
	})
}

// until is a copy that is stored when its flag is set.
type until struct{ stored *atomic.Bool }

func (until) Error() string { return "not stored" }

func (u until) Again(context.Context) error {
	if u.stored.Load() {
		return nil
	}
	return u
}

// A delivery that waits in middleware when the hold begins is no running handler:
// it waits on, and is handled after the hold.
func TestAHoldIsForThoseWhoWaitInMiddleware(t *testing.T) {
	for name, middleware := range map[string]func() consumer.Middleware{
		"concurrency": func() consumer.Middleware { return consumer.Concurrency(1) },
		"rate": func() consumer.Middleware {
			return ratelimit.Middleware(rate.NewLimiter(rate.Every(10*time.Second), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", quorum)
				fill(t, b, "q", 3)
				var control consumer.Control
				var c calls
				r := run(t, l, consumer.Config{Queue: "q", Workers: 3, Control: &control, Handler: middleware()(func(_ context.Context, d amqp.Delivery) error {
					c.add(d)
					<-time.After(10 * time.Second)
					return nil
				})})
				pass(time.Second)
				release := control.Hold(nil)
				pass(5 * time.Minute)
				if got := c.distinct(); got != 1 {
					t.Errorf("%d handlers started, want the one before the hold", got)
				}
				release()
				pass(5 * time.Minute)
				r.Stopped(t)
				c.once(t, 3)
				if got := requeued(b); len(got) > 0 {
					t.Errorf("given back: %v", got)
				}
			})
		})
	}
}
