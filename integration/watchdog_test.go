package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// events are what a watchdog told.
type events struct {
	mu  sync.Mutex
	all []consumer.WatchdogEvent
}

func (e *events) add(one consumer.WatchdogEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

func (e *events) of(finding consumer.Finding, over bool) []consumer.WatchdogEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.all), func(one consumer.WatchdogEvent) bool { return one.Finding != finding || one.Over != over })
}

func (e *events) until(t *testing.T, finding consumer.Finding, over bool) consumer.WatchdogEvent {
	t.Helper()
	brokertest.Eventually(t, patience, func() error {
		if len(e.of(finding, over)) == 0 {
			return fmt.Errorf("%s (over: %v) was not told", finding, over)
		}
		return nil
	})
	return e.of(finding, over)[0]
}

// tagsOf asks the management API for the tags of a queue's consumers.
func tagsOf(b *brokertest.Broker) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, queue string) ([]string, error) {
		var q struct {
			Details []struct {
				Tag string `json:"consumer_tag"`
			} `json:"consumer_details"`
		}
		if err := b.API().Do(ctx, http.MethodGet, "/queues/"+url.PathEscape(b.VHost)+"/"+url.PathEscape(queue), nil, &q); err != nil {
			return nil, err
		}
		var tags []string
		for _, d := range q.Details {
			tags = append(tags, d.Tag)
		}
		return tags, nil
	}
}

var queueKinds = map[string]amqp.Table{"classic": {"x-queue-type": "classic"}, "quorum": {"x-queue-type": "quorum"}}

