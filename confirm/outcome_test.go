package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// stores is what callers that do not import confirm ask an error for.
type stores interface{ PossiblyStored() bool }

// All six outcomes of the package comment, and what the broker has of each.
func TestSixOutcomes(t *testing.T) {
	tests := []struct {
		name   string
		fault  amqptest.Fault
		cfg    confirm.Config
		limit  time.Duration // of the caller
		target [2]string
		check  func(t *testing.T, err error)
		stored int
		wrote  int // publishes that the broker did
	}{
		{name: "confirmed", target: [2]string{"", "q"}, stored: 1, wrote: 1,
			check: func(t *testing.T, err error) {
				if err != nil {
					t.Error(err)
				}
			}},
		{name: "returned", target: [2]string{"amq.direct", "q"}, wrote: 1,
			check: func(t *testing.T, err error) {
				e := as[*confirm.ReturnedError](t, err)
				if e.Code != 312 || e.Text != "NO_ROUTE" || e.Exchange != "amq.direct" || e.Key != "q" || e.MessageID != "000" || e.PossiblyStored() {
					t.Errorf("%+v", e)
				}
			}},
		{name: "nacked", target: [2]string{"", "q"}, fault: amqptest.Fault{Do: amqptest.Nack}, wrote: 1,
			check: func(t *testing.T, err error) {
				e := as[*confirm.NackedError](t, err)
				if !e.Temporary() || e.PossiblyStored() || e.Key != "q" || e.MessageID != "000" {
					t.Errorf("%+v", e)
				}
			}},
		{name: "refused", target: [2]string{"nowhere", "q"},
			check: func(t *testing.T, err error) {
				e := as[*confirm.RefusedError](t, err)
				if e.Code != 404 || e.Reason != "NOT_FOUND - no exchange 'nowhere' in vhost '/'" || e.MessageID != "000" || !e.PossiblyStored() {
					t.Errorf("%+v", e) // it was written twice: the broker says nothing of the first
				}
			}},
		{name: "refused before sending", target: [2]string{"", strings.Repeat("x", 256)},
			check: func(t *testing.T, err error) {
				e := as[*confirm.RefusedError](t, err)
				if code, reason := e.Refused(); code != 0 || reason == "" || e.PossiblyStored() {
					t.Errorf("%+v", e)
				}
			}},
		{name: "unsent", target: [2]string{"", "q"}, limit: -1,
			check: func(t *testing.T, err error) {
				e := as[*confirm.UnsentError](t, err)
				if !e.Temporary() || e.PossiblyStored() || !errors.Is(err, context.DeadlineExceeded) || e.MessageID != "000" {
					t.Errorf("%+v", e)
				}
			}},
		{name: "unknown: no answer in time", target: [2]string{"", "q"}, limit: time.Second, stored: 1, wrote: 1,
			fault: amqptest.Fault{Do: amqptest.HoldConfirm},
			check: func(t *testing.T, err error) {
				e := as[*confirm.UnknownError](t, err)
				if !e.Temporary() || !e.PossiblyStored() || !errors.Is(err, context.DeadlineExceeded) || e.MessageID != "000" {
					t.Errorf("%+v", e)
				}
			}},
		{name: "unknown: done, the answer lost", target: [2]string{"", "q"}, cfg: confirm.Config{NoRepublish: true}, stored: 1, wrote: 1,
			fault: amqptest.Fault{Do: amqptest.DropAfter, On: "basic.publish"},
			check: func(t *testing.T, err error) {
				as[*confirm.UnknownError](t, err)
				if e := as[*link.ClosedError](t, err); !e.Connection {
					t.Errorf("%+v", e)
				}
			}},
		{name: "unknown: not done", target: [2]string{"", "q"}, cfg: confirm.Config{NoRepublish: true},
			fault: amqptest.Fault{Do: amqptest.DropBefore, On: "basic.publish"},
			check: func(t *testing.T, err error) { as[*confirm.UnknownError](t, err) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, tt.cfg)
				if tt.fault.Do != "" {
					inject(t, b, tt.fault)
				}
				ctx := soon(t)
				if tt.limit != 0 {
					ctx = after(t, tt.limit)
				}
				err := p.Publish(ctx, tt.target[0], tt.target[1], message(0))
				tt.check(t, err)
				if err != nil {
					// What a caller that does not import confirm may rely on.
					var s stores
					if !errors.As(err, &s) || tt.stored > 0 && !s.PossiblyStored() {
						t.Errorf("stored, and not said to be so: %v", err)
					}
					if !strings.Contains(err.Error(), tt.target[1][:1]) {
						t.Errorf("the error does not say which message: %v", err)
					}
				}
				if n := len(ids(b, "q")); n != tt.stored {
					t.Errorf("%d stored, want %d", n, tt.stored)
				}
				if n := published(b); n != tt.wrote {
					t.Errorf("%d reached the broker, want %d", n, tt.wrote)
				}
			})
		})
	}
}

