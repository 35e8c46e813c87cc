// Command requestreply asks a service for prices over the bus: a reply, a failure
// that is told, one that is tried again in time, a request that nobody answers in
// time, and one that nobody responds to at all. It uses the broker at AMQP_URL, or
// else one in its own process.
//
//	go run ./examples/requestreply
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/requestreply
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
)

type film struct{ Title string }

type price struct{ Cents int }

func main() { example.Main("requestreply", run) }

func run(ctx context.Context, out io.Writer, url string) (err error) {
	url, end, err := example.Broker("requestreply", url)
	if err != nil {
		return err
	}
	defer end()
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	// The service and its caller share a link here; each would have its own.
	cfg := bus.Config{Exchange: "requestreply", Policy: retry.Policy{BackOff: retry.Constant(200 * time.Millisecond)}}
	service, err := bus.Open(ctx, l, cfg)
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	caller, err := bus.Open(ctx, l, cfg)
	if err != nil {
		return errors.Join(err, service.Close(ctx), l.Close(ctx))
	}
	defer func() { err = errors.Join(err, caller.Close(ctx), service.Close(ctx), l.Close(ctx)) }() // ends serve, too

	if err := bus.Respond(ctx, service, "price.*", "requestreply.prices", priceOf); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	return ask(ctx, caller, out)
}

// priceOf is called like a handler: its transient errors are tried again while the
// request lives.
func priceOf(ctx context.Context, f film, e bus.Received) (price, error) {
	switch {
	case f.Title == "":
		return price{}, retry.Permanent(errors.New("a film has a title"))
	case f.Title == "Heat" && e.Attempt == 1:
		return price{}, retry.Transient(errors.New("the price list is being updated"))
	case f.Title == "Satantango":
		<-ctx.Done() // ends with the request's deadline; the reply below comes too late
		<-time.After(time.Second)
	}
	return price{Cents: 100 * len(f.Title)}, nil
}

func ask(ctx context.Context, caller *bus.Bus, out io.Writer) error {
	for _, title := range []string{"Alien", "Heat", "", "Satantango"} {
		asking, cancel := context.WithTimeout(ctx, 20*time.Second)
		if title == "Satantango" {
			asking, cancel = context.WithTimeout(ctx, 2*time.Second)
		}
		reply, err := caller.Request(asking, bus.Event{Type: "price.of", Payload: film{title}})
		cancel()
		var (
			p      price
			failed *bus.ResponderError
			none   *bus.NoReplyError
		)
		switch {
		case err == nil:
			if err := reply.Decode(&p); err != nil {
				return err
			}
			fmt.Fprintf(out, "%q costs %d cents\n", title, p.Cents)
		case errors.As(err, &failed):
			fmt.Fprintf(out, "%q has no price: %s (%s)\n", title, failed.Text, failed.Reason)
		case errors.As(err, &none) && none.Confirmed:
			fmt.Fprintf(out, "%q: no reply in time; perhaps it was handled\n", title)
		default:
			return err
		}
	}
	_, err := caller.Request(ctx, bus.Event{Type: "stock.of", Payload: film{"Alien"}})
	var returned *confirm.ReturnedError
	if !errors.As(err, &returned) {
		return fmt.Errorf("somebody responds to %q: %w", "stock.of", err)
	}
	fmt.Fprintln(out, "nobody responds to stock.of")
	return nil
}
