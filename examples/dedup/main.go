// Command dedup shows how duplicates are dropped, and what is not taken for one. A
// publisher sends each of five orders twice, under the same message-id. One order
// fails at first: its retry, with the same id, passes. Each is shipped once.
//
//	go run ./examples/dedup
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
	"github.com/hareline/hareline/consumer/dedup"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "dedup:", err)
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
		fmt.Fprintln(os.Stderr, "dedup: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	work := topology.WorkQueue("example.dedup", topology.WorkConfig{})
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
	for range 2 { // as a publisher does that got no answer
		if err := publish(ctx, pub, work.Queue); err != nil {
			return err
		}
	}

	var mu sync.Mutex
	shipped, failed := map[string]int{}, false
	ship := func(_ context.Context, d amqp.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if d.MessageId == "order-3" && !failed {
			failed = true
			return retry.Transient(errors.New("the warehouse does not answer"))
		}
		shipped[d.MessageId]++
		fmt.Println("shipped", d.MessageId)
		if len(shipped) == orders {
			time.AfterFunc(time.Second, stop) // for duplicates that are still to come
		}
		return nil
	}

	// For several processes give a Store of your own, in Redis or a database.
	unique, err := dedup.New(dedup.Config{Queue: work.Queue})
	if err != nil {
		return err
	}
	handler := consumer.Chain(ship,
		unique, // outermost
		dlq.Middleware(copies, work, dlq.Config{}),
		retry.Middleware(copies, work, retry.Policy{BackOff: retry.Constant(300 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers:  []consumer.Config{{Queue: work.Queue, Handler: handler, Workers: 4}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(err, once(shipped))
}

func once(shipped map[string]int) error {
	for i := range orders {
		if n := shipped[fmt.Sprint("order-", i)]; n != 1 {
			return fmt.Errorf("order-%d was shipped %d times", i, n)
		}
	}
	return nil
}

const orders = 5

func publish(ctx context.Context, pub *confirm.Publisher, queue string) error {
	for i := range orders {
		if err := pub.Publish(ctx, "", queue, amqp.Publishing{MessageId: fmt.Sprint("order-", i)}); err != nil {
			return err
		}
	}
	return nil
}