// A message is persistent, mandatory and has an id, unless it says otherwise.
func TestWhatTheBrokerGets(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		headers := amqp.Table{"n": 5_000_000_000, "CC": []any{"copy"}}
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{Headers: headers, Body: []byte("hello")}); err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(soon(t), "", "q", amqp.Publishing{DeliveryMode: amqp.Transient, MessageId: "mine"}); err != nil {
			t.Fatal(err)
		}
		got := b.Messages("/", "q")
		if m := got[0]; m.DeliveryMode != amqp.Persistent || m.MessageID == "" || m.Timestamp.IsZero() ||
			m.Headers["n"] != int64(5_000_000_000) || m.Headers[confirm.HeaderPublishID] != int64(1) || string(m.Body) != "hello" {
			t.Errorf("%+v", m)
		}
		if m := got[1]; m.DeliveryMode != amqp.Transient || m.MessageID != "mine" {
			t.Errorf("%+v", m)
		}
		if len(headers) != 2 {
			t.Errorf("the caller's headers were changed: %v", headers)
		}
	})
}

// Exactly those that the broker refused are nacked.
func TestTheNthPublishIsNacked(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		n := inject(t, b, amqptest.Fault{Do: amqptest.Nack, Queue: "q", Nth: 3, Every: 5, Times: 3})
		var kept []string
		for i, r := range send(t, p, 30, "", "q") {
			err := r.Wait(soon(t))
			if bad := i == 2 || i == 7 || i == 12; bad {
				if e := as[*confirm.NackedError](t, err); e.MaybeStored {
					t.Errorf("%d: %v", i, err)
				}
				continue
			} else if err != nil {
				t.Errorf("%d: %v", i, err)
			}
			kept = append(kept, r.MessageID())
		}
		if got := ids(b, "q"); !slices.Equal(got, kept) || n.Hits() != 3 {
			t.Errorf("%d nacked, stored: %v", n.Hits(), got)
		}
	})
}

// A full queue nacks, and another one of the same routing has the message all
// the same (H 3.1).
func TestFullQueueAmongOthers(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "full", amqp.Table{"x-queue-type": kind, "x-max-length": 3, "x-overflow": "reject-publish"})
				declare(t, b, "wide", nil)
				operate(t, b, func(ch *amqp.Channel) error {
					return errors.Join(ch.QueueBind("full", "", "amq.fanout", false, nil), ch.QueueBind("wide", "", "amq.fanout", false, nil))
				})
				p := publisher(t, b, confirm.Config{})
				confirmed := 0
				for i := range 20 {
					err := p.Publish(soon(t), "amq.fanout", "", message(i))
					if err == nil {
						confirmed++
						continue
					}
					as[*confirm.NackedError](t, err)
				}
				if full, wide := len(ids(b, "full")), len(ids(b, "wide")); full != confirmed || wide != 20 || confirmed == 20 {
					t.Errorf("%d confirmed; %d in the full queue, %d in the wide one", confirmed, full, wide)
				}
			})
		})
	}
}

