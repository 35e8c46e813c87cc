package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/time/rate"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/ratelimit"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// One a minute, whatever the workers; the prefetch waits, and never reaches the
// broker's consumer timeout (R 19). Another rate
// holds from the next one on.
func TestRateLimit(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 60)
		var c calls
		limiter := rate.NewLimiter(rate.Every(time.Minute), 1)
		h := ratelimit.Middleware(limiter)(chain(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil }))
		r := run(t, l, consumer.Config{Queue: w.Queue, Workers: 4, Prefetch: 40, Handler: h})
		pass(30*time.Minute - time.Second)
		if got := c.distinct(); got != 30 {
			t.Errorf("%d in half an hour", got)
		}
		limiter.SetLimit(rate.Inf)
		drained(t, b, w.Queue)
		r.Stopped(t)
		c.once(t, 60)
		left(t, b, w.DeadLetterQueue)
		if got := timedOut(b); len(got) > 0 {
			t.Errorf("the broker took it back: %v", got)
		}
	})
}

// A limiter for each customer: the one who has a backlog does not hold up the
// other.
func TestRateLimitByKey(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 40)
		var c calls
		loud := rate.NewLimiter(rate.Every(time.Second), 1)
		by := ratelimit.By(func(d amqp.Delivery) *rate.Limiter {
			if d.MessageId < "3" { // 0, 1, 2, 1x, 2x: 23 of them
				return loud
			}
			return nil
		})
		h := by(chain(copies, w, retry.Policy{}, func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil }))
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
		pass(500 * time.Millisecond)
		if got := c.distinct(); got != 17+1 {
			t.Errorf("%d at once", got)
		}
		pass(10 * time.Second)
		if got := c.distinct(); got != 17+11 {
			t.Errorf("%d after ten seconds", got)
		}
		drained(t, b, w.Queue)
		r.Stopped(t)
		c.once(t, 40)
		left(t, b, w.DeadLetterQueue)
	})
}

// The drain does not wait for a turn that comes in an hour, nor start a handler
// by it.
func TestRateLimitAtTheDrain(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		declare(t, b, "q", quorum)
		fill(t, b, "q", 4)
		h := ratelimit.Middleware(rate.NewLimiter(rate.Every(time.Hour), 1))(func(context.Context, amqp.Delivery) error { return nil })
		r := run(t, l, consumer.Config{Queue: "q", Workers: 2, Handler: h})
		pass(time.Minute)
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took != 0 {
			t.Errorf("the drain took %v", took)
		}
		if got := len(b.Messages("/", "q")); got != 3 {
			t.Errorf("%d left", got)
		}
	})
}

// A limiter that lets nothing through buries nothing.
func TestRateLimitOfNothing(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w, copies := work(t, l, topology.WorkConfig{})
		fill(t, b, w.Queue, 3)
		never := rate.NewLimiter(1, 0)
		h := ratelimit.Middleware(never)(ratelimit.By(func(amqp.Delivery) *rate.Limiter { return never })(
			chain(copies, w, retry.Policy{}, func(context.Context, amqp.Delivery) error { return nil })))
		r := run(t, l, consumer.Config{Queue: w.Queue, Handler: h})
		pass(time.Minute)
		r.Stopped(t)
		left(t, b, w.Queue, numbers(0, 3)...)
		left(t, b, w.DeadLetterQueue)
	})
}

