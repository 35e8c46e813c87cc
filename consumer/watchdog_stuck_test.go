package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// stuckForever is looked for in stacks.
func stuckForever(release <-chan struct{}) { <-release }

// A handler without Timeout that does not return is told once, with its stack, and
// its return. Others go on meanwhile.
func TestStuckHandler(t *testing.T) {
	for how, leave := range map[string]func(){"returns": func() {}, "panics": func() { panic("at last") }, "exits": runtime.Goexit} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, session lost: %v", how, lost), func(t *testing.T) {
				on40(t, func(t *testing.T, b *amqptest.Broker) {
					declare(t, b, "q", quorum)
					var found findings
					var c calls
					release := make(chan struct{})
					var called time.Time
					r := run(t, open(t, b, link.Config{}), consumer.Config{
						Queue: "q", Workers: 2, ConsumerTimeout: 3 * time.Hour, Watchdog: consumer.WatchdogConfig{OnEvent: found.add, StuckAfter: 10 * time.Minute},
						Handler: func(_ context.Context, d amqp.Delivery) error {
							if c.add(d) == 1 && d.MessageId == "3" {
								called = time.Now()
								stuckForever(release)
								leave()
							}
							return nil
						},
					})
					fill(t, b, "q", 10)
					synctest.Wait()
					began := time.Now()
					pass(10*time.Minute - time.Second)
					if lost {
						b.CutConnections()
					}
					found.none(t)
					e := found.first(t, consumer.Stuck, false)
					if took := time.Since(began); took < 10*time.Minute || took > 11*time.Minute+30*time.Second {
						t.Errorf("told after %v", took)
					}
					if e.MessageID != "3" || e.For < 10*time.Minute || e.For > 11*time.Minute {
						t.Errorf("told: %+v", e)
					}
					if !strings.Contains(e.Stack, "stuckForever") || !strings.HasPrefix(e.Stack, "goroutine ") || strings.Contains(e.Stack, "\n\n") {
						t.Errorf("stack:\n%s", e.Stack)
					}
					if c.distinct() != 10 {
						t.Errorf("%d were handled meanwhile", c.distinct())
					}
					pass(time.Hour)
					found.first(t, consumer.Stuck, false) // once
					took := time.Since(called)
					close(release)
					if over := found.first(t, consumer.Stuck, true); over.MessageID != "3" || over.For != took {
						t.Errorf("told: %+v, after %v", over, took)
					}
					eventually(t, "all are settled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
					r.Stopped(t)
				})
			})
		}
	}
}

// Each handler that is stuck is told, with its own stack.
func TestAllHandlersStuck(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Workers: 5, ConsumerTimeout: 3 * time.Hour, DrainTimeout: time.Second, Watchdog: consumer.WatchdogConfig{OnEvent: found.add, StuckAfter: time.Minute},
			Handler: func(ctx context.Context, _ amqp.Delivery) error { <-ctx.Done(); return ctx.Err() },
		})
		fill(t, b, "q", 20)
		pass(2 * time.Hour)
		all := found.of(consumer.Stuck, false)
		heads := map[string]bool{}
		for _, e := range all {
			head, _, _ := strings.Cut(e.Stack, " [")
			heads[head] = true
		}
		if len(all) != 5 || len(heads) != 5 {
			t.Errorf("%d told, %d stacks", len(all), len(heads))
		}
		r.Stopped(t)
	})
}

