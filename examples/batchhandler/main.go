// Command batchhandler inserts orders in batches, by count or by time. One of them
// can never be inserted: it alone is buried. One fails for the moment: it alone is
// tried again. One is no order at all, and comes into no batch.
//
//	go run ./examples/batchhandler
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/retry"
)

func main() { example.Main("batchhandler", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	kit, end, err := example.Open(ctx, "batchhandler", url)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := publish(ctx, kit.Pub, kit.Work.Queue); err != nil {
		return err
	}

	var mu sync.Mutex
	inserted, failed := map[int]bool{}, false
	insert := func(_ context.Context, batch []consumer.Item[order]) error {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(out, "a batch of", len(batch))
		errs := consumer.BatchErrors{}
		for i, one := range batch {
			switch {
			case one.Value.ID == 13:
				errs[i] = retry.Permanent(errors.New("no such customer"))
			case one.Value.ID == 7 && !failed:
				failed = true
				errs[i] = retry.Transient(errors.New("deadlock"))
			default:
				inserted[one.Value.ID] = true
			}
		}
		if len(inserted) == orders-1 {
			stop()
		}
		return errs // the others succeeded
	}
	const size = 20
	handler := consumer.Chain(
		consumer.JSON(consumer.Batch(consumer.BatchConfig{Size: size, Wait: 200 * time.Millisecond}, insert)),
		dlq.Middleware(kit.Copies, kit.Work, dlq.Config{}),
		retry.Middleware(kit.Copies, kit.Work, retry.Policy{BackOff: retry.Constant(300 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = kit.Consume(ctx, consumer.Config{Handler: handler, Workers: size}) // each waits with one message
	return errors.Join(err, complete(len(inserted)))
}

func complete(inserted int) error {
	if inserted != orders-1 {
		return fmt.Errorf("%d orders inserted", inserted)
	}
	return nil
}

type order struct{ ID int }

const orders = 50

func publish(ctx context.Context, pub *confirm.Publisher, queue string) error {
	for i := range orders {
		msg, err := consumer.JSONCodec[order]{}.Encode(order{ID: i})
		if err != nil {
			return err
		}
		if err := pub.Publish(ctx, "", queue, msg); err != nil {
			return err
		}
	}
	return pub.Publish(ctx, "", queue, amqp.Publishing{Body: []byte("hello")})
}
