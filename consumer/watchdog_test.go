package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
)

// findings are what a watchdog told.
type findings struct {
	mu  sync.Mutex
	all []consumer.WatchdogEvent
}

func (f *findings) add(e consumer.WatchdogEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, e)
}

// of gives those of one sort, beginnings or ends.
func (f *findings) of(finding consumer.Finding, over bool) []consumer.WatchdogEvent {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.all), func(e consumer.WatchdogEvent) bool { return e.Finding != finding || e.Over != over })
}

// none checks that nothing was found.
func (f *findings) none(t *testing.T) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.all {
		t.Errorf("found: %+v", e)
	}
}

// first waits for the first of one sort, which must be the only one so far.
func (f *findings) first(t *testing.T, finding consumer.Finding, over bool) consumer.WatchdogEvent {
	t.Helper()
	eventually(t, fmt.Sprintf("%s, over: %v", finding, over), func() bool { return len(f.of(finding, over)) > 0 })
	all := f.of(finding, over)
	if len(all) != 1 {
		t.Errorf("%d times %s, want 1", len(all), finding)
	}
	if all[0].At.IsZero() || all[0].Queue == "" {
		t.Errorf("told: %+v", all[0])
	}
	return all[0]
}

func nothing(context.Context, amqp.Delivery) error { return nil }

// tagsOf lists a queue's consumers as the management API does.
func tagsOf(b *amqptest.Broker) func(context.Context, string) ([]string, error) {
	return func(_ context.Context, queue string) ([]string, error) {
		var tags []string
		for _, c := range b.Consumers("/") {
			if c.Queue == queue {
				tags = append(tags, c.Tag)
			}
		}
		return tags, nil
	}
}

// kinds runs a test on each version, with a classic and a quorum queue "q".
func kinds(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	for kind, args := range map[string]amqp.Table{"classic": classic, "quorum": quorum} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", args)
				test(t, b)
			})
		})
	}
}

// The broker forgets the consumer and tells nobody: it subscribes anew, and what
// waited in the queue is handled.
func TestForgottenByTheBroker(t *testing.T) {
	kinds(t, func(t *testing.T, b *amqptest.Broker) {
		var found findings
		var c calls
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Watchdog: consumer.WatchdogConfig{OnEvent: found.add},
			Handler: func(_ context.Context, d amqp.Delivery) error { c.add(d); return nil },
		})
		r.Becomes(t, consumer.Consuming)
		pass(10 * time.Minute)
		found.none(t)
		inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, Queue: "q"})
		fill(t, b, "q", 20)
		began := time.Now()
		e := found.first(t, consumer.Forgotten, false)
		// Two looks; the second is late by what it takes to ask.
		if took := time.Since(began); took < 30*time.Second || took > 70*time.Second {
			t.Errorf("found after %v", took)
		}
		if e.For < 30*time.Second || e.For > 2*time.Minute {
			t.Errorf("known until %v ago", e.For)
		}
		eventually(t, "all are handled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		found.first(t, consumer.Forgotten, true)
		c.once(t, 20)
		if told := r.Told(); told[consumer.Disconnected] != 0 {
			t.Errorf("told: %v", told)
		}
		if n := len(b.Consumers("/")); n != 1 {
			t.Errorf("%d consumers", n)
		}
		pass(time.Hour)
		found.first(t, consumer.Forgotten, false) // once
		r.Stopped(t)
	})
}

