package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
)

type WatchStarted struct {
	UserID     string `json:"user_id"`
	VideoTitle string `json:"video_title"`
}

// A service that subscribes and publishes, until it is told to end.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		slog.Error("the service ended", "error", err)
	}
}

func serve(ctx context.Context) (err error) {
	l, err := link.Open(ctx, link.Config{URLs: []string{"amqp://guest:guest@127.0.0.1:5672/"}})
	if err != nil {
		return err
	}
	b, err := bus.Open(ctx, l, bus.Config{Workers: 8, Policy: retry.Policy{MaxRetries: 5}})
	if err != nil {
		return err
	}
	defer func() { // the bus before the link
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, b.Close(closing), l.Close(closing))
	}()

	err = b.Subscribe(ctx, "video.*", "analytics", func(ctx context.Context, e bus.Received) error {
		var v WatchStarted
		if err := e.Decode(&v); err != nil {
			return err // malformed: buried at once
		}
		if err := count(ctx, v); err != nil {
			return retry.Transient(err) // tried again, later and later
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

func count(context.Context, WatchStarted) error { return nil }

// An event whose outcome stays open is published again, under the same
// message-id. One that nobody subscribes to is told from others.
func ExampleBus_Publish() {
	publish := func(ctx context.Context, b *bus.Bus, sessionID string) error {
		err := b.Publish(ctx, bus.Event{
			Type:      "video.watch_started",
			Payload:   WatchStarted{UserID: "user123", VideoTitle: "Iron Man"},
			MessageID: sessionID,
		})
		var unknown *confirm.UnknownError
		var returned *confirm.ReturnedError
		switch {
		case errors.As(err, &unknown):
			slog.Warn("perhaps published: publish it again, with the same MessageID", "error", err)
		case errors.As(err, &returned):
			slog.Warn("nobody subscribes to this event", "key", returned.Key)
		}
		return err
	}
	_ = publish
}

// After a bug is fixed: the letters it caused go back to the group's queue.
func ExampleBus_Replay() {
	replay := func(ctx context.Context, b *bus.Bus) error {
		report, err := b.Replay(ctx, "analytics", dlq.ReplayConfig{Select: func(l dlq.Letter) bool {
			return l.Reason == "unexpected"
		}})
		slog.Info("replayed", "report", report.String())
		return err
	}
	_ = replay
}

// A request, and what may become of it.
func ExampleBus_Request() {
	ask := func(ctx context.Context, b *bus.Bus) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		reply, err := b.Request(ctx, bus.Event{Type: "price.of", Payload: "Iron Man"})
		var failed *bus.ResponderError
		var none *bus.NoReplyError
		switch {
		case errors.As(err, &failed):
			slog.Warn("the responder says no", "why", failed.Text, "again later", failed.Temporary())
		case errors.As(err, &none):
			slog.Warn("no reply in time: perhaps handled all the same", "error", err)
		case err == nil:
			var cents int
			return reply.Decode(&cents)
		}
		return err
	}
	_ = ask
}
