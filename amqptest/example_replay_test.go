package amqptest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// An order that a bug buried is replayed once the bug is mended.
func TestExampleReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		l, err := link.Open(ctx, link.Config{URLs: []string{b.PipeURL()}, Dial: b.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.Background())
		orders := topology.WorkQueue("orders", topology.WorkConfig{})
		if err := topology.Declare(ctx, l, orders.Topology); err != nil {
			t.Fatal(err)
		}
		copies, err := confirm.Open(ctx, l, confirm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer copies.Close(context.Background())

		bug := func(context.Context, amqp.Delivery) error {
			defer stop() // Run below drains and returns
			return retry.Permanent(errors.New("division by zero"))
		}
		if err := copies.Publish(ctx, "", orders.Queue, amqp.Publishing{MessageId: "order-1"}); err != nil {
			t.Fatal(err)
		}
		handler := consumer.Chain(bug, dlq.Middleware(copies, orders, dlq.Config{}))
		if err := consumer.Run(ctx, l, consumer.Config{Queue: orders.Queue, Handler: handler}); err != nil {
			t.Fatal(err)
		}

		// The bug is mended: the letters go back to the queue they failed in.
		letters := dlq.Open(l, dlq.QueueConfig{Queue: orders.DeadLetterQueue})
		report, err := letters.Replay(t.Context(), copies, dlq.ReplayConfig{})
		if err != nil || report.Replayed != 1 {
			t.Fatal(report, err)
		}
		if m := b.Messages("/", orders.Queue); len(m) != 1 || m[0].MessageID != "order-1" {
			t.Errorf("in the queue: %v", m)
		}
	})
}