// With others on the queue, or with deliveries that it still holds on a quorum
// queue, only the list of tags tells.
func TestForgottenBesideOthers(t *testing.T) {
	kinds(t, func(t *testing.T, b *amqptest.Broker) {
		var found, blind findings
		hold := make(chan struct{})
		cfg := consumer.Config{
			Queue: "q", Workers: 2, Prefetch: 2, Handler: func(context.Context, amqp.Delivery) error { <-hold; return nil },
			Watchdog: consumer.WatchdogConfig{OnEvent: found.add, Consumers: tagsOf(b)},
		}
		r := run(t, open(t, b, link.Config{}), cfg)
		r.Becomes(t, consumer.Consuming)
		fill(t, b, "q", 2)
		pass(time.Minute)
		inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, Queue: "q"})
		cfg.Watchdog = consumer.WatchdogConfig{OnEvent: blind.add}
		other := run(t, open(t, b, link.Config{}), cfg) // as another process would, with the same Tag
		other.Becomes(t, consumer.Consuming)
		found.first(t, consumer.Forgotten, false)
		pass(time.Second)
		close(hold)
		eventually(t, "both consume", func() bool { return len(b.Consumers("/")) == 2 })
		found.first(t, consumer.Forgotten, true)
		left(t, b, "q")
		blind.none(t)
		r.Stopped(t)
		other.Stopped(t)
	})
}

// A consumer that is forgotten before the first look.
func TestForgottenAtOnce(t *testing.T) {
	kinds(t, func(t *testing.T, b *amqptest.Broker) {
		var found findings
		r := run(t, open(t, b, link.Config{}), consumer.Config{Queue: "q", Handler: nothing, Watchdog: consumer.WatchdogConfig{OnEvent: found.add}})
		r.Becomes(t, consumer.Consuming)
		synctest.Wait()
		inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, Queue: "q"})
		pass(10 * time.Minute)
		found.none(t) // so is an empty quorum queue counted whose leader is slow
		fill(t, b, "q", 1)
		found.first(t, consumer.Forgotten, false)
		found.first(t, consumer.Forgotten, true)
		r.Stopped(t)
	})
}

// One look missed the consumer of a session that was then lost: that counts nothing
// against the next.
func TestLooksOfOneSession(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		looks := func() int {
			return len(b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventChannelOpened }))
		}
		r := run(t, open(t, b, link.Config{}), consumer.Config{Queue: "q", Handler: nothing, Watchdog: consumer.WatchdogConfig{OnEvent: found.add}})
		r.Becomes(t, consumer.Consuming)
		synctest.Wait()
		for range 10 {
			inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, Queue: "q"})
			before := looks()
			eventually(t, "a look", func() bool { return looks() > before })
			b.CutConnections()
			eventually(t, "it consumes again", func() bool { return len(b.Consumers("/")) == 1 })
		}
		found.none(t)
		r.Stopped(t)
	})
}

// What looks like a consumer that is gone, and is none.
func TestNotForgotten(t *testing.T) {
	sac := amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true}
	for name, args := range map[string]amqp.Table{
		"classic": classic, "quorum": quorum, "single active": sac, "stream": {"x-queue-type": "stream"},
	} {
		for lists, list := range map[string]func(b *amqptest.Broker) func(context.Context, string) ([]string, error){
			"no list": func(*amqptest.Broker) func(context.Context, string) ([]string, error) { return nil },
			"list":    tagsOf,
			"late list": func(b *amqptest.Broker) func(context.Context, string) ([]string, error) {
				return func(ctx context.Context, queue string) ([]string, error) {
					tags, _ := tagsOf(b)(ctx, queue)
					select {
					case <-time.After(5 * time.Second):
						return tags, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
			},
			"empty list": func(*amqptest.Broker) func(context.Context, string) ([]string, error) {
				return func(context.Context, string) ([]string, error) { return nil, nil }
			},
			"failing list": func(*amqptest.Broker) func(context.Context, string) ([]string, error) {
				return func(context.Context, string) ([]string, error) { return nil, errors.New("503") }
			},
			"hanging list": func(*amqptest.Broker) func(context.Context, string) ([]string, error) {
				return func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
			},
		} {
			t.Run(name+"/"+lists, func(t *testing.T) {
				on40(t, func(t *testing.T, b *amqptest.Broker) {
					declare(t, b, "q", args)
					l := open(t, b, link.Config{})
					var found findings
					var control consumer.Control
					cfg := consumer.Config{Queue: "q", Control: &control, Handler: nothing, Watchdog: consumer.WatchdogConfig{
						Every: 3 * time.Second, Consumers: list(b), OnEvent: found.add,
					}}
					both := []*bubble.Consumer{run(t, l, cfg), run(t, l, cfg)}
					for _, r := range both {
						r.Becomes(t, consumer.Consuming)
					}
					for _, how := range []func(error) func(){control.Hold, control.Pause} {
						pass(5 * time.Minute)
						lift := how(nil)
						pass(5 * time.Minute)
						lift()
					}
					for range 20 { // new subscriptions, at any moment of the looks
						b.CutConnections()
						pass(1700 * time.Millisecond)
					}
					pass(5 * time.Minute)
					found.none(t)
					for _, r := range both {
						r.Stopped(t)
					}
				})
			})
		}
	}
}

// A queue on which nobody lasts is asked, and replaced, ever less often.
func TestForgottenAgainAndAgain(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		r := run(t, open(t, b, link.Config{}), consumer.Config{Queue: "q", Handler: nothing, Watchdog: consumer.WatchdogConfig{OnEvent: found.add}})
		r.Becomes(t, consumer.Consuming)
		pass(time.Minute)
		inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, Queue: "q"})
		always := inject(t, b, amqptest.Fault{Do: amqptest.ForgetConsumers, On: "basic.consume", Queue: "q", Times: -1})
		fill(t, b, "q", 1)
		pass(24 * time.Hour)
		if n := len(found.of(consumer.Forgotten, false)); n < 20 || n > 30 {
			t.Errorf("replaced %d times in a day", n)
		}
		always.Remove()
		eventually(t, "the broker knows it", func() bool { return len(found.of(consumer.Forgotten, true)) == 1 })
		r.Stopped(t)
	})
}

