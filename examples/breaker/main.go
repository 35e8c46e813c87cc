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
	"io"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/breaker"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/retry"
)

func main() { example.Main("breaker", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	kit, end, err := example.Open(ctx, "breaker", url)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	const orders = 40
	for i := range orders {
		if err := kit.Pub.Publish(ctx, "", kit.Work.Queue, amqp.Publishing{MessageId: fmt.Sprint("order-", i)}); err != nil {
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
		dlq.Middleware(kit.Copies, kit.Work, dlq.Config{}),
		retry.Middleware(kit.Copies, kit.Work, retry.Policy{BackOff: retry.Constant(500 * time.Millisecond)}), // 3 retries
		consumer.Recover(),
	)
	err = kit.Consume(ctx, consumer.Config{
		Handler: handler, Workers: 4, Control: &control,
		OnHealth: func(h consumer.Health) { fmt.Fprintln(out, h.Status, h.Err) },
	})
	if err == nil && shipped.Load() != orders {
		err = fmt.Errorf("%d of %d orders shipped: the others are in %s", shipped.Load(), orders, kit.Work.DeadLetterQueue)
	}
	fmt.Fprintln(out, shipped.Load(), "orders shipped in", attempts.Load(), "attempts")
	return err
}