// A handler under Timeout is stuck when it does not heed the end of its ctx, each
// attempt for itself.
func TestStuckBeyondTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		takes    time.Duration
		attempts int
		found    bool
	}{
		"in time":                  {takes: 59 * time.Second, attempts: 1},
		"three attempts in time":   {takes: 59 * time.Second, attempts: 3},
		"deaf":                     {takes: 10 * time.Minute, attempts: 1, found: true},
		"leaves a moment too late": {takes: time.Minute + 5*time.Second, attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", quorum)
				var found findings
				h := consumer.Timeout(time.Minute)(func(context.Context, amqp.Delivery) error { <-time.After(tt.takes); return nil })
				r := run(t, open(t, b, link.Config{}), consumer.Config{
					Queue: "q", Watchdog: consumer.WatchdogConfig{OnEvent: found.add, Every: 10 * time.Second},
					Handler: func(ctx context.Context, d amqp.Delivery) (err error) {
						for range tt.attempts {
							err = h(ctx, d)
						}
						<-time.After(3 * time.Minute) // middleware, without a deadline
						return err
					},
				})
				fill(t, b, "q", 1)
				eventually(t, "it is handled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
				if !tt.found {
					found.none(t)
				} else {
					e := found.first(t, consumer.Stuck, false)
					if e.For < 70*time.Second || e.For > 81*time.Second {
						t.Errorf("told after %v", e.For)
					}
					found.first(t, consumer.Stuck, true)
				}
				r.Stopped(t)
			})
		})
	}
}

// Middleware keeps a delivery, and calls its handler when the worker has another
// one: the deadline of the first is none of the second.
func TestTimeoutElsewhere(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		h := consumer.Timeout(time.Minute)(func(context.Context, amqp.Delivery) error { <-time.After(5 * time.Minute); return nil })
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Watchdog: consumer.WatchdogConfig{OnEvent: found.add},
			Handler: func(ctx context.Context, d amqp.Delivery) error {
				if d.MessageId == "1" {
					<-time.After(5 * time.Minute)
					return nil
				}
				f := &forwarded{done: make(chan struct{})}
				go func() {
					defer close(f.done)
					<-time.After(time.Second) // the worker has 1
					f.outcome = h(ctx, d)
				}()
				return f
			},
		})
		fill(t, b, "q", 2)
		eventually(t, "both are handled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		found.none(t)
		r.Stopped(t)
	})
}

// The time before a postponement is none of the handler's.
func TestPostponedIsNotStuck(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		var c calls
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", ConsumerTimeout: 100 * time.Hour, Watchdog: consumer.WatchdogConfig{OnEvent: found.add, StuckAfter: 5 * time.Minute, Every: time.Second},
			Handler: func(_ context.Context, d amqp.Delivery) error {
				<-time.After(4 * time.Minute)
				if c.add(d) < 10 {
					return consumer.Postpone(30*time.Minute, nil)
				}
				return nil
			},
		})
		fill(t, b, "q", 1)
		pass(2 * time.Hour) // longer than patience in all
		pass(2 * time.Hour)
		eventually(t, "it is handled", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		found.none(t)
		r.Stopped(t)
	})
}

// blocking holds up whoever logs one text, once.
type blocking struct {
	slog.Handler
	text    string
	release chan struct{}
	once    *sync.Once
}

func (h blocking) Enabled(context.Context, slog.Level) bool { return true }
func (h blocking) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h blocking) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.once.Do(func() { <-h.release })
	}
	return nil
}

// The consumer's own loop is held up: told as stuck, with the stack, and its end.
func TestStuckLoop(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		var failed atomic.Bool
		h := blocking{text: "nothing took its error", release: make(chan struct{}), once: new(sync.Once)}
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Logger: slog.New(h), Watchdog: consumer.WatchdogConfig{OnEvent: found.add},
			Handler: func(context.Context, amqp.Delivery) error {
				if failed.CompareAndSwap(false, true) {
					return errors.New("no")
				}
				return nil
			},
		})
		fill(t, b, "q", 2)
		e := found.first(t, consumer.Stuck, false)
		if e.MessageID != "" || !strings.Contains(e.Stack, "returnLater") || e.For < 30*time.Second {
			t.Errorf("told: %+v", e)
		}
		pass(10 * time.Minute)
		found.first(t, consumer.Stuck, false) // once
		close(h.release)
		if over := found.first(t, consumer.Stuck, true); over.For < 10*time.Minute {
			t.Errorf("told: %+v", over)
		}
		eventually(t, "all are acked", func() bool { q, _ := b.Queue("/", "q"); return q.Ready+q.Unacked == 0 })
		r.Stopped(t)
	})
}
