// Command ratelimit keeps to a rate, and changes it, pauses and resumes while it
// runs. Thirty mails go out at ten a second; then the mail server allows more.
//
//	go run ./examples/ratelimit
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/time/rate"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/ratelimit"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "ratelimit:", err)
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
		fmt.Fprintln(os.Stderr, "ratelimit: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	work := topology.WorkQueue("example.ratelimit", topology.WorkConfig{})
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
	const mails = 30
	for i := range mails {
		if err := pub.Publish(ctx, "", work.Queue, amqp.Publishing{MessageId: fmt.Sprint("mail-", i)}); err != nil {
			return err
		}
	}

	limiter := rate.NewLimiter(10, 1)
	var control consumer.Control
	var sent atomic.Int32
	began := time.Now()
	send := func(_ context.Context, d amqp.Delivery) error {
		n := sent.Add(1)
		fmt.Printf("%4d ms: %s\n", time.Since(began).Milliseconds(), d.MessageId)
		switch n {
		case 10: // a pause gives back what only waits, for other processes to take
			resume := control.Pause(errors.New("lunch"))
			time.AfterFunc(300*time.Millisecond, resume)
		case 20:
			limiter.SetLimit(rate.Inf)
		case mails:
			stop()
		}
		return nil
	}
	handler := consumer.Chain(send,
		ratelimit.Middleware(limiter), // outermost: to wait is no failure
		dlq.Middleware(copies, work, dlq.Config{}),
		retry.Middleware(copies, work, retry.Policy{}),
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers: []consumer.Config{{
			Queue: work.Queue, Handler: handler, Control: &control,
			OnHealth: func(h consumer.Health) { fmt.Println(h.Status, h.Err) },
		}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
	if n := sent.Load(); err == nil && n < mails {
		err = fmt.Errorf("%d of %d mails sent", n, mails)
	}
	return err
}
