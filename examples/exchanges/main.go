// Command exchanges shows how the three usual kinds of exchange route: direct by
// the exact key, topic by patterns, fanout to everybody. It publishes, says to
// which queues each message went, and exits with 1 when that is not where it had
// to go. Messages that no queue is bound for come back to the
// publisher, as an error.
//
// It uses the broker at AMQP_URL, or else one in its own process. Its exchanges
// and queues have names of their own and are removed in the end.
//
//	go run ./examples/exchanges
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/exchanges
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
)

func main() {
	url := flag.String("url", os.Getenv("AMQP_URL"), "broker, amqp://user:password@host:port/vhost; default $AMQP_URL, else one in this process")
	timeout := flag.Duration("timeout", 30*time.Second, "how long it may take")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	err := run(ctx, *url, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "exchanges:", err)
		os.Exit(1)
	}
}

// run plays all demos; its error says what was not as expected.
func run(ctx context.Context, url string, out io.Writer) (err error) {
	url, end, err := example.Broker("exchanges", url)
	if err != nil {
		return err
	}
	defer end()
	l, err := link.Open(ctx, link.Config{URLs: []string{url}, Name: "exchanges"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing(l.Close)) }()
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing(pub.Close)) }()

	suffix := "." + uuid.NewString()[:8]
	var wrong []error
	for _, d := range demos() {
		got, err := play(ctx, l, pub, d, suffix)
		if err != nil {
			return fmt.Errorf("%s: %w", d.exchange, err)
		}
		d.show(out, got)
		wrong = append(wrong, d.check(got))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	fmt.Fprintln(out, "All messages went where they had to go.")
	return nil
}

func closing(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return f(ctx)
}
