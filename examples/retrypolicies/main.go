// Command retrypolicies books 24 orders with services that fail in five ways,
// each with a policy of its own: a deadlock is tried again at once, a limit of
// requests when the service says, maintenance by a list of delays, an invalid
// order never, and an outage within a budget, so that it makes no storm. At the
// end it prints what became of each. It uses the broker at AMQP_URL, or else one
// in its own process.
//
//	go run ./examples/retrypolicies
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

var (
	errDeadlock  = errors.New("deadlock found when trying to get lock")
	errWarehouse = errors.New("the warehouse does not answer")
)

// newPolicy is what this program is about.
func newPolicy() retry.Policy {
	warehouse := &retry.Budget{Share: 0.2, MinPerSecond: -1, Window: time.Minute}
	return retry.Policy{
		BackOff: retry.Exponential(time.Second, time.Minute), Jitter: retry.FullJitter, // for whatever is not below
		Classes: []retry.Class{
			{Match: is(errDeadlock), Immediate: 3},
			{Match: status(http.StatusTooManyRequests), MaxRetries: 10}, // after the time that the answer names
			{Match: status(http.StatusServiceUnavailable), BackOff: retry.Schedule(200*time.Millisecond, 400*time.Millisecond, 800*time.Millisecond), Jitter: retry.NoJitter},
			{Match: is(errWarehouse), BackOff: retry.Schedule(500 * time.Millisecond), Budget: warehouse},
		},
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func status(code int) func(error) bool {
	return func(err error) bool {
		var answer *retry.HTTPError
		return errors.As(err, &answer) && answer.Status == code
	}
}

func main() { example.Main("retrypolicies", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	l, end, err := example.Link(ctx, "retrypolicies", url, link.Config{})
	if err != nil {
		return err
	}
	defer end()
	policy := newPolicy()
	orders := topology.WorkQueue("retrypolicies.orders", topology.WorkConfig{Retry: policy}) // Declare refuses a ladder that is too short for it
	if err := topology.Declare(ctx, l, orders.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	ids := []string{"deadlock", "limited", "maintenance", "invalid"}
	for i := range 20 {
		ids = append(ids, fmt.Sprint("outage ", i+1))
	}
	for _, id := range ids {
		if err := pub.Publish(ctx, "", orders.Queue, amqp.Publishing{MessageId: id}); err != nil {
			return err
		}
	}

	shop, err := serve()
	if err != nil {
		return err
	}
	defer shop.Close() //nolint:errcheck // a listener of this program
	book := &book{url: "http://" + shop.Addr().String(), left: len(ids), calls: map[string]int{}, booked: map[string]bool{}}
	if err := book.work(ctx, l, orders, policy); err != nil {
		return err
	}
	for _, id := range ids[:4] {
		if book.booked[id] {
			fmt.Fprintf(out, "%s: booked by call %d\n", id, book.calls[id])
		}
	}
	tally := map[string]int{}
	_, err = dlq.Open(l, dlq.QueueConfig{Queue: orders.DeadLetterQueue}).Discard(ctx, func(letter dlq.Letter) bool {
		id := letter.Delivery.MessageId
		if kind, _, many := strings.Cut(id, " "); many {
			tally[kind+": "+letter.Reason]++
		} else {
			fmt.Fprintf(out, "%s: buried after attempt %d, %s: %s\n", id, letter.Attempts, letter.Reason, letter.LastError)
		}
		return true // the next run starts clean
	})
	for _, what := range []string{"outage: exhausted", "outage: budget"} {
		fmt.Fprintf(out, "%s: %d\n", what, tally[what])
	}
	return err
}
