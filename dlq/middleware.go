package dlq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// Starter publishes without waiting for the outcome: it returns an error that
// is pending (Done, Outcome), or the final outcome; never nil.
// (*confirm.Publisher).Start is one.
type Starter interface {
	Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error
}

// Config of [Middleware]. The zero value is useful.
type Config struct {
	// Redact cleans error texts before they go into headers and logs. Nil
	// leaves them as they are.
	Redact func(string) string

	// CopyTimeout is how long the publish of a letter may take before its
	// outcome counts as unknown and it is published again. 0 means 30 s.
	CopyTimeout time.Duration

	// Logger gets a line for every burial. Nil means slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Redact == nil {
		c.Redact = func(s string) string { return s }
	}
	if c.CopyTimeout <= 0 {
		c.CopyTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Middleware buries what still fails here: it publishes a copy with the story
// of why straight to the dead-letter queue of w (default exchange, so that no
// binding can be missing, R 24), and the original is acked when the copy is
// confirmed. The body stays what was published, byte for byte. It belongs
// outside of retry's middleware.
//
// Left as they are: nil; any error once the consumer is shutting down, which is
// no verdict (R 1); an error by which a copy is to be tried again or is beyond
// help. A pending error is waited for, and its outcome treated the same way. All
// others are buried, with the reason of the error's DeadReason() string, else
// "malformed" for an error with Malformed() bool, else "unexpected".
//
// What it returns for a burial is like what retry's middleware returns for a
// parked copy. Without copies or queues nothing is handled: the consumer pauses,
// and its log and Health say why.
func Middleware(copies Starter, w topology.Work, cfg Config) func(func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
	b := &burial{copies: copies, work: w, cfg: cfg.withDefaults()}
	return func(next func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
		if copies == nil || w.Queue == "" || w.DeadLetterQueue == "" {
			return func(context.Context, amqp.Delivery) error { return verdict.Misconfigured(errConfig) }
		}
		return func(ctx context.Context, d amqp.Delivery) error {
			return b.judge(ctx, d, next(ctx, d))
		}
	}
}

var errConfig = errors.New("dlq: Middleware needs a publisher for copies and a topology.Work with a queue and a dead-letter queue: pass both, as topology.WorkQueue makes the latter")

type burial struct {
	copies Starter
	work   topology.Work
	cfg    Config
}

func (b *burial) judge(ctx context.Context, d amqp.Delivery, err error) error {
	if err == nil || verdict.IsShutdown(ctx) {
		return err
	}
	if p, ok := verdict.AsPending(err); ok {
		return verdict.Then(p, func(outcome error) error { return b.judge(ctx, d, outcome) })
	}
	if _, ok := verdict.AsAgain(err); ok {
		return err
	}
	if _, ok := verdict.AsReject(err); ok {
		return err
	}
	return b.bury(ctx, d, err)
}

func (b *burial) bury(ctx context.Context, d amqp.Delivery, err error) error {
	s := obituary(d, b.work.Queue, err, time.Now(), b.cfg.Redact)
	msg, dropped := story.Copy(d, s, 0)
	b.log(ctx, msg.MessageId, s, dropped, err)
	copied := verdict.Copy{
		Starter:  b.copies,
		Key:      b.work.DeadLetterQueue,
		Message:  msg,
		Timeout:  b.cfg.CopyTimeout,
		Backstop: b.work.Backstop(),
		Text:     fmt.Sprintf("burial of a message of queue %q in %q (%s)", b.work.Queue, b.work.DeadLetterQueue, s.DeadReason),
		Cause:    err,
		About: verdict.About{
			Kind: verdict.Buried, Queue: b.work.Queue, Reason: s.DeadReason,
			Attempt: s.RetryCount + 1, Of: max(s.RetryMax, s.RetryCount) + 1,
		},
	}
	return copied.Start(ctx)
}

// obituary completes the story of a delivery that err has killed. A story that
// cannot be read is replaced by one that starts here.
func obituary(d amqp.Delivery, queue string, err error, now time.Time, redact func(string) string) story.Story {
	s, _ := story.Of(d, queue, now) // a broken one is a new one; that it was broken is what err says, if retry's middleware read it
	if s.FirstFailedAt.IsZero() {
		s.FirstFailedAt = now
	}
	s.DeadReason = reason(err)
	s.DeadAt = now
	s.LastError = redact(lastError(err))
	s.ErrorClass = story.Class(err)
	return s
}

func reason(err error) string {
	var dead interface{ DeadReason() string }
	if errors.As(err, &dead) && dead.DeadReason() != "" {
		return dead.DeadReason()
	}
	var broken interface{ Malformed() bool }
	if errors.As(err, &broken) && broken.Malformed() {
		return story.ReasonMalformed
	}
	return story.ReasonUnexpected
}

// lastError is the failure's own text: what a *retry.DeadError adds to it stands
// in headers of its own.
func lastError(err error) string {
	var dead interface {
		DeadReason() string
		Unwrap() error
	}
	if errors.As(err, &dead) {
		if cause := dead.Unwrap(); cause != nil {
			return cause.Error()
		}
	}
	return err.Error()
}

func (b *burial) log(ctx context.Context, id string, s story.Story, dropped []string, cause error) {
	log := b.cfg.Logger.With(
		slog.String("queue", b.work.Queue),
		slog.String("dead_letter_queue", b.work.DeadLetterQueue),
		slog.String("message_id", id),
		slog.String("reason", s.DeadReason),
		slog.Int("retries", s.RetryCount),
		slog.String("class", s.ErrorClass),
		slog.String("error", s.LastError),
	)
	if len(dropped) > 0 {
		log.WarnContext(ctx, "dlq: headers did not fit the letter and were dropped", slog.Any("headers", dropped))
	}
	var panicked interface{ PanicStack() []byte }
	if errors.As(cause, &panicked) {
		log = log.With(slog.String("stack", string(panicked.PanicStack())))
	}
	log.WarnContext(ctx, "dlq: message buried")
}