// The broker forgets a consumer: it subscribes anew, and what came meanwhile is
// handled.
func TestForgottenConsumer(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		for kind, args := range queueKinds {
			t.Run(kind, func(t *testing.T) {
				l := open(t, link.Config{URLs: []string{b.URL}})
				declareQueue(t, l, kind, args)
				var told events
				handled := newTally()
				r := run(t, l, consumer.Config{
					Queue: kind, Watchdog: consumer.WatchdogConfig{Every: time.Second, OnEvent: told.add},
					Handler: func(_ context.Context, d amqp.Delivery) error { handled.add(d.MessageId); return nil },
				})
				awaitConsumers(t, l, kind, 1)
				<-time.After(3 * time.Second) // a queue that was never seen to count a consumer is not believed
				b.ForgetConsumers(t, kind)
				awaitConsumers(t, l, kind, 0)
				do(t, l, func(ch *amqp.Channel) error {
					return ch.Publish("", kind, false, false, amqp.Publishing{MessageId: "1"})
				})
				told.until(t, consumer.Forgotten, false)
				handled.until(t, "it is handled", func() bool { return handled.distinct() == 1 })
				told.until(t, consumer.Forgotten, true)
				if n := len(told.of(consumer.Forgotten, false)); n != 1 {
					t.Errorf("told %d times", n)
				}
				if err := r.stopped(t); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// Beside another consumer, and with deliveries that it still holds, the list of the
// management API tells. It is late, which takes nobody for forgotten, a waiting
// consumer of a single active one neither.
func TestForgottenConsumerInTheList(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		sac := amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true}
		type pair struct {
			told  [2]events
			looks [2]chan []string
			both  [2]*running
		}
		pairs := map[string]*pair{}
		hold := make(chan struct{})
		for kind, args := range map[string]amqp.Table{"classic": queueKinds["classic"], "quorum": queueKinds["quorum"], "sac": sac} {
			declareQueue(t, l, kind, args)
			p := &pair{}
			pairs[kind] = p
			for i := range p.both {
				p.looks[i] = make(chan []string, 1000)
				p.both[i] = run(t, l, consumer.Config{
					Queue: kind, Tag: fmt.Sprint(kind, i), Handler: func(context.Context, amqp.Delivery) error { <-hold; return nil }, Prefetch: 1,
					Watchdog: consumer.WatchdogConfig{
						Every: time.Second, OnEvent: p.told[i].add,
						Consumers: func(ctx context.Context, queue string) ([]string, error) {
							tags, err := tagsOf(b)(ctx, queue)
							p.looks[i] <- tags
							return tags, err
						},
					},
				})
			}
		}
		publish := func(kind string, n int) {
			do(t, l, func(ch *amqp.Channel) error {
				for range n {
					if err := ch.Publish("", kind, false, false, amqp.Publishing{}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for kind, p := range pairs {
			publish(kind, 2)
			for i := range p.looks {
				var tags []string
				for range 20 { // longer than the list may be late
					tags = wait(t, p.looks[i], "a look")
				}
				if len(tags) != 2 { // one that waits to become active, too
					t.Errorf("%s: listed: %v", kind, tags)
				}
				if all := p.told[i].of(consumer.Forgotten, false); len(all) > 0 {
					t.Errorf("%s: found without a reason: %v", kind, all)
				}
			}
		}
		for _, kind := range []string{"classic", "quorum"} {
			b.ForgetConsumers(t, kind)
			for i := range pairs[kind].told {
				pairs[kind].told[i].until(t, consumer.Forgotten, false)
			}
		}
		close(hold)
		for _, kind := range []string{"classic", "quorum"} {
			for i := range pairs[kind].told {
				pairs[kind].told[i].until(t, consumer.Forgotten, true)
				if n := len(pairs[kind].told[i].of(consumer.Forgotten, false)); n != 1 {
					t.Errorf("%s: told %d times", kind, n)
				}
			}
		}
		for kind, p := range pairs {
			for i := range p.both {
				if kind == "sac" && len(p.told[i].of(consumer.Forgotten, false)) > 0 {
					t.Errorf("%s: told: %v", kind, p.told[i].all)
				}
				if err := p.both[i].stopped(t); err != nil {
					t.Error(err)
				}
			}
			if n := depth(t, l, kind); n != 0 {
				t.Errorf("%s: %d are left", kind, n)
			}
		}
	})
}

// A handler is stuck; copies are not confirmed; and the consumer of a stream, which
// counts none, is not taken for forgotten.
func TestStuckAndUnsettled(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}})
		declareQueue(t, l, "stuck", queueKinds["quorum"])
		declareQueue(t, l, "unsettled", queueKinds["quorum"])
		declareQueue(t, l, "stream", amqp.Table{"x-queue-type": "stream"})
		fill := func(queue string, n int) {
			do(t, l, func(ch *amqp.Channel) error {
				for i := range n {
					if err := ch.Publish("", queue, false, false, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		var stuck, unsettled, stream events
		release := make(chan struct{})
		handled := newTally()
		of := func(queue string, told *events, h consumer.Handler) *running {
			return run(t, l, consumer.Config{
				Queue: queue, Workers: 2, Prefetch: 10, Handler: h,
				Watchdog: consumer.WatchdogConfig{Every: 500 * time.Millisecond, StuckAfter: 2 * time.Second, OnEvent: told.add},
			})
		}
		all := []*running{
			of("stuck", &stuck, func(_ context.Context, d amqp.Delivery) error {
				if d.MessageId == "3" {
					<-release
				}
				handled.add(d.MessageId)
				return nil
			}),
			of("unsettled", &unsettled, func(context.Context, amqp.Delivery) error { return never{release} }),
			of("stream", &stream, func(context.Context, amqp.Delivery) error { return nil }),
		}
		fill("stuck", 20)
		fill("unsettled", 20)
		fill("stream", 20)
		s := stuck.until(t, consumer.Stuck, false)
		if s.MessageID != "3" || s.For < 2*time.Second || !strings.Contains(s.Stack, "TestStuckAndUnsettled") {
			t.Errorf("told: %+v", s)
		}
		u := unsettled.until(t, consumer.Unsettled, false)
		if u.MessageID != "0" || u.Unsettled.Pending != 10 || u.For < time.Second {
			t.Errorf("told: %+v", u)
		}
		handled.until(t, "the others are handled", func() bool { return handled.distinct() == 19 })
		close(release)
		stuck.until(t, consumer.Stuck, true)
		unsettled.until(t, consumer.Unsettled, true)
		if f := stream.of(consumer.Forgotten, false); len(f) > 0 {
			t.Errorf("stream: %+v", f)
		}
		for _, r := range all {
			if err := r.stopped(t); err != nil {
				t.Error(err)
			}
		}
		if n := depth(t, l, "unsettled") + depth(t, l, "stuck"); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// never is a copy that is confirmed only at the end of the test.
type never struct{ done <-chan struct{} }

func (never) Error() string           { return "a copy is under way" }
func (n never) Done() <-chan struct{} { return n.done }
func (never) Outcome() error          { return nil }

// awaitConsumers waits until the queue counts that many.
func awaitConsumers(t *testing.T, l *link.Link, queue string, want int) {
	t.Helper()
	brokertest.Eventually(t, patience, func() (err error) {
		do(t, l, func(ch *amqp.Channel) error {
			q, err2 := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			if q.Consumers != want {
				err = fmt.Errorf("%d consumers, want %d", q.Consumers, want)
			}
			return err2
		})
		return err
	})
}
