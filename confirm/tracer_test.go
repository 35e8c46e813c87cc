package confirm_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// tracer marks each message and writes down what it is told.
type tracer struct {
	mu    sync.Mutex
	began int
	ended []string
}

func (tr *tracer) Publish(_ context.Context, exchange, key string, msg *amqp.Publishing) func(error, time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.began++
	id := msg.MessageId
	msg.Headers["traceparent"] = "of " + id
	return func(outcome error, waited time.Duration) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ended = append(tr.ended, fmt.Sprintf("%s to %s/%s: %T after %v", id, exchange, key, outcome, waited))
	}
}

func (tr *tracer) Batch(ctx context.Context, messages int) (context.Context, func(error)) {
	return ctx, func(result error) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ended = append(tr.ended, fmt.Sprintf("batch of %d: %T", messages, result))
	}
}

func (tr *tracer) last() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.ended) == 0 {
		return ""
	}
	return tr.ended[len(tr.ended)-1]
}

// Every message is told once, with its outcome, before its caller has it; headers
// that the tracer adds arrive, and the caller's own map stays as it is.
func TestTracerSeesEveryOutcome(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		tr := &tracer{}
		p := publisher(t, b, confirm.Config{Tracer: tr, Window: 1})
		told := func(want string) {
			t.Helper()
			if got := tr.last(); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		mine := amqp.Table{"mine": "x"}
		msg := amqp.Publishing{MessageId: "1", Headers: mine}
		if err := p.Publish(soon(t), "", "q", msg); err != nil {
			t.Fatal(err)
		}
		told("1 to /q: <nil> after 0s")
		if len(mine) != 1 {
			t.Errorf("the caller's headers were changed: %v", mine)
		}
		if got := b.Messages("/", "q")[0].Headers["traceparent"]; got != "of 1" {
			t.Errorf("the tracer's header arrived as %v", got)
		}

		if err := p.Publish(soon(t), "", "nowhere", msg); err == nil {
			t.Error("routed to nowhere")
		}
		told("1 to /nowhere: *confirm.ReturnedError after 0s")

		if err := p.Start(soon(t), "", "q", amqp.Publishing{MessageId: "1", Expiration: "never"}); err == nil {
			t.Error("no error")
		}
		told("1 to /q: *confirm.RefusedError after 0s")

		// The window has one place, which the first message has until the link is cut:
		// the second waits for it in vain, the third gets it.
		inject(t, b, amqptest.Fault{Do: amqptest.DelayConfirm, Delay: 3 * time.Second})
		first := p.Send(soon(t), "", "q", msg)
		if err := p.Publish(after(t, time.Second), "", "q", msg); !errors.As(err, new(*confirm.UnsentError)) {
			t.Error(err)
		}
		told("1 to /q: *confirm.UnsentError after 1s")
		if err := p.Publish(soon(t), "", "q", msg); err != nil {
			t.Error(err)
		}
		told("1 to /q: <nil> after 2s")
		if first.Outcome() != nil {
			t.Error(first.Outcome())
		}
		if tr.began != len(tr.ended) {
			t.Errorf("%d began, %d ended", tr.began, len(tr.ended))
		}
		if err := p.PublishBatch(soon(t), batch(3, "", "q")); err != nil {
			t.Error(err)
		}
		told("batch of 3: <nil>")
	})
}

// A message for later has the tracer's headers among its own, so that whoever
// handles it finds them; each hop is a publish of its own.
func TestTracerOfMessagesForLater(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		declare(t, b, "q", nil)
		l := open(t, b, link.Config{})
		w := topology.WorkQueue("later", topology.WorkConfig{})
		if err := topology.Declare(soon(t), l, w.Topology); err != nil {
			t.Fatal(err)
		}
		tr := &tracer{}
		r := relay{l, w, publisherOn(t, l, confirm.Config{Later: w, Tracer: tr})}
		if err := r.pub.PublishLater(soon(t), time.Second, "", "q", amqp.Publishing{MessageId: "1"}); err != nil {
			t.Fatal(err)
		}
		waiting, _ := parked(t, b).Headers[confirm.HeaderLater].(map[string]any)
		if own, _ := waiting["headers"].(map[string]any); own["traceparent"] != "of 1" {
			t.Errorf("the waiting message's headers: %v", own)
		}
		r.run(t)
		came(t, b, "q")
		synctest.Wait()
		if got := b.Messages("/", "q")[0].Headers["traceparent"]; got != "of 1" || tr.began != 2 || len(tr.ended) != 2 {
			t.Errorf("arrived with %v; %d began, ended: %v", got, tr.began, tr.ended)
		}
	})
}

// parked is the one message on the ladder.
func parked(t *testing.T, b *amqptest.Broker) amqptest.Message {
	t.Helper()
	for _, q := range b.Queues("/") {
		if q.Ready > 0 {
			return b.Messages("/", q.Name)[0]
		}
	}
	t.Fatal("nothing is parked")
	return amqptest.Message{}
}
