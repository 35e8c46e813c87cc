package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
)

// Nobody responds; nobody responds in time; the bus is closed meanwhile.
func TestNoReply(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{RequestTimeout: 7 * time.Second, Unrouted: bus.Ignore})
		_, err := b.Request(soon(t), bus.Event{Type: "nobody"})
		as[*confirm.ReturnedError](t, err)

		other := openBus(t, br, bus.Config{})
		respond(t, other, "#", "asleep", func(context.Context, bus.Received) (any, error) { return 1, nil })
		began := time.Now()
		_, err = b.Request(context.Background(), bus.Event{Type: "x", MessageID: "m"})
		none := as[*bus.NoReplyError](t, err)
		if !none.Confirmed || none.MessageID != "m" || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 7*time.Second {
			t.Errorf("%+v after %v", none, time.Since(began))
		}
		pass(time.Second)
		empty(t, br, "asleep") // it expired
		if n := len(br.Messages("/", "asleep.dlq")); n != 0 {
			t.Errorf("%d letters", n)
		}

		ended := make(chan error, 1)
		go func() { _, err := b.Request(context.Background(), bus.Event{Type: "x"}); ended <- err }()
		synctest.Wait()
		if err := b.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if err := wait(t, ended, "the end of the request"); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%v", err)
		}
		if _, err := b.Request(soon(t), bus.Event{Type: "x"}); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		for _, q := range br.Queues("/") {
			if strings.HasPrefix(q.Name, "events.replies.") {
				t.Errorf("%s is left", q.Name)
			}
		}
	})
}

// A reply that comes too late, or a second one, is dropped and counted, and no other
// request gets it; a request that is late is not handled.
func TestLateReplies(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{Workers: 1})
		var handled atomic.Int32
		for _, group := range []string{"first", "second"} {
			respond(t, b, "#", group, func(ctx context.Context, e bus.Received) (any, error) {
				handled.Add(1)
				if e.Type == "slow" {
					if by, ok := ctx.Deadline(); !ok || time.Until(by) > 5*time.Second {
						t.Errorf("the handler's ctx ends at %v", by)
					}
					<-time.After(20 * time.Second) // whatever its ctx says
				}
				return e.Type, nil
			})
		}
		runBus(b)
		if _, err := b.Request(soon(t), bus.Event{Type: "two"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := b.LateReplies(); n != 1 {
			t.Errorf("%d late, want the second group's", n)
		}
		_, err := b.Request(within(t, 5*time.Second), bus.Event{Type: "slow"})
		as[*bus.NoReplyError](t, err)
		// In the prefetch behind the slow one: the broker cannot expire it.
		_, err = b.Request(within(t, 5*time.Second), bus.Event{Type: "behind"})
		as[*bus.NoReplyError](t, err)
		pass(time.Minute)
		if n := b.LateReplies(); n != 3 || handled.Load() != 4 {
			t.Errorf("%d late, want 3; %d handled, want 4", n, handled.Load())
		}
		r, err := b.Request(soon(t), bus.Event{Type: "next"})
		if err != nil || string(r.Payload) != `"next"` {
			t.Errorf("%s, %v", r.Payload, err)
		}
	})
}

// The caller is gone, and its reply queue: the request is done all the same.
func TestCallerGone(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		caller, b := openBus(t, br, bus.Config{}), openBus(t, br, bus.Config{})
		asked, answer := make(chan struct{}, 9), make(chan struct{})
		respond(t, b, "#", "slow", func(context.Context, bus.Received) (any, error) {
			asked <- struct{}{}
			<-answer
			return 1, nil
		})
		runBus(b)
		go caller.Request(context.Background(), bus.Event{Type: "x"}) // ends with the bus
		wait(t, asked, "the request")
		if err := caller.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		close(answer)
		pass(time.Minute)
		empty(t, br, "slow")
		if n := len(asked) + len(br.Messages("/", "slow.dlq")); n != 0 {
			t.Errorf("%d attempts or letters more", n)
		}
	})
}

// A request outlives the loss of links, its caller's and its responder's.
func TestRequestsOutliveLinks(t *testing.T) {
	for name, fault := range map[string]amqptest.Fault{
		"publish": {Do: amqptest.DropAfter, On: "basic.publish"},
		"before":  {Do: amqptest.DropBefore, On: "basic.publish"},
		"ack":     {Do: amqptest.DropBefore, On: "basic.ack"},
		"cancel":  {Do: amqptest.CancelConsumers, On: "basic.publish"},
	} {
		t.Run(name, func(t *testing.T) {
			on40(t, func(t *testing.T, br *amqptest.Broker) {
				caller, responder := openBus(t, br, bus.Config{}), openBus(t, br, bus.Config{Workers: 4})
				respond(t, responder, "#", "group", func(_ context.Context, e bus.Received) (any, error) {
					<-time.After(time.Second)
					return e.Payload, nil
				})
				runBus(responder)
				fault := fault
				fault.Connection, fault.Nth, fault.Every, fault.Times = "hareline*", 3, 5, 4
				hit := inject(t, br, fault)
				var all sync.WaitGroup
				for n := range 15 {
					all.Go(func() {
						r, err := caller.Request(within(t, 5*time.Minute), bus.Event{Type: "x", Payload: n})
						if err != nil || string(r.Payload) != fmt.Sprint(n) {
							t.Errorf("request %d: %s, %v", n, r.Payload, err)
						}
					})
				}
				all.Wait()
				if hit.Hits() == 0 {
					t.Error("the fault never happened")
				}
				pass(time.Minute)
				empty(t, br, "group")
			})
		})
	}
}
