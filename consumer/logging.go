package consumer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// LoggingConfig says where and how Logging writes. The zero value is useful.
type LoggingConfig struct {
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Redact, if set, is applied to error texts before they are written.
	Redact func(string) string
}

// Logging writes one line for each attempt: at debug when it succeeded, at
// warning when it failed and its copy is under way, at error when it failed.
// Bodies and headers are never written.
func Logging(cfg LoggingConfig) Middleware {
	log := cmp.Or(cfg.Logger, slog.Default())
	redact := cfg.Redact
	if redact == nil {
		redact = func(s string) string { return s }
	}
	return func(next Handler) Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			began := time.Now()
			err := next(ctx, d)
			level, text, shown := describe(err)
			if !log.Enabled(ctx, level) {
				return err
			}
			attrs := []slog.Attr{
				slog.String("message_id", d.MessageId), slog.String("exchange", d.Exchange), slog.String("key", d.RoutingKey),
				slog.Bool("redelivered", d.Redelivered), slog.Duration("took", time.Since(began)),
			}
			if shown != nil {
				attrs = append(attrs, slog.String("error", redact(shown.Error())))
				var panicked *PanicError
				if errors.As(shown, &panicked) {
					attrs = append(attrs, slog.String("stack", string(panicked.Stack)))
				}
			}
			log.LogAttrs(ctx, level, text, attrs...)
			return err
		}
	}
}

func describe(err error) (slog.Level, string, error) {
	if err == nil {
		return slog.LevelDebug, "message handled", nil
	}
	cause := verdict.Cause(err)
	if _, pending := verdict.AsPending(err); pending {
		if cause != nil {
			return slog.LevelWarn, "attempt failed, copy under way", cause
		}
		return slog.LevelDebug, "message handled, copy under way", nil
	}
	if _, postponed := verdict.AsPostponed(err); postponed {
		return slog.LevelDebug, "not handled yet, postponed", err
	}
	return slog.LevelError, "attempt failed", err
}
