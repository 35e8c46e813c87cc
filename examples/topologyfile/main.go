// Command topologyfile reads what a shop has on its broker from a YAML file, declares
// it, and publishes an order to see that it arrives where the file says. It uses the
// broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/topologyfile
//	go run ./examples/topologyfile -file mine.yaml -check      only says what is wrong with the file
//	go run ./examples/topologyfile -mermaid                    only draws it; -dot for Graphviz
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
	"github.com/hareline/hareline/topology/topologyfile"
)

//go:embed topology.yaml
var shop []byte

type options struct {
	url, file           string
	check, mermaid, dot bool
}

func main() {
	o := options{url: os.Getenv("AMQP_URL")}
	flag.StringVar(&o.file, "file", "", "a topology file, .yaml or .json, instead of the shop's: it is declared, and nothing is published")
	flag.BoolVar(&o.check, "check", false, "only check the file")
	flag.BoolVar(&o.mermaid, "mermaid", false, "only draw the file, for Mermaid")
	flag.BoolVar(&o.dot, "dot", false, "only draw the file, for Graphviz")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err) // one problem a line: FILE:LINE:COLUMN: FIELD: ...
		os.Exit(1)                   //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	f, err := read(o.file)
	if err != nil {
		return err
	}
	t := f.Topology()
	switch {
	case o.check:
		fmt.Fprintf(out, "%d work queues, %d exchanges, %d queues and %d bindings are well\n",
			len(f.WorkQueues), len(t.Exchanges), len(t.Queues), len(t.Bindings))
		return nil
	case o.mermaid:
		_, err = io.WriteString(out, t.Mermaid())
		return err
	case o.dot:
		_, err = io.WriteString(out, t.DOT())
		return err
	}
	l, end, err := example.Link(ctx, "topologyfile", o.url, link.Config{})
	if err != nil {
		return err
	}
	defer end()
	if err := topology.Declare(ctx, l, t); err != nil {
		return err
	}
	fmt.Fprintln(out, "declared")
	if o.file != "" {
		return nil
	}
	return order(ctx, l, f, out)
}

func read(file string) (topologyfile.File, error) {
	if file == "" {
		return topologyfile.Parse("topology.yaml", shop)
	}
	return topologyfile.Read(file)
}

// order publishes one order and takes it out of its work queue.
func order(ctx context.Context, l *link.Link, f topologyfile.File, out io.Writer) error {
	orders, err := f.Work("shop.orders") // also what retry.Middleware and dlq.Middleware take
	if err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	defer pub.Close(context.Background()) //nolint:errcheck // every publish was answered
	if err := pub.Publish(ctx, "shop.events", "order.placed", amqp.Publishing{Body: []byte("one tent")}); err != nil {
		return err
	}
	s, err := l.Session(ctx, link.Consuming)
	if err != nil {
		return err
	}
	defer s.Close(context.Background()) //nolint:errcheck // nothing is under way
	return s.Do(ctx, func(ch *amqp.Channel) error {
		d, ok, err := ch.Get(orders.Queue, true)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s is empty", orders.Queue)
		}
		fmt.Fprintf(out, "%s has %q by %s %s\n", orders.Queue, d.Body, d.Exchange, d.RoutingKey)
		return nil
	})
}
