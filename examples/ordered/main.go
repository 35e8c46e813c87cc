// Command ordered handles the orders of four customers, each customer's in its
// order, on two partitions. One order fails twice: the customer's next ones wait
// for it, the others go on. Another one can never be handled: it is buried, then
// its follower runs. It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/ordered
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/ordered
//
// Started twice on one broker, the second process waits until the first one ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

func main() { example.Main("ordered", run) }

var orders = []string{"anna/1", "anna/2", "ben/1", "anna/3", "carl/1", "ben/2", "dora/1", "carl/2", "anna/4"}

func run(ctx context.Context, out io.Writer, url string) error {
	quiet := slog.New(slog.DiscardHandler)
	l, end, err := example.Link(ctx, "ordered", url, link.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer end()

	parts := topology.PartitionedQueue("example.ordered", topology.PartitionsConfig{Count: 2})
	if err := topology.Declare(ctx, l, parts.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{Logger: quiet})
	if err != nil {
		return err
	}
	for _, order := range orders {
		customer, _, _ := strings.Cut(order, "/")
		exchange, key := parts.Route(customer)
		if err := pub.Publish(ctx, exchange, key, amqp.Publishing{MessageId: order}); err != nil {
			return err
		}
	}

	copies, err := confirm.Open(ctx, l, confirm.Config{Logger: quiet}) // for letters alone
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int32
	ship := func(_ context.Context, d amqp.Delivery) error {
		past, err := story.Read(d.Headers)
		if err != nil {
			return err
		}
		switch {
		case d.MessageId == "anna/2" && past.RetryCount < 2:
			fmt.Fprintf(out, "%s failed, attempt %d; what follows of this customer waits\n", d.MessageId, past.RetryCount+1)
			return retry.Transient(errors.New("the warehouse does not answer"))
		case d.MessageId == "carl/1":
			fmt.Fprintf(out, "%s can never be shipped; it is buried\n", d.MessageId)
			return retry.Permanent(errors.New("no such article"))
		}
		fmt.Fprintf(out, "%s shipped\n", d.MessageId)
		if done.Add(1) == int32(len(orders)-1) { //nolint:gosec // a few
			stop()
		}
		return nil
	}
	c, err := ordered.New(ordered.Config{
		Partitions: parts,
		Copies:     copies,
		Retry:      retry.Policy{BackOff: retry.Schedule(300*time.Millisecond, 600*time.Millisecond)},
		Consumer:   consumer.Config{Handler: ship, Logger: quiet},
	})
	if err != nil {
		return err
	}
	return consumer.Group{Consumers: c.Consumers(), Publishers: []consumer.Closer{pub, copies}}.Run(ctx, l)
}
