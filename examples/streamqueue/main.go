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
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

const stream = "example.streamqueue"

func main() { example.Main("streamqueue", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	l, end, err := example.Link(ctx, "streamqueue", url, link.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer end()
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
