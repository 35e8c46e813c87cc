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
	"io"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/dedup"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/retry"
)

func main() { example.Main("dedup", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	kit, end, err := example.Open(ctx, "dedup", url)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for range 2 { // as a publisher does that got no answer
		if err := publish(ctx, kit.Pub, kit.Work.Queue); err != nil {
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
		fmt.Fprintln(out, "shipped", d.MessageId)
		if len(shipped) == orders {
			time.AfterFunc(time.Second, stop) // for duplicates that are still to come
		}
		return nil
	}

	// For several processes give a Store of your own, in Redis or a database.
	unique, err := dedup.New(dedup.Config{Queue: kit.Work.Queue})
	if err != nil {
		return err
	}
	handler := consumer.Chain(ship,
		unique, // outermost
		dlq.Middleware(kit.Copies, kit.Work, dlq.Config{}),
		retry.Middleware(kit.Copies, kit.Work, retry.Policy{BackOff: retry.Constant(300 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = kit.Consume(ctx, consumer.Config{Handler: handler, Workers: 4})
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