// A consumer that is delivered to asks nothing, and one whose watchdog is off never.
func TestLooksThatAreNotNeeded(t *testing.T) {
	for name, tt := range map[string]struct {
		off, traffic bool
		channels     int // opened in an hour, beside the consumer's own
	}{
		"off":     {off: true},
		"traffic": {traffic: true, channels: 1},
		"idle":    {channels: 120},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", quorum)
				r := run(t, open(t, b, link.Config{}), consumer.Config{Queue: "q", Handler: nothing, Watchdog: consumer.WatchdogConfig{Off: tt.off}})
				r.Becomes(t, consumer.Consuming)
				operate(t, b, func(ch *amqp.Channel) error {
					for range 360 {
						if tt.traffic {
							if err := ch.Publish("", "q", false, false, amqp.Publishing{}); err != nil {
								return err
							}
						}
						pass(10 * time.Second)
					}
					return nil
				})
				opened := b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventChannelOpened })
				// Those of the consumer, of declare and of operate.
				if n := len(opened) - 3; n < tt.channels-1 || n > tt.channels+1 {
					t.Errorf("%d channels were opened to look, want %d", n, tt.channels)
				}
				r.Stopped(t)
			})
		})
	}
}

// A hook, and a list, that do not return hold up the end of Run for a moment only.
func TestWatchdogEndsWithRun(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		release := make(chan struct{})
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", ConsumerTimeout: 3 * time.Hour, Handler: func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return nil }, DrainTimeout: time.Second,
			Watchdog: consumer.WatchdogConfig{
				StuckAfter: time.Minute,
				OnEvent:    func(consumer.WatchdogEvent) { <-release },
				Consumers:  func(context.Context, string) ([]string, error) { <-release; return nil, nil },
			},
		})
		fill(t, b, "q", 1)
		pass(time.Hour)
		began := time.Now()
		r.Stopped(t)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run took %v to end", took)
		}
		close(release)
	})
}

func TestWatchdogConfig(t *testing.T) {
	for _, cfg := range []consumer.WatchdogConfig{{Every: -1}, {StuckAfter: -1}, {Looks: -1}} {
		var wrong *consumer.ConfigError
		err := consumer.Run(t.Context(), nil, consumer.Config{Queue: "q", Handler: nothing, Watchdog: cfg})
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Field, "Watchdog.") || wrong.Fix == "" {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
