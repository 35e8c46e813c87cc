// Command delayed publishes events to a topic exchange for later: each arrives at
// its time, at every queue that is bound for it then, with the priority and the
// expiration that it was given. One that no queue is bound for at its time is
// buried with the reason. It uses the broker at AMQP_URL, or else one in its own
// process.
//
//	go run ./examples/delayed
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/delayed
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

func main() { example.Main("delayed", run) }

const events = "delayed.events"

func run(ctx context.Context, out io.Writer, url string) error {
	l, end, err := example.Link(ctx, "delayed", url, link.Config{})
	if err != nil {
		return err
	}
	defer end()

	// Messages for later come out in a queue of their own.
	later := topology.WorkQueue("delayed.later", topology.WorkConfig{})
	reminders := topology.WorkQueue("delayed.reminders", topology.WorkConfig{Bindings: []topology.Binding{{Source: events, Key: "reminder.*"}}})
	declared := later.Merge(reminders.Topology, topology.Topology{Exchanges: []topology.Exchange{{Name: events, Kind: amqp.ExchangeTopic}}})
	if err := topology.Declare(ctx, l, declared); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{Later: later})
	if err != nil {
		return err
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{}) // for parked and buried copies alone
	if err != nil {
		return err
	}

	began := time.Now()
	if err := publish(ctx, pub); err != nil {
		return err
	}
	left := 4
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan string)
	around := func(h consumer.Handler, w topology.Work) consumer.Handler {
		return consumer.Chain(h, dlq.Middleware(copies, w, dlq.Config{}), retry.Middleware(copies, w, retry.Policy{}), consumer.Recover())
	}
	tell := func(ctx context.Context, s string) error {
		select {
		case told <- s:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	show := func(ctx context.Context, d amqp.Delivery) error {
		return tell(ctx, fmt.Sprintf("%s came by exchange %s with priority %d and expiration %s ms", d.RoutingKey, d.Exchange, d.Priority, d.Expiration))
	}
	bury := func(ctx context.Context, d amqp.Delivery) error {
		s, err := story.Read(d.Headers)
		if err != nil {
			return err
		}
		return tell(ctx, fmt.Sprintf("%s was buried: %s", d.Body, s.LastError))
	}
	done := make(chan error, 1)
	go func() {
		done <- consumer.Group{
			Consumers: []consumer.Config{
				{Queue: later.Queue, Handler: around(pub.Forward, later)}, // publishes them at their time
				{Queue: reminders.Queue, Handler: around(show, reminders)},
				{Queue: later.DeadLetterQueue, Handler: bury}, // so that this example sees it; a person looks at letters by package dlq
			},
			Publishers: []consumer.Closer{pub, copies},
		}.Run(ctx, l)
	}()
	for left > 0 {
		select {
		case s := <-told:
			left--
			fmt.Fprintf(out, "after %s: %s\n", time.Since(began).Round(100*time.Millisecond), s)
		case err := <-done:
			return fmt.Errorf("ended before all had come: %w", err)
		}
	}
	stop()
	return <-done
}

func publish(ctx context.Context, pub *confirm.Publisher) error {
	for _, e := range []struct {
		key   string
		delay time.Duration
	}{{"reminder.last", 1200 * time.Millisecond}, {"reminder.first", 300 * time.Millisecond}, {"nobody.cares", 700 * time.Millisecond}, {"reminder.now", 0}} {
		msg := amqp.Publishing{Priority: 5, Expiration: confirm.Expiration(time.Minute), Body: []byte(e.key)}
		// nil: the broker has it, and will keep it until its time.
		if err := pub.PublishLater(ctx, e.delay, events, e.key, msg); err != nil {
			return err
		}
	}
	return nil
}
