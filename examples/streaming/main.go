// Command streaming is a film streaming company in one process: four services
// that know of each other only by events on a RabbitMQ broker.
//
// A video service publishes who started watching. A recommendation service, two
// kinds of notifications and an analytics service each get every event they
// subscribe to. Analytics fails three times in ten, for a moment: those events
// are tried again later. Two messages cannot be handled, one that is not JSON and
// one that meets a bug: they are buried with the reason why. Then the bug is
// fixed and the buried ones are replayed.
//
// In the end the program counts, by message-id, for every subscriber: handled
// plus lying in its dead-letter queue is what was published to it. It exits with
// 1 when that is not so, or when it takes longer than -timeout. That holds also
// when connections break in the middle: duplicates appear then, and are counted.
//
// It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/streaming
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ go run ./examples/streaming
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	cfg, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, cfg, os.Stdout, logger(cfg))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "streaming:", err)
		os.Exit(1) //nolint:gocritic // the deferred stop is for the signals of a process that ends here
	}
}

// logger is the library's: errors by default, for what it warns of (retries,
// burials, lost connections) is what this program shows or lives through.
func logger(cfg config) *slog.Logger {
	level := slog.LevelWarn
	if cfg.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
