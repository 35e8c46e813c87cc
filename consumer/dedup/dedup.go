// Package dedup is consumer middleware that drops what was handled already.
//
//	unique, err := dedup.New(dedup.Config{Queue: "orders"})
//	h := consumer.Chain(ship, unique, dlq.Middleware(...), retry.Middleware(...), consumer.Recover())
//
// A message is known by its queue and its message-id: one that is routed to four
// queues has the same id in all of them. It is done only after its handler
// succeeded. A retry, and the replay of a letter, carry the id of their message,
// and pass, because the attempt before them failed (R 12). A second copy that
// comes while the first is being handled waits, unsettled, for what becomes of
// that. A message without a message-id passes.
//
// It makes duplicates rare, not impossible: a process that dies between the
// handler's success and the store's, or a store that forgets, lets one through.
// Where that must not be, keep the ids in the transaction of the handler's own
// database.
package dedup

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/verdict"
)

// Config of the middleware. Queue is required; the zero value of the rest is
// useful.
type Config struct {
	// Queue that is consumed.
	Queue string
	// Store defaults to Memory(0).
	Store Store
	// Lease is how long a handler may have a message before another copy of it
	// is handled, too. It must be longer than the longest handler; after a crash
	// a copy waits for its end. Default 5 min.
	Lease time.Duration
	// AskAgain is how long a copy waits before it asks again whether the other
	// one is done, and any message when the store fails. Default 1 s.
	AskAgain time.Duration
	// Open lets messages pass when the store fails, duplicates among them.
	// Otherwise they wait until it works.
	Open bool
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Store == nil {
		c.Store = Memory(0)
	}
	c.Lease = cmp.Or(c.Lease, 5*time.Minute)
	c.AskAgain = cmp.Or(c.AskAgain, time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default()).With("queue", c.Queue)
	return c
}

func (c Config) validate() error {
	switch {
	case c.Queue == "":
		return errors.New("dedup: Config.Queue is empty: name the queue that is consumed; a message has the same id in every queue it is routed to")
	case c.Lease < 0, c.AskAgain < 0:
		return errors.New("dedup: Config.Lease or AskAgain is negative: leave it zero for the default")
	}
	return nil
}

// New makes the middleware for one queue. Put it outermost, outside of retry and
// dlq. The error says what is wrong with cfg.
func New(cfg Config) (consumer.Middleware, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			if d.MessageId == "" {
				return next(ctx, d)
			}
			return cfg.handle(ctx, d, next)
		}
	}, nil
}

// storeTimeout bounds one call of the store.
const storeTimeout = 10 * time.Second

func (c Config) handle(ctx context.Context, d amqp.Delivery, next consumer.Handler) error {
	m := mine{Config: c, id: d.MessageId, key: strconv.Quote(c.Queue) + " " + d.MessageId, owner: rand.Text()}
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	state, err := c.Store.Begin(asking, m.key, m.owner, c.Lease)
	cancel()
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && !c.Open:
		c.Logger.Warn("dedup: the store fails; message waits", "message_id", d.MessageId, "error", err)
		return consumer.Postpone(c.AskAgain, err)
	case err != nil:
		c.Logger.Warn("dedup: the store fails; message is handled, perhaps again", "message_id", d.MessageId, "error", err)
		return next(ctx, d)
	case state == Busy:
		return consumer.Postpone(c.AskAgain, errBusy)
	case state == Done:
		c.Logger.Info("dedup: message was handled already; dropped", "message_id", d.MessageId)
		return nil
	}
	concluded := false
	defer func() {
		if !concluded { // a panic, or the end of its goroutine
			m.release(ctx)
		}
	}()
	err = m.conclude(ctx, next(ctx, d))
	concluded = true
	return err
}

var errBusy = errors.New("dedup: another copy of the message is being handled")

// mine is a message that this call has claimed.
type mine struct {
	Config
	id, key, owner string
}

// conclude tells the store what became of the message.
func (m mine) conclude(ctx context.Context, err error) error {
	p, pending := verdict.AsPending(err)
	switch {
	case err == nil:
		m.tell(ctx, "finish", m.Store.Finish)
	case pending && verdict.Cause(err) == nil: // the handler forwards it, and the outcome is its own
		return verdict.Then(p, func(outcome error) error { return m.conclude(ctx, outcome) })
	default: // failed, given back, or a copy under way: whatever comes back is to be handled
		m.release(ctx)
	}
	return err
}

func (m mine) release(ctx context.Context) { m.tell(ctx, "release", m.Store.Release) }

// tell does not fail the message: what the store does not learn is handled once
// more, which at-least-once allows.
func (m mine) tell(ctx context.Context, what string, f func(context.Context, string, string) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := f(ctx, m.key, m.owner); err != nil {
		m.Logger.Warn("dedup: the store fails; a copy of the message may be handled again, or wait for the end of the lease", "message_id", m.id, "call", what, "error", err)
	}
}
