// Command quickstart publishes one order. Its handler fails the first time, so
// the order waits on the delay ladder, comes back, is shipped, and the program
// ends. It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/quickstart
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

type order struct{ ID string }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, url string) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process, for a first try and for tests
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "quickstart: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed

	// A quorum queue, its dead-letter queue, and its place on the delay ladder.
	orders := topology.WorkQueue("quickstart.orders", topology.WorkConfig{})
	if err := topology.Declare(ctx, l, orders.Topology); err != nil {
		return err
	}

	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	mine := order{ID: time.Now().Format(time.RFC3339Nano)}
	msg := amqp.Publishing{
		MessageId:   mine.ID, // where a publish may be repeated: the same id each time
		ContentType: "application/json",
		Body:        fmt.Appendf(nil, `{"ID": %q}`, mine.ID),
	}
	// The default exchange routes by the queue's name. nil: the queue has it.
	if err := pub.Publish(ctx, "", orders.Queue, msg); err != nil {
		return err
	}
	fmt.Println("published", mine.ID)

	copies, err := confirm.Open(ctx, l, confirm.Config{}) // for parked and buried copies alone
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var shipped atomic.Bool
	ship := func(_ context.Context, o order, d amqp.Delivery) error {
		told, err := story.Read(d.Headers) // what happened to the message so far
		if err != nil {
			return err
		}
		if told.For(orders.Queue).RetryCount == 0 { // in this queue, not in one it was forwarded from
			fmt.Println("attempt 1 failed", o.ID)
			return retry.Transient(errors.New("the warehouse does not answer"))
		}
		fmt.Println("shipped", o.ID)
		if o == mine {
			shipped.Store(true)
			stop() // Run drains, then closes publishers and link
		}
		return nil
	}
	handler := consumer.Chain(consumer.JSON(ship), // the first middleware is the outermost
		dlq.Middleware(copies, orders, dlq.Config{}),
		retry.Middleware(copies, orders, retry.Policy{BackOff: retry.Constant(500 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers:  []consumer.Config{{Queue: orders.Queue, Handler: handler, Workers: 4}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
	if err == nil && !shipped.Load() {
		err = errors.New("ended before the order was shipped")
	}
	return err
}
