package confirm_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// Whatever becomes of a message for later, errors and the hook name the exchange
// and key that its caller gave, and not the ladder's.
func TestLaterIsNamedAsItsCallerDid(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault amqptest.Fault
		limit time.Duration
		user  string
		drop  bool // the ladder is not there
		want  string
	}{
		{name: "confirmed"},
		{name: "nacked", fault: amqptest.Fault{Do: amqptest.Nack}, want: `, for later, nacked at the ladder's exchange "hareline.v1.`},
		{name: "refused", drop: true, want: "refused by the broker: 404"},
		{name: "refused for its user", user: "somebody", want: "refused by the broker: 406"},
		{name: "unsent", limit: -1, want: "not sent"},
		{name: "unknown", fault: amqptest.Fault{Do: amqptest.HoldConfirm}, limit: time.Second, want: "sent, outcome unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			on40(t, func(t *testing.T, b *amqptest.Broker) {
				l := open(t, b, link.Config{})
				w := topology.WorkQueue("later", topology.WorkConfig{})
				if !tc.drop {
					if err := topology.Declare(soon(t), l, w.Topology); err != nil {
						t.Fatal(err)
					}
				}
				told := make(chan confirm.Outcome, 1)
				p := publisherOn(t, l, confirm.Config{Later: w, OnOutcome: func(o confirm.Outcome) { told <- o }})
				if tc.fault.Do != "" {
					inject(t, b, tc.fault)
				}
				ctx := soon(t)
				if tc.limit != 0 {
					ctx = after(t, tc.limit)
				}
				err := p.PublishLater(ctx, time.Minute, "events", "order.created", amqp.Publishing{UserId: tc.user})
				if o := <-told; o.Exchange != "events" || o.Key != "order.created" {
					t.Errorf("the hook was told of %q %q", o.Exchange, o.Key)
				}
				if tc.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), `message to exchange "events" with key "order.created"`) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// So it is when the ladder has no queue for it, and when Forward parks it again.
func TestLaterThatTheLadderReturns(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		p := publisher(t, b, confirm.Config{Later: nowhere{}})
		err := p.PublishLater(soon(t), time.Hour, "events", "order.created", amqp.Publishing{})
		e := as[*confirm.ReturnedError](t, err)
		if e.Exchange != "events" || e.Key != "order.created" || !strings.Contains(e.Error(), `for later, returned by the ladder's exchange "amq.direct"`) {
			t.Error(e)
		}
		err = p.PublishBatch(soon(t), []confirm.Message{{Exchange: "events", Key: "k", Delay: time.Hour}})
		if e := as[*confirm.ReturnedError](t, err); e.Exchange != "events" || e.Key != "k" {
			t.Error(e)
		}
		var pending *confirm.PendingError
		err = p.Forward(soon(t), amqp.Delivery{Headers: amqp.Table{confirm.HeaderLater: amqp.Table{
			"version": int64(1), "exchange": "events", "key": "again", "at": time.Now().Add(time.Hour).UnixMilli(), "rest": int64(3600_000),
			"priority": int64(0), "expiration": "", "user-id": "", "headers": amqp.Table{},
		}}})
		if !errors.As(err, &pending) || !strings.Contains(err.Error(), `exchange "events" with key "again"`) {
			t.Fatal(err)
		}
		if e := as[*confirm.ReturnedError](t, pending.Wait(soon(t))); e.Exchange != "events" || e.Key != "again" {
			t.Error(e)
		}
	})
}

// nowhere is a ladder that was not declared.
type nowhere struct{}

func (nowhere) Park(delay time.Duration) (exchange, key string, actual time.Duration) {
	return "amq.direct", "nowhere", delay
}

// A ctx that ends with the handler, as that of consumer.Timeout does, ends
// nothing of what Forward started: each message arrives once.
func TestForwardUnderATimeout(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{Scope: "short", Levels: 8})
		declare(t, b, "q", nil)
		copies := publisherOn(t, r.link, confirm.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = consumer.Run(ctx, r.link, consumer.Config{Queue: r.work.Queue, Logger: quiet, Handler: consumer.Chain(r.pub.Forward,
				dlq.Middleware(copies, r.work, dlq.Config{Logger: quiet}),
				retry.Middleware(copies, r.work, retry.Policy{BackOff: retry.Constant(time.Second), Logger: quiet}),
				consumer.Timeout(time.Minute), consumer.Recover())})
		}()
		defer func() {
			cancel()
			<-ended
		}()
		all := batch(20, "", "q")
		for i := range all {
			all[i].Delay = time.Duration(20+i) * time.Second // some in one part, some in two
		}
		if err := r.pub.PublishBatch(soon(t), all); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Minute)
		got := ids(b, "q")
		if distinct := firsts(slices.Clone(got)); len(got) != 20 || len(distinct) != 20 {
			t.Errorf("%d arrived, %d of them different; %d buried", len(got), len(distinct), len(ids(b, r.work.DeadLetterQueue)))
		}
	})
}

// The longest names and headers that a message may have do not keep it from waiting.
func TestLaterAtItsLimits(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		r := newRelay(t, b, topology.Ladder{})
		long := strings.Repeat("x", 255)
		msg := amqp.Publishing{Expiration: strings.Repeat("0", 254) + "1", Headers: amqp.Table{"h": strings.Repeat("x", 32<<10-48)}}
		if err := r.pub.PublishLater(soon(t), time.Hour, long, long, msg); err != nil {
			t.Error(err)
		}
		msg.UserId = long
		err := r.pub.PublishLater(soon(t), time.Hour, long, long, msg)
		if e := as[*confirm.RefusedError](t, err); e.Code != amqp.PreconditionFailed { // which the broker says
			t.Error(e)
		}
	})
}
