// Command batch publishes a batch of orders of which not all can go through: one
// has no queue, one is no message, and a full queue takes only some of the rest.
// It shows the outcome of each, repeats what a repetition helps until all have
// arrived, and counts outcomes in a hook. It uses the broker at AMQP_URL, or
// else one in its own process.
//
//	go run ./examples/batch
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/batch
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func main() { example.Main("batch", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	l, end, err := example.Link(ctx, "batch", url, link.Config{})
	if err != nil {
		return err
	}
	defer end()

	// A queue that refuses what is over its bound; a bounded queue has a ladder of its own.
	orders := topology.WorkQueue("batch.orders", topology.WorkConfig{MaxLength: 5, Ladder: topology.Ladder{Scope: "batch.orders"}})
	if err := topology.Declare(ctx, l, orders.Topology); err != nil {
		return err
	}

	var confirmed, failed atomic.Int64
	pub, err := confirm.Open(ctx, l, confirm.Config{
		// Told of every message, from a goroutine of its own: nothing waits for it.
		OnOutcome: func(o confirm.Outcome) {
			if o.Err == nil {
				confirmed.Add(1)
			} else {
				failed.Add(1)
			}
		},
	})
	if err != nil {
		return err
	}
	if err := publish(ctx, out, l, pub, orders); err != nil {
		return err
	}
	if err := pub.Close(ctx); err != nil { // waits for the hook, too
		return err
	}
	fmt.Fprintf(out, "the hook was told of %d confirmed, and of %d others\n", confirmed.Load(), failed.Load())
	return nil
}

const number = 20

func publish(ctx context.Context, out io.Writer, l *link.Link, pub *confirm.Publisher, orders topology.Work) error {
	var batch []confirm.Message
	for i := range number {
		batch = append(batch, confirm.Message{Key: orders.Queue, Publishing: amqp.Publishing{
			MessageId:  fmt.Sprintf("order-%02d", i),
			Expiration: confirm.Expiration(time.Hour), // dead-lettered when nobody takes it
			Body:       fmt.Appendf(nil, `{"order": %d}`, i),
		}})
	}
	batch[3].Key = "batch.nowhere"
	batch[7].Headers = amqp.Table{"weight": uint64(12)} // AMQP has no such type

	err := pub.PublishBatch(ctx, batch)
	var some *confirm.BatchError
	if !errors.As(err, &some) {
		return fmt.Errorf("all of the batch was confirmed, which was not to be: %w", err)
	}
	for i, err := range some.Outcomes {
		switch err.(type) { //nolint:errorlint // an outcome is never wrapped
		case *confirm.ReturnedError, *confirm.RefusedError: // no repetition helps
			fmt.Fprintf(out, "message %d: %v\n", i, err)
		}
	}

	// Somebody makes room. Without them, repeating would go on for ever.
	arrived := make(chan string, number)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	consumed := make(chan error, 1)
	go func() {
		consumed <- consumer.Run(ctx, l, consumer.Config{Queue: orders.Queue, Handler: func(_ context.Context, d amqp.Delivery) error {
			arrived <- d.MessageId
			return nil
		}})
	}()
	if err := repeat(ctx, pub, some.Repeat()); err != nil {
		return err
	}
	different := map[string]bool{}
	for len(different) < number-2 {
		select {
		case id := <-arrived:
			different[id] = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stop()
	fmt.Fprintf(out, "%d of %d orders arrived\n", len(different), number)
	return <-consumed
}

// repeat publishes what is left again, until nothing is, or ctx ends.
func repeat(ctx context.Context, pub *confirm.Publisher, left []confirm.Message) error {
	for pause := 10 * time.Millisecond; len(left) > 0; pause *= 2 {
		select {
		case <-time.After(pause): // a nack means: later
		case <-ctx.Done():
			return ctx.Err()
		}
		err := pub.PublishBatch(ctx, left)
		var some *confirm.BatchError
		if !errors.As(err, &some) {
			return err
		}
		left = some.Repeat()
	}
	return nil
}