// Returns find their own caller, also when their confirms come late and in
// another order (H 1.1, H 1.2).
func TestReturnsFindTheirCaller(t *testing.T) {
	for _, fault := range []amqptest.Fault{
		{},
		{Do: amqptest.ReorderConfirms, Count: 7, Times: -1},
		{Do: amqptest.DelayConfirm, Delay: time.Second, Every: 3, Times: -1},
	} {
		t.Run(string(fault.Do), func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				p := publisher(t, b, confirm.Config{Window: 50, ConfirmTimeout: time.Minute})
				if fault.Do != "" {
					n := inject(t, b, fault)
					time.AfterFunc(50*time.Second, n.Remove) // the last few are no whole group
				}
				var all sync.WaitGroup
				for g := range 6 {
					all.Go(func() {
						for i := range 40 {
							key := "q"
							if i%3 == 0 {
								key = fmt.Sprintf("missing.%d.%d", g, i)
							}
							err := p.Publish(soon(t), "", key, amqp.Publishing{MessageId: fmt.Sprintf("%d.%d", g, i)})
							var returned *confirm.ReturnedError
							if errors.As(err, &returned) != (i%3 == 0) || returned == nil && err != nil ||
								returned != nil && (returned.Key != key || returned.MessageID != fmt.Sprintf("%d.%d", g, i)) {
								t.Errorf("%d.%d: %v", g, i, err)
							}
						}
					})
				}
				all.Wait()
				if n := len(ids(b, "q")); n != 6*26 {
					t.Errorf("%d stored", n)
				}
			})
		})
	}
}

// A queue that is deleted takes what was confirmed with it; what comes after is
// returned.
func TestQueueDeletedUnderAPublisher(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		inject(t, b, amqptest.Fault{Do: amqptest.DeleteQueue, On: "basic.publish", Queue: "q", Nth: 5})
		for i, r := range send(t, p, 10, "", "q") {
			err := r.Wait(soon(t))
			if i < 5 && err != nil {
				t.Errorf("%d: %v", i, err)
			} else if i >= 5 {
				as[*confirm.ReturnedError](t, err)
			}
		}
		if deleted := b.Trace(amqptest.OfKind(amqptest.EventQueueDeleted)); len(deleted) != 1 || deleted[0].Count != 5 {
			t.Errorf("%v", deleted)
		}
	})
}

// One message that cannot be sent costs its neighbours nothing: no channel.
func TestPreflightLeavesTheChannelAlone(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{})
		for name, bad := range map[string]amqp.Publishing{
			"type":       {Type: strings.Repeat("x", 256)},
			"header":     {Headers: amqp.Table{"n": uint64(1)}},
			"headers":    {Headers: amqp.Table{"h": strings.Repeat("x", 130<<10)}},
			"expiration": {Expiration: "5s"},
			"CC":         {Headers: amqp.Table{"CC": "a"}},
			"body":       {Body: make([]byte, 17<<20)},
		} {
			if e := as[*confirm.RefusedError](t, p.Publish(soon(t), "", "q", bad)); e.Code != 0 {
				t.Errorf("%s: %v", name, e)
			}
			if err := p.Publish(soon(t), "", "q", amqp.Publishing{}); err != nil {
				t.Errorf("after a bad %s: %v", name, err)
			}
		}
		if closed := b.Trace(amqptest.Both(amqptest.OfKind(amqptest.EventChannelClosed), func(e amqptest.Event) bool { return e.Reason == "broker" })); len(closed) != 0 {
			t.Errorf("%v", closed)
		}
	})
}

// Start tells at once what was not sent, and the rest by its receipt.
func TestStart(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{MaxBodyBytes: 10})
		if err := p.Start(after(t, -1), "", "q", message(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: time.Second})
		began := time.Now()
		under := as[*confirm.PendingError](t, p.Start(soon(t), "", "q", amqp.Publishing{Body: make([]byte, 100)}))
		if err := under.Outcome(); !errors.Is(err, confirm.ErrPending) || time.Since(began) != 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if err := under.Wait(after(t, time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-under.Done()
		if err := under.Outcome(); err != nil || time.Since(began) < time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
