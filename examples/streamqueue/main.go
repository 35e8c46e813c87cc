// Command streamqueue writes five events to a stream, reads them all, and reads again
// from the third: what is read stays. Whoever reads remembers its own place, the header
// x-stream-offset of the last message that it was done with.
//
// It uses a broker in its own process, or the one at AMQP_URL.
//
//	go run ./examples/streamqueue
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

const stream = "example.streamqueue"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "streamqueue:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, out io.Writer, url string) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process, for a first try and for tests
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "streamqueue: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // all is confirmed by then
	// What is read stays until it is a week old, or the stream has 1 GiB.
	err = topology.Declare(ctx, l, topology.Topology{Queues: []topology.Queue{
		{Name: stream, Type: topology.Stream, MaxAge: 7 * 24 * time.Hour, MaxBytes: 1 << 30},
	}})
	if err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	now := time.Now().Add(-time.Second) // a stream knows time by its chunks; it has whole seconds
	for i := range 5 {
		if err := pub.Publish(ctx, "", stream, amqp.Publishing{Body: fmt.Appendf(nil, "event %d", i)}); err != nil {
			return err
		}
	}
	if err := pub.Close(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "what was written since the start:")
	third, err := read(ctx, out, l, now)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "again, from the third:")
	_, err = read(ctx, out, l, third)
	return err
}

// read prints events from an offset (or "first", "last", "next", a time) until the fifth,
// and returns the offset of the third.
func read(ctx context.Context, out io.Writer, l *link.Link, from any) (third int64, err error) {
	reading, done := context.WithCancel(ctx)
	defer done()
	err = consumer.Run(reading, l, consumer.Config{
		Queue:     stream,
		Arguments: amqp.Table{"x-stream-offset": from},
		Logger:    slog.New(slog.DiscardHandler),
		// One worker: a stream is read for its order. A message that fails cannot be
		// given back here: a handler parks a copy in a work queue, or stops.
		Handler: func(_ context.Context, d amqp.Delivery) error {
			if reading.Err() != nil {
				return reading.Err()
			}
			fmt.Fprintf(out, "  %s\n", d.Body)
			switch string(d.Body) {
			case "event 2":
				third, _ = d.Headers["x-stream-offset"].(int64)
			case "event 4":
				done()
			}
			return nil
		},
	})
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = nil
	}
	return third, err
}
