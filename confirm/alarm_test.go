package confirm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// (These messages have a body: of one without, the broker has read all when it
// begins to block, and does it.)

// An alarm of two minutes: what is written waits and is not timed out, what is
// not written can leave as unsent, nothing reconnects, and afterwards all that
// waited is confirmed in its order (H 9.1).
func TestAlarm(t *testing.T) {
	for _, resource := range []string{"memory", "disk"} {
		t.Run(resource, func(t *testing.T) {
			each(t, func(t *testing.T, b *amqptest.Broker) {
				declare(t, b, "q", nil)
				blocked := make(chan struct{}, 1)
				l := open(t, b, link.Config{OnState: func(s link.State) {
					if s.Status == link.Blocked && s.Role == link.Publishing {
						blocked <- struct{}{}
					}
				}})
				p := publisherOn(t, l, confirm.Config{ConfirmTimeout: time.Second})
				before := connected(b)
				if err := b.Alarm(resource); err != nil {
					t.Fatal(err)
				}
				ctx := soon(t)
				all := []*confirm.Receipt{p.Send(ctx, "", "q", message(0))} // tells the broker that we publish
				<-blocked
				for i := 1; i < 10; i++ {
					all = append(all, p.Send(ctx, "", "q", message(i)))
				}
				err := p.Publish(after(t, 30*time.Second), "", "q", amqp.Publishing{})
				if e := as[*confirm.UnsentError](t, err); !errors.Is(e, context.DeadlineExceeded) {
					t.Error(e)
				}
				pass(2 * time.Minute)
				for _, r := range all {
					if !errors.Is(r.Outcome(), confirm.ErrPending) {
						t.Errorf("under the alarm: %v", r.Outcome())
					}
				}
				if n := published(b); n != 0 {
					t.Errorf("%d publishes were done under the alarm", n)
				}
				if err := b.ClearAlarm(resource); err != nil {
					t.Fatal(err)
				}
				allConfirmed(t, all)
				arrivedInOrder(t, b, "q", 10)
				if connected(b) != before || len(ids(b, "q")) != 10 {
					t.Errorf("%d connections more, %d stored", connected(b)-before, len(ids(b, "q")))
				}
			})
		})
	}
}

// Alarms that come in the middle of many messages: all are confirmed, each
// once, in order, and as soon as the alarms are over.
func TestAlarmInTheMiddle(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Second})
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 5, Delay: time.Minute})
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 60, Delay: time.Minute, Resource: "disk"})
		began := time.Now()
		allConfirmed(t, send(t, p, 100, "", "q"))
		if took := time.Since(began); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("after %s", took)
		}
		arrivedInOrder(t, b, "q", 100)
		if n := len(ids(b, "q")); n != 100 {
			t.Errorf("%d stored", n)
		}
	})
}

// A link that is lost under an alarm: its successor meets the alarm anew, and
// nothing is lost.
func TestLinkLostUnderAnAlarm(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{ConfirmTimeout: time.Second})
		inject(t, b, amqptest.Fault{Do: amqptest.RaiseAlarm, On: "basic.publish", Nth: 3, Delay: 2 * time.Minute})
		receipts := send(t, p, 20, "", "q")
		pass(30 * time.Second)
		if n := b.CutConnections(); n != 2 {
			t.Errorf("%d connections", n)
		}
		pass(30 * time.Second)
		if n := len(firsts(ids(b, "q"))); n != 3 {
			t.Errorf("%d stored under the alarm", n)
		}
		allConfirmed(t, receipts)
		arrivedInOrder(t, b, "q", 20)
	})
}
