// Command tracing follows one message: it fails twice, is buried, replayed, and
// succeeds. Its spans go out over OTLP, to a receiver in this process that prints them as
// one tree, and to OTEL_EXPORTER_OTLP_ENDPOINT (Jaeger, Tempo, a collector) where that is
// set. It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/tracing
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tracing:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, url string, out io.Writer) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0")
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "tracing: AMQP_URL is not set; using a broker in this process")
	}
	var received receiver
	collector := httptest.NewServer(&received)
	defer collector.Close()
	provider, err := newProvider(ctx, collector.URL)
	if err != nil {
		return err
	}
	if err := errors.Join(follow(ctx, url, provider), provider.Shutdown(ctx)); err != nil {
		return err
	}
	tree(out, received.all())
	return nil
}

// newProvider exports over OTLP to the receiver here, and to the one that the
// environment names.
func newProvider(ctx context.Context, here string) (*trace.TracerProvider, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(here+"/v1/traces"))
	if err != nil {
		return nil, err
	}
	options := []trace.TracerProviderOption{
		trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "tracing"))),
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		yours, err := otlptracehttp.New(ctx) // reads the environment
		if err != nil {
			return nil, err
		}
		options = append(options, trace.WithBatcher(yours))
	}
	return trace.NewTracerProvider(options...), nil
}

// follow publishes the order and has it handled, buried and replayed.
func follow(ctx context.Context, url string, provider *trace.TracerProvider) error {
	tel, err := telemetry.New(telemetry.Config{TracerProvider: provider})
	if err != nil {
		return err
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	orders := topology.WorkQueue("tracing.orders", topology.WorkConfig{})
	if err := topology.Declare(ctx, l, orders.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{Tracer: tel})
	if err != nil {
		return err
	}
	buried := make(chan struct{})
	tellBuried := sync.OnceFunc(func() { close(buried) })
	copies, err := confirm.Open(ctx, l, confirm.Config{Tracer: tel, OnOutcome: func(o confirm.Outcome) {
		if o.Key == orders.DeadLetterQueue && o.Err == nil {
			tellBuried()
		}
	}})
	if err != nil {
		return err
	}
	// An order of this run alone: the broker may be yours, and not empty.
	id := time.Now().Format(time.RFC3339Nano)
	if err := pub.Publish(ctx, "", orders.Queue, amqp.Publishing{MessageId: id}); err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	defer stop()
	handled := make(chan struct{})
	tellHandled := sync.OnceFunc(func() { close(handled) }) // it may be delivered again
	replayed := make(chan error, 1)
	go func() {
		defer stop() // Run drains, then closes publishers and link
		err := awaiting(running, buried)
		if err == nil {
			err = replay(ctx, l, pub, orders, id)
		}
		if err == nil {
			err = awaiting(running, handled)
		}
		replayed <- err
	}()
	failures := 2
	handler := consumer.Chain(func(_ context.Context, d amqp.Delivery) error {
		switch {
		case d.MessageId != id:
			return nil
		case failures > 0:
			failures--
			return retry.Transient(errors.New("the warehouse does not answer"))
		}
		tellHandled()
		return nil
	},
		tel.Middleware(), // the outermost: it sees what the others make of an error
		dlq.Middleware(copies, orders, dlq.Config{}),
		retry.Middleware(copies, orders, retry.Policy{MaxRetries: 1, BackOff: retry.Constant(300 * time.Millisecond)}),
		consumer.Recover(),
	)
	err = consumer.Group{
		Consumers:  []consumer.Config{{Queue: orders.Queue, Handler: handler}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(running, l)
	return errors.Join(err, <-replayed)
}

// awaiting waits for what happens once.
func awaiting(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// replay is what somebody does later, once the warehouse answers again.
func replay(ctx context.Context, l *link.Link, pub *confirm.Publisher, orders topology.Work, id string) error {
	report, err := dlq.Open(l, dlq.QueueConfig{Queue: orders.DeadLetterQueue}).Replay(ctx, pub, dlq.ReplayConfig{
		Select: func(letter dlq.Letter) bool { return letter.Delivery.MessageId == id },
	})
	if err == nil && report.Replayed != 1 {
		err = fmt.Errorf("%d letters replayed", report.Replayed)
	}
	return err
}
