package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// hopelessAside can be neither copied nor rejected.
type hopelessAside struct{}

func (hopelessAside) Error() string { return "no time mends it" }
func (hopelessAside) Reject() bool  { return false }

// What keeps deliveries is told with its kind, their oldest, and the end.
func TestUnsettled(t *testing.T) {
	type state struct{ release chan struct{} }
	for name, tt := range map[string]struct {
		result func(ctx context.Context, s *state) error
		of     func(consumer.UnsettledCounts) int
		ends   bool
	}{
		"pending": {
			result: func(_ context.Context, s *state) error { return &forwarded{done: s.release} },
			of:     func(u consumer.UnsettledCounts) int { return u.Pending }, ends: true,
		},
		"postponed": {
			result: func(_ context.Context, s *state) error {
				select {
				case <-s.release:
					return nil
				default:
					return consumer.Postpone(time.Second, nil)
				}
			},
			of: func(u consumer.UnsettledCounts) int { return u.Postponed + u.Running + u.Waiting }, ends: true,
		},
		"held aside": {
			result: func(context.Context, *state) error { return hopelessAside{} },
			of:     func(u consumer.UnsettledCounts) int { return u.HeldAside },
		},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", quorum)
				var found findings
				s := state{release: make(chan struct{})}
				r := run(t, open(t, b, link.Config{}), consumer.Config{
					Queue: "q", Prefetch: 10, DrainTimeout: time.Second, Watchdog: consumer.WatchdogConfig{OnEvent: found.add},
					Handler: func(ctx context.Context, _ amqp.Delivery) error { return tt.result(ctx, &s) },
				})
				for i := range 5 {
					publish(t, b, "q", amqp.Publishing{MessageId: fmt.Sprint(i)})
					pass(20 * time.Second)
				}
				e := found.first(t, consumer.Unsettled, false)
				if n := tt.of(e.Unsettled); n < 5 || e.Unsettled.Prefetch != 10 || e.MessageID != "0" || e.For < 70*time.Second || e.For > 10*time.Minute {
					t.Errorf("told: %+v", e)
				}
				if tt.ends {
					close(s.release)
				} else {
					b.CutConnections()
				}
				found.first(t, consumer.Unsettled, true)
				r.Stopped(t)
			})
		})
	}
}

// Deliveries that come at once and fill the prefetch do not grow further.
func TestUnsettledAtOnce(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		release := make(chan struct{})
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Prefetch: 10, Watchdog: consumer.WatchdogConfig{OnEvent: found.add, Looks: 5},
			Handler: func(context.Context, amqp.Delivery) error { return &forwarded{done: release} },
		})
		r.Becomes(t, consumer.Consuming)
		fill(t, b, "q", 50)
		began := time.Now()
		e := found.first(t, consumer.Unsettled, false)
		if took := time.Since(began); e.Unsettled.Pending != 10 || took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("after %v: %+v", took, e)
		}
		pass(10 * time.Minute)
		found.first(t, consumer.Unsettled, false) // once
		close(release)
		found.first(t, consumer.Unsettled, true)
		r.Stopped(t)
	})
}

// What is unsettled for a while, and no finding.
func TestNotUnsettled(t *testing.T) {
	for name, tt := range map[string]struct {
		handle func(ctx context.Context, d amqp.Delivery) error
		told   consumer.Status
	}{
		"slow handlers": {handle: func(context.Context, amqp.Delivery) error { <-time.After(9 * time.Minute); return nil }},
		"copies that take a minute": {handle: func(ctx context.Context, _ amqp.Delivery) error {
			return forward(ctx, time.Minute)
		}},
		"a copy that is never confirmed, among others": {handle: func(_ context.Context, d amqp.Delivery) error {
			if d.MessageId == "3" {
				return &forwarded{done: make(chan struct{})}
			}
			<-time.After(25 * time.Second)
			return nil
		}},
		"handlers behind pending errors": {handle: func(ctx context.Context, _ amqp.Delivery) error {
			s, _ := consumer.SubscriptionOf(ctx)
			end, ok := s.Begin()
			if !ok {
				return errors.New("late")
			}
			f := forward(context.Background(), 12*time.Minute)
			go func() { <-f.done; end() }()
			return f
		}},
		"copies that cannot be stored": {handle: func(context.Context, amqp.Delivery) error { return again{} }, told: consumer.Paused},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", quorum)
				var found findings
				r := run(t, open(t, b, link.Config{}), consumer.Config{
					Queue: "q", Workers: 4, Prefetch: 8, DrainTimeout: time.Second, Handler: tt.handle, Watchdog: consumer.WatchdogConfig{OnEvent: found.add},
				})
				operate(t, b, func(ch *amqp.Channel) error {
					for i := range 30 {
						if err := ch.Publish("", "q", false, false, amqp.Publishing{MessageId: fmt.Sprint(i)}); err != nil {
							return err
						}
						pass(20 * time.Second)
					}
					return nil
				})
				found.none(t)
				if told := r.Told(); tt.told != "" && told[tt.told] == 0 {
					t.Errorf("told: %v", told)
				}
				r.Stop()
				_ = r.Wait(t) // some do not heed their ctx
				pass(time.Hour)
			})
		})
	}
}

// again is a copy that can never be stored for now.
type again struct{}

func (again) Error() string               { return "the ladder is away" }
func (again) Again(context.Context) error { return again{} }

// Handlers behind pending errors have the time of a handler, and no more.
func TestUnsettledBehindHandlers(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", quorum)
		var found findings
		release := make(chan struct{})
		r := run(t, open(t, b, link.Config{}), consumer.Config{
			Queue: "q", Prefetch: 8, Watchdog: consumer.WatchdogConfig{OnEvent: found.add, StuckAfter: 10 * time.Minute},
			Handler: func(ctx context.Context, _ amqp.Delivery) error {
				s, _ := consumer.SubscriptionOf(ctx)
				end, _ := s.Begin()
				go func() { <-release; end() }()
				return &forwarded{done: release}
			},
		})
		fill(t, b, "q", 20)
		began := time.Now()
		found.first(t, consumer.Unsettled, false)
		if took := time.Since(began); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("found after %v", took)
		}
		close(release)
		found.first(t, consumer.Unsettled, true)
		r.Stopped(t)
	})
}
