// Command ratelimit keeps to a rate, and changes it, pauses and resumes while it
// runs. Thirty mails go out at ten a second; then the mail server allows more.
//
//	go run ./examples/ratelimit
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/time/rate"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/ratelimit"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/retry"
)

func main() { example.Main("ratelimit", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	kit, end, err := example.Open(ctx, "ratelimit", url)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	const mails = 30
	for i := range mails {
		if err := kit.Pub.Publish(ctx, "", kit.Work.Queue, amqp.Publishing{MessageId: fmt.Sprint("mail-", i)}); err != nil {
			return err
		}
	}

	limiter := rate.NewLimiter(10, 1)
	var control consumer.Control
	var sent atomic.Int32
	began := time.Now()
	send := func(_ context.Context, d amqp.Delivery) error {
		n := sent.Add(1)
		fmt.Fprintf(out, "%4d ms: %s\n", time.Since(began).Milliseconds(), d.MessageId)
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
		dlq.Middleware(kit.Copies, kit.Work, dlq.Config{}),
		retry.Middleware(kit.Copies, kit.Work, retry.Policy{}),
		consumer.Recover(),
	)
	err = kit.Consume(ctx, consumer.Config{
		Handler: handler, Control: &control,
		OnHealth: func(h consumer.Health) { fmt.Fprintln(out, h.Status, h.Err) },
	})
	if n := sent.Load(); err == nil && n < mails {
		err = fmt.Errorf("%d of %d mails sent", n, mails)
	}
	return err
}
