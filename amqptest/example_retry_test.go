package amqptest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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

// The warehouse is down for two hours. A handler that is tried again every hour
// ships the order at its third attempt. The test takes a moment: in the bubble,
// time passes whenever program and broker have nothing to do.
func TestExampleRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t) // the bubble's time
		ctx, stop := context.WithCancel(t.Context())
		defer stop()

		l, err := link.Open(ctx, link.Config{URLs: []string{b.PipeURL()}, Dial: b.Dial})
		if err != nil {
			t.Fatal(err)
		}
		orders := topology.WorkQueue("orders", topology.WorkConfig{})
		if err := topology.Declare(ctx, l, orders.Topology); err != nil {
			t.Fatal(err)
		}
		copies, err := confirm.Open(ctx, l, confirm.Config{}) // publishes the order, too
		if err != nil {
			t.Fatal(err)
		}

		start := time.Now()
		var attempts []time.Duration
		ship := func(context.Context, amqp.Delivery) error {
			attempts = append(attempts, time.Since(start))
			if time.Since(start) < 2*time.Hour {
				return retry.Transient(errors.New("the warehouse does not answer"))
			}
			stop() // Run below drains and returns
			return nil
		}
		handler := consumer.Chain(ship,
			dlq.Middleware(copies, orders, dlq.Config{}),
			retry.Middleware(copies, orders, retry.Policy{BackOff: retry.Constant(time.Hour)}),
			consumer.Recover(),
		)
		if err := copies.Publish(ctx, "", orders.Queue, amqp.Publishing{MessageId: "order-1"}); err != nil {
			t.Fatal(err)
		}
		if err := consumer.Run(ctx, l, consumer.Config{Queue: orders.Queue, Handler: handler}); err != nil {
			t.Fatal(err)
		}

		t.Log("attempts at", attempts)
		if len(attempts) != 3 {
			t.Errorf("%d attempts, want 3", len(attempts))
		}
		for _, q := range b.Queues("/") { // the ladder's and the dead-letter queue, too
			if n := q.Ready + q.Unacked + q.Delayed + q.Held; n > 0 {
				t.Errorf("%s still has %d messages", q.Name, n)
			}
		}
		if err := errors.Join(copies.Close(context.Background()), l.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
}
