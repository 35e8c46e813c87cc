package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// QueueConfig of [Open]. Only Queue is required.
type QueueConfig struct {
	// Queue is the dead-letter queue, or a ladder's unclaimed queue.
	Queue string

	// ConsumerTimeout is the broker's consumer_timeout, which AMQP cannot tell.
	// A look ends within half of it: letters it holds longer would be taken
	// from it, out of order. 0 means 30 minutes, RabbitMQ's default.
	ConsumerTimeout time.Duration

	// Prefetch is how many letters one channel holds, at most 20,000 (R 20). The
	// client buffers that many. 0 means as many as have about 12 MiB, by the mean of
	// those seen so far: a larger queue takes more channels, not more memory.
	Prefetch int

	// Idle is how long nothing has to come before the queue is asked whether
	// it is empty. 0 means 500 ms.
	Idle time.Duration

	// Rotate makes a look or replay that ends before the last letter end at
	// once. On a quorum queue the letters that it saw may then come to lie
	// behind the others. Without it the rest is taken, unseen, to keep the
	// order, which costs the transfer of all letters.
	Rotate bool

	// Force looks even if letters could be dropped by it, see UnsafeLookError.
	Force bool

	// Logger gets what went wrong without changing the result. Nil means
	// slog.Default().
	Logger *slog.Logger
}

const maxPrefetch = 20_000

func (c QueueConfig) withDefaults() QueueConfig {
	c.ConsumerTimeout = cmp.Or(c.ConsumerTimeout, 30*time.Minute)
	c.Idle = cmp.Or(c.Idle, 500*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c QueueConfig) validate() error {
	switch {
	case c.Queue == "":
		return errors.New("dlq: QueueConfig.Queue is empty: name the dead-letter queue")
	case c.ConsumerTimeout < 0:
		return fmt.Errorf("dlq: QueueConfig.ConsumerTimeout is %v: set the broker's consumer_timeout, or 0 for its default", c.ConsumerTimeout)
	case c.Idle < 0:
		return fmt.Errorf("dlq: QueueConfig.Idle is %v: set it to more than nothing, or 0 for the default", c.Idle)
	case c.Prefetch < 0 || c.Prefetch > maxPrefetch:
		return fmt.Errorf("dlq: QueueConfig.Prefetch is %d: set it to at most %d, or 0 for the default", c.Prefetch, maxPrefetch)
	}
	return nil
}

// Queue looks at the letters of one queue, replays and discards them. Its
// methods are safe for concurrent use, but only one of them works at a time, of
// all Queues of all programs: the others get a *LockedError.
//
// Letters are taken by consumers, with channels of the link's consuming
// connection, and what is not settled is given back when they close. Meanwhile
// nobody else sees them. Nothing is lost by that, whenever it ends. The order is
// kept when the call ends by itself. When its ctx or half the consumer timeout
// ends it, the letters seen may come to lie behind the others; when the process
// is killed or the link breaks, they may be in any order (R 20). Each look counts as a delivery: see
// UnsafeLookError. A large queue is best looked at over a link of its own, for
// its letters pass through the connection of the link's consumers.
//
// Errors of all methods: *LockedError, *UnsafeLookError, *QueueError,
// *IncompleteError, and the cause of a ctx that ended. All of them end with ctx,
// up to 20 s later when channels have to be closed in order over a slow link.
type Queue struct {
	link *link.Link
	cfg  QueueConfig
	err  error
}

// Open makes a Queue; it does no I/O. A wrong cfg is reported by every method.
func Open(l *link.Link, cfg QueueConfig) *Queue {
	return &Queue{link: l, cfg: cfg.withDefaults(), err: cfg.validate()}
}

// Look shows the letters that were in the queue when it began, oldest first, to
// f, one at a time. All of them stay. After an error of f it is shown no more,
// and the error is returned, except ErrStop, which ends the look without one: see
// QueueConfig.Rotate. While f works, letters wait in
// memory, up to the prefetch.
func (q *Queue) Look(ctx context.Context, f func(Letter) error) error {
	if f == nil {
		return errors.New("dlq: Look needs a function that is shown the letters")
	}
	_, err := q.walk(ctx, &scan{visit: func(_ *scan, t taken) (action, error) {
		return keep, f(t.letter)
	}})
	return err
}

// Discard removes the letters that selected says true of, for good; the report
// says how many.
func (q *Queue) Discard(ctx context.Context, selected func(Letter) bool) (Report, error) {
	if selected == nil {
		return Report{}, errors.New("dlq: Discard needs a function that selects letters: nothing is removed without being named")
	}
	return q.walk(ctx, &scan{visit: func(_ *scan, t taken) (action, error) {
		if selected(t.letter) {
			return remove, nil
		}
		return keep, nil
	}})
}

// Count is how many letters lie in the queue, those not counted that somebody
// is looking at.
func (q *Queue) Count(ctx context.Context) (int, error) {
	if q.err != nil {
		return 0, q.err
	}
	return q.count(ctx)
}

func (q *Queue) count(ctx context.Context) (int, error) { return q.countOf(ctx, q.cfg.Queue) }

// countOf counts the messages of any queue.
func (q *Queue) countOf(ctx context.Context, queue string) (int, error) {
	s, err := q.link.Session(ctx, link.Consuming)
	if err != nil {
		return 0, &QueueError{Queue: queue, Doing: "count its messages", Err: err}
	}
	defer q.release(ctx, s)
	return countOn(ctx, s, queue)
}

func countOn(ctx context.Context, s *link.Session, queue string) (int, error) {
	var state amqp.Queue
	err := s.Do(ctx, func(ch *amqp.Channel) (err error) {
		state, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		return 0, &QueueError{Queue: queue, Doing: "count its messages", Err: err}
	}
	return state.Messages, nil
}

// closeGrace is how long closing may take when ctx is over: order is worth it.
const closeGrace = 20 * time.Second

// release closes a session whatever became of ctx.
func (q *Queue) release(ctx context.Context, s *link.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	_ = q.closeSession(ctx, s)
}

// closeSession closes a session and reports whether the broker answered.
func (q *Queue) closeSession(ctx context.Context, s *link.Session) bool {
	err := s.Close(ctx)
	if err != nil {
		q.cfg.Logger.WarnContext(ctx, "dlq: a channel could not be closed; its letters are back when the connection ends",
			slog.String("queue", q.cfg.Queue), slog.Any("error", err))
	}
	return err == nil
}
