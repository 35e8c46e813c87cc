// Command cloudevents publishes one event in each format: as the bus's own envelope
// and as a CloudEvent in both modes, in two versions of its type. One subscriber gets
// them all, in the newest version. It uses the broker at AMQP_URL, or else one in its
// own process.
//
//	go run ./examples/cloudevents
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/cloudevents
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
)

// The first version of the event, and the second.
type (
	seenV1 struct{ Title string }
	seenV2 struct{ Title, Device string }
)

func main() { example.Main("cloudevents", run) }

func run(ctx context.Context, out io.Writer, url string) (err error) {
	url, end, err := example.Broker("cloudevents", url)
	if err != nil {
		return err
	}
	defer end()
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()

	seen := bus.Versions{Type: "film.seen", Steps: []bus.Step{
		bus.Upcast(func(old seenV1) (seenV2, error) { return seenV2{Title: old.Title, Device: "unknown"}, nil }),
	}}
	subscriber, err := bus.Open(ctx, l, bus.Config{Exchange: "cloudevents", Versions: []bus.Versions{seen}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subscriber.Close(ctx)) }()
	lines := make(chan string, 10)
	err = bus.Subscribe(ctx, subscriber, seen.Pattern(), "cloudevents.films", func(_ context.Context, f seenV2, e bus.Received) error {
		lines <- fmt.Sprintf("%s: %s on %s, source %q, subject %q", e.Type, f.Title, f.Device, e.Source, e.Subject)
		return nil
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- subscriber.Run(ctx) }() // until subscriber.Close

	for _, p := range []struct {
		format bus.Format
		event  bus.Event
	}{
		{bus.Envelope, bus.Event{Type: "film.seen", Payload: seenV1{"Alien"}}},
		{bus.CloudEventsBinary, bus.Event{Type: seen.Current(), Payload: seenV2{"Heat", "tv"}, Subject: "films/7"}},
		{bus.CloudEventsStructured, bus.Event{Type: seen.Current(), Payload: seenV2{"Solaris", "phone"}, Subject: "films/8"}},
	} {
		if err := publish(ctx, l, p.format, p.event); err != nil {
			return err
		}
		select {
		case line := <-lines:
			fmt.Fprintln(out, line)
		case err := <-ended:
			return fmt.Errorf("the subscriber ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// publish has a bus of its own for each format; a program has one.
func publish(ctx context.Context, l *link.Link, format bus.Format, e bus.Event) error {
	b, err := bus.Open(ctx, l, bus.Config{Exchange: "cloudevents", Format: format, Source: "/films"})
	if err != nil {
		return err
	}
	return errors.Join(b.Publish(ctx, e), b.Close(ctx))
}