// One limit for two consumers; what waits at the drain is not started.
func TestConcurrency(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		var at, peak atomic.Int32
		var c calls
		three := consumer.Concurrency(3)
		var all []*bubble.Consumer
		for _, q := range []string{"a", "b"} {
			declare(t, b, q, quorum)
			fill(t, b, q, 20)
			h := consumer.Chain(func(_ context.Context, d amqp.Delivery) error {
				peak.Store(max(peak.Load(), at.Add(1)))
				defer at.Add(-1)
				<-time.After(time.Second)
				c.add(d)
				return nil
			}, three)
			all = append(all, run(t, l, consumer.Config{Queue: q, Workers: 5, Handler: h}))
		}
		drained(t, b, "a")
		drained(t, b, "b")
		fill(t, b, "a", 20)
		pass(500 * time.Millisecond)
		began := time.Now()
		for _, r := range all {
			r.Stopped(t)
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("the drain took %v, those at work half a second", took)
		}
		if got := len(b.Messages("/", "a")); got != 17 { // which three were handled is for the workers to settle
			t.Errorf("%d left", got)
		}
		if got := peak.Load(); got != 3 {
			t.Errorf("%d at once", got)
		}
	})
}

func TestFilter(t *testing.T) {
	var got []string
	note := func(name string) consumer.Handler {
		return func(_ context.Context, d amqp.Delivery) error { got = append(got, name+d.MessageId); return nil }
	}
	match := func(d amqp.Delivery) bool { return d.Type == "order" }
	for _, h := range []consumer.Handler{
		consumer.Chain(note("h"), consumer.Filter(match, note("o"))),
		consumer.Chain(note("h"), consumer.Filter(match, nil)),
	} {
		for _, d := range []amqp.Delivery{{MessageId: "1", Type: "order"}, {MessageId: "2"}} {
			if err := h(t.Context(), d); err != nil {
				t.Error(err)
			}
		}
	}
	if len(got) != 3 || got[0] != "h1" || got[1] != "o2" || got[2] != "h1" {
		t.Errorf("%v", got)
	}
}

// A new rate holds for who waits already, also after one of zero.
func TestANewRateIsForThoseWhoWaitToo(t *testing.T) {
	for name, limit := range map[string]rate.Limit{"none": 0, "one a day": rate.Every(24 * time.Hour)} {
		for kind, m := range map[string]func(*rate.Limiter) consumer.Middleware{
			"all": ratelimit.Middleware,
			"by": func(l *rate.Limiter) consumer.Middleware {
				return ratelimit.By(func(amqp.Delivery) *rate.Limiter { return l })
			},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				on40(t, func(t *testing.T, b *amqptest.Broker) {
					l := open(t, b, link.Config{})
					declare(t, b, "q", quorum)
					fill(t, b, "q", 10)
					var c calls
					limiter := rate.NewLimiter(limit, 1)
					r := run(t, l, consumer.Config{Queue: "q", Workers: 2, Handler: m(limiter)(func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil })})
					pass(time.Minute)
					if got := c.distinct(); got != 1 {
						t.Errorf("%d at that rate", got)
					}
					limiter.SetLimit(10)
					pass(5 * time.Second)
					if got := c.distinct(); got != 10 {
						t.Errorf("%d at the new one", got)
					}
					r.Stopped(t)
				})
			})
		}
	}
}

// By lets through what the limiter allows, though many ask it again and again.
func TestRateLimitByReachesItsRate(t *testing.T) {
	for _, tc := range []struct {
		rate rate.Limit
		d    time.Duration
	}{{50, 10 * time.Second}, {1, 2 * time.Minute}, {rate.Every(10 * time.Second), 20 * time.Minute}} {
		t.Run(fmt.Sprint(tc.rate), func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				declare(t, b, "q", quorum)
				fill(t, b, "q", 1000)
				var c calls
				limiter := rate.NewLimiter(tc.rate, 1)
				by := ratelimit.By(func(amqp.Delivery) *rate.Limiter { return limiter })
				r := run(t, l, consumer.Config{Queue: "q", Workers: 8, Handler: by(func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil })})
				pass(tc.d)
				want := float64(tc.rate) * tc.d.Seconds()
				if got := float64(c.distinct()); got < 0.8*want || got > want+2 {
					t.Errorf("%v in %v, want about %v", got, tc.d, want)
				}
				r.Stopped(t)
			})
		})
	}
}
