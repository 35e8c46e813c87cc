package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
)

// The reply queue is deleted by somebody, and the broker restarts: requests meanwhile
// and afterwards are answered.
func TestReplyQueueComesBack(t *testing.T) {
	each(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		respond(t, b, "x", "group", func(context.Context, bus.Received) (any, error) { return 1, nil })
		respond(t, b, "slow", "slow", func(ctx context.Context, _ bus.Received) (any, error) {
			<-ctx.Done()
			return 1, nil
		})
		runBus(b)
		ask := func(when string) {
			t.Helper()
			if _, err := b.Request(within(t, 5*time.Minute), bus.Event{Type: "x"}); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		ask("at first")
		lost := make(chan error, 1)
		go func() { _, err := b.Request(soon(t), bus.Event{Type: "slow"}); lost <- err }()
		synctest.Wait()
		for _, q := range br.Queues("/") {
			if strings.HasPrefix(q.Name, "events.replies.") {
				inject(t, br, amqptest.Fault{Do: amqptest.DeleteQueue, Queue: q.Name})
			}
		}
		pass(5 * time.Second)
		select {
		case err := <-lost:
			if none := as[*bus.NoReplyError](t, err); !none.Confirmed || !none.Temporary() || !strings.Contains(err.Error(), "was deleted") {
				t.Errorf("%v", err)
			}
		default:
			t.Error("waits for a reply that cannot come")
		}
		ask("after the queue was deleted")
		br.Restart()
		ask("after a restart")
	})
}

// Without the rights for a reply queue a request fails at its deadline, and says why.
func TestReplyQueueRefused(t *testing.T) {
	on40(t, func(t *testing.T, br *amqptest.Broker) {
		b := openBus(t, br, bus.Config{})
		inject(t, br, amqptest.Fault{Do: amqptest.CloseChannel, On: "queue.declare", Code: 403, Times: 1000})
		_, err := b.Request(within(t, 10*time.Second), bus.Event{Type: "x"})
		if none := as[*bus.NoReplyError](t, err); none.Confirmed || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "403") {
			t.Errorf("%v", err)
		}
	})
}
