package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"

	"github.com/hareline/hareline/amqptest"
)

// serve listens for the management API, then waits for a signal or runs the
// command. It leaves the broker open.
func (p process) serve(ctx context.Context, b *amqptest.Broker, f brokerFlags, own bool, command []string, signals <-chan os.Signal) error {
	if f.definitions != "" {
		file, err := os.ReadFile(f.definitions)
		if err != nil {
			return fmt.Errorf("--definitions: %w", err)
		}
		if err := b.LoadDefinitions(file); err != nil {
			return fmt.Errorf("--definitions %s: %w", f.definitions, err)
		}
	}
	at := addresses{amqp: b.URL()}
	if f.management != "" {
		if err := b.ListenManagement(f.management); err != nil {
			return err
		}
		at.management = b.ManagementURL()
	}
	if f.trace {
		stop := printTrace(ctx, b, p.stderr)
		defer stop()
	}
	if len(command) > 0 {
		return p.child(command, at, signals)
	}
	fmt.Fprintf(p.stderr, "hareline: a RabbitMQ %s in the memory of this process; it ends on SIGINT (Ctrl-C) or SIGTERM\n", f.version)
	for _, line := range at.environment(own) {
		fmt.Fprintln(p.stdout, line)
	}
	select {
	case s := <-signals:
		fmt.Fprintf(p.stderr, "hareline: %v: ending\n", s)
	case <-ctx.Done():
	}
	return nil
}

// addresses is where a broker is.
type addresses struct{ amqp, management string }

// environment are the addresses as lines of name=value. hide: without
// passwords.
func (a addresses) environment(hide bool) []string {
	lines := []string{"AMQP_URL=" + shown(a.amqp, hide)}
	if a.management != "" {
		lines = append(lines, "HARELINE_MANAGEMENT_URL="+shown(a.management, hide))
	}
	return lines
}

func shown(address string, hide bool) string {
	if !hide {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "(hidden)"
	}
	return u.Redacted()
}

// printTrace prints events as they happen, until stop is called.
func printTrace(ctx context.Context, b *amqptest.Broker, out io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		var last uint64
		after := func(e amqptest.Event) bool { return e.Seq > last }
		for {
			if _, err := b.WaitEvent(ctx, after); err != nil {
				if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
					fmt.Fprintln(out, "hareline: the trace ended:", err)
				}
				return
			}
			for _, e := range b.Trace(after) {
				if last > 0 && e.Seq != last+1 {
					fmt.Fprintf(out, "hareline: %d events were too fast to be printed\n", e.Seq-last-1)
				}
				fmt.Fprintf(out, "%s %s\n", e.At.Format("15:04:05.000000"), e)
				last = e.Seq
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
