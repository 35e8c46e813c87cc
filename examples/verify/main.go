// Command verify declares the topology of one release of a service, lets an older
// release and another service leave their marks on the broker, and shows what Verify
// tells of it, how two releases run side by side, and the permissions that the service
// needs. It uses a broker in its own process, or the one at AMQP_URL, with its management
// API at MANAGEMENT_URL.
//
//	go run ./examples/verify
//	AMQP_URL=amqp://guest:guest@127.0.0.1/ MANAGEMENT_URL=http://guest:guest@127.0.0.1:15672 go run ./examples/verify
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func main() {
	example.Main("verify", func(ctx context.Context, out io.Writer, url string) error {
		return run(ctx, out, url, os.Getenv("MANAGEMENT_URL"))
	})
}

// release is the topology of a release that subscribes by pattern and gives a message up
// after limit returns.
func release(pattern string, limit int64) topology.Topology {
	orders := topology.WorkQueue("verify.orders", topology.WorkConfig{
		Ladder:        topology.Ladder{Scope: "verify", Levels: 8},
		DeliveryLimit: limit,
		Bindings:      []topology.Binding{{Source: "verify.events", Key: pattern}},
	})
	return orders.Merge(topology.Topology{
		Exchanges: []topology.Exchange{{Name: "verify.events", Kind: amqp.ExchangeTopic}},
		Queues: []topology.Queue{{
			Name: "verify.audit", Type: topology.Stream, MaxAge: 7 * 24 * time.Hour, MaxBytes: 10 << 30, SegmentBytes: 100 << 20,
		}},
		Bindings: []topology.Binding{{Source: "verify.events", Destination: "verify.audit", Key: "#"}},
	})
}

func run(ctx context.Context, out io.Writer, url, management string) error {
	if url == "" || management == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process, for a first try and for tests
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url, management = b.URL(), b.ManagementURL()
		fmt.Fprintln(os.Stderr, "verify: AMQP_URL and MANAGEMENT_URL are not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // nothing was published on it
	eyes := topology.Management{URL: management}

	v1, v2 := release("order.*", 200), release("order.paid", 100)
	if err := topology.Declare(ctx, l, v1); err != nil {
		return err
	}
	err = topology.Declare(ctx, l, v2)
	var differs *topology.MismatchError
	if !errors.As(err, &differs) {
		return fmt.Errorf("the second release was declared over the first: %w", err)
	}
	fmt.Fprintf(out, "by default a release refuses what differs: %s is %s, not %s\n", differs.Argument, differs.Have, differs.Want)

	taken, err := topology.DeclareWith(ctx, l, v2, topology.DeclareConfig{OnMismatch: topology.UseExisting, Management: eyes})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nwhat is no weaker may be taken as it is:\n%s\n", taken)

	report, err := topology.Verify(ctx, l, v2, eyes)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nwhat the broker has that the second release does not say:\n%s\n", report)

	p := v2.Permissions()
	fmt.Fprintf(out, "\nthe rights it needs:\nconfigure %s\nwrite     %s\nread      %s\n", p.Configure, p.Write, p.Read)
	return nil
}
