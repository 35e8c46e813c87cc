// Package example is what the examples have in common, so that each shows its own
// subject. The quickstart has all of it written out.
package example

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// Main runs an example on the broker at AMQP_URL, for at most a minute, and ends
// the process. It exits with 1 when run fails.
func Main(name string, run func(ctx context.Context, out io.Writer, url string) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, os.Stdout, os.Getenv("AMQP_URL"))
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Broker returns url, or, where that is empty, the URL of a RabbitMQ that it starts in
// this process, for a first try and for tests. Call end when the broker has had its
// use.
func Broker(name, url string) (use string, end func(), err error) {
	if url != "" {
		return url, func() {}, nil
	}
	b, err := amqptest.Start("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	fmt.Fprintf(os.Stderr, "%s: AMQP_URL is not set; using a broker in this process\n", name)
	return b.URL(), func() { _ = b.Close() }, nil // what it had goes with it
}

// Link connects to the Broker of url. Call end when everything on the link has its
// outcome: it closes both.
func Link(ctx context.Context, name, url string, cfg link.Config) (l *link.Link, end func(), err error) {
	url, stop, err := Broker(name, url)
	if err != nil {
		return nil, nil, err
	}
	cfg.URLs = []string{url}
	if l, err = link.Open(ctx, cfg); err != nil {
		stop()
		return nil, nil, err
	}
	return l, func() {
		_ = l.Close(context.Background()) // nothing is under way
		stop()
	}, nil
}
