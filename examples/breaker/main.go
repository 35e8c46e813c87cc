// Command breaker shows a circuit breaker that pauses the consumer. The warehouse
// is down when forty orders come. Six of them fail and the breaker opens: no
// handler starts, and no attempt of the other orders is used up. It looks again
// every 300 ms, until the warehouse is back.
//
//	go run ./examples/breaker
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/breaker"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "breaker:", err)
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
		fmt.Fprintln(os.Stderr, "breaker: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	work := topology.WorkQueue("example.breaker", topology.WorkConfig{})
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
	const orders = 40
	for i := range orders {
		if err := pub.Publish(ctx, "", work.Queue, amqp.Publishing{MessageId: fmt.Sprint("order-", i)}); err != nil {
			return err
		}
	}

	back := time.Now().Add(2 * time.Second)
	var attempts, shipped atomic.Int32
	ship := func(_ context.Context, d amqp.Delivery) error {
		if attempts.Add(1); time.Now().Before(back) {
			return retry.Transient(errors.New("the warehouse does not answer"))
		}
		if shipped.Add(1) == orders {
			stop()
		}
		return nil
	}

	var control consumer.Control
	guard, err := breaker.New(breaker.Config{
		Control:  &control, // of the consumer below
		Settings: gobreaker.Settings{Name: "warehouse", Timeout: 300 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	handler := consumer.Chain(ship,
		guard, // outermost: it sees what failed, and retry and dlq do not see it refuse
		dlq.Middleware(copies, work, dlq.Config{}),
		retry.Middleware(copies, work, retry.Policy{BackOff: retry.Constant(500 * time.Millisecond)}), // 3 retries
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers: []consumer.Config{{
			Queue: work.Queue, Handler: handler, Workers: 4, Control: &control,
			OnHealth: func(h consumer.Health) { fmt.Println(h.Status, h.Err) },
		}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
	if err == nil && shipped.Load() != orders {
		err = fmt.Errorf("%d of %d orders shipped: the others are in %s", shipped.Load(), orders, work.DeadLetterQueue)
	}
	fmt.Println(shipped.Load(), "orders shipped in", attempts.Load(), "attempts")
	return err
}
