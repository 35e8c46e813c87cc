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
	"os"
	"sync"
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

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "batchhandler:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, url string) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "batchhandler: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	work := topology.WorkQueue("example.batchhandler", topology.WorkConfig{})
	if err := topology.Declare(ctx, l, work.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{}) // for parked and buried copies alone
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := publish(ctx, pub, work.Queue); err != nil {
		return err
	}

	var mu sync.Mutex
	inserted, failed := map[int]bool{}, false
	insert := func(_ context.Context, batch []consumer.Item[order]) error {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println("a batch of", len(batch))
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
		dlq.Middleware(copies, work, dlq.Config{}),
		retry.Middleware(copies, work, retry.Policy{BackOff: retry.Constant(300 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers:  []consumer.Config{{Queue: work.Queue, Handler: handler, Workers: size}}, // each waits with one message
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
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
