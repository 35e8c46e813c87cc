package retry

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

// Middleware parks messages whose handler failed transiently. copies publishes
// nothing but copies and has a window as large as the prefetch, so that user
// code cannot hold them up (R 18). w is the queue that is consumed, p the policy.
//
// What it returns for an error of the handler:
//   - a pending error when a copy is under way. Its outcome is nil, or an error
//     by which the consumer keeps the delivery and publishes the same copy again
//     (nacked, returned, unsent, unknown, 403, 404), or one by which it rejects
//     the delivery or holds it aside (no time can mend the copy).
//   - a *DeadError when there is no further attempt.
//   - the error itself when the consumer is shutting down: that is no verdict,
//     the delivery is given back and nothing counted (R 1).
//
// A pending error from the handler itself (it forwards the message with Start)
// is waited for, and its failed outcome classified like any error. A delivery
// whose story is broken is not handled at all: *DeadError, malformed.
//
// The handler must not change the delivery's Body and Headers: the copy is made
// of them. Without copies or a queue, or with a policy that [Policy.Validate]
// refuses, nothing is handled: the consumer pauses, and its log and Health say why.
func Middleware(copies Starter, w topology.Work, p Policy) func(func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
	m, err := newMiddleware(copies, w, p)
	return func(next func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
		if err != nil {
			return func(context.Context, amqp.Delivery) error { return verdict.Misconfigured(err) }
		}
		return func(ctx context.Context, d amqp.Delivery) error { return m.handle(ctx, d, next) }
	}
}

var errConfig = errors.New("retry: Middleware needs a publisher for copies and a topology.Work with a queue: pass both, as topology.WorkQueue makes the latter")

type middleware struct {
	copies    Starter
	work      topology.Work
	policy    Policy
	budgets   []*Budget // of the policy and its classes
	immediate int       // the most that the policy and its classes allow
}

func newMiddleware(copies Starter, w topology.Work, p Policy) (*middleware, error) {
	if copies == nil || w.Queue == "" {
		return nil, errConfig
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p = p.withDefaults()
	return &middleware{copies: copies, work: w, policy: p, budgets: p.budgets(), immediate: p.mostImmediate()}, nil
}

func (m *middleware) handle(ctx context.Context, d amqp.Delivery, next func(context.Context, amqp.Delivery) error) error {
	now := time.Now()
	s, err := story.Of(d, m.work.Queue, now)
	if err != nil {
		return dead(s, m.policy, story.ReasonMalformed, err)
	}
	err = next(ctx, d)
	if s.RetryCount == 0 {
		m.earn(err)
	}
	if err == nil {
		return nil
	}
	if m.immediate > 0 {
		if s.FirstFailedAt.IsZero() {
			s.FirstFailedAt = time.Now()
		}
		err = m.repeat(ctx, d, s, next, err)
	}
	return m.judge(ctx, d, s, err)
}

// earn notes a first attempt. One that was postponed comes back again and again
// before it is one: in an outage that opens a breaker it would earn all the more.
func (m *middleware) earn(err error) {
	if len(m.budgets) == 0 {
		return
	}
	if _, postponed := verdict.AsPostponed(err); postponed {
		return
	}
	now := time.Now()
	for _, b := range m.budgets {
		b.earn(now)
	}
}

// repeat calls the handler again at once for as long as the policy has it, and
// returns what it returned at last.
func (m *middleware) repeat(ctx context.Context, d amqp.Delivery, s story.Story, next func(context.Context, amqp.Delivery) error, err error) error {
	for n := 1; m.atOnce(ctx, s, err, n); n++ {
		m.policy.Logger.DebugContext(ctx, "retry: the handler failed and is called again at once",
			slog.String("queue", m.work.Queue),
			slog.String("message_id", d.MessageId),
			slog.Int("retry", s.RetryCount),
			slog.Int("immediate", n),
			slog.String("error", m.policy.Redact(err.Error())))
		err = next(ctx, d)
	}
	return err
}

// atOnce reports whether err is one after which the handler is called again at
// once, for the nth time.
func (m *middleware) atOnce(ctx context.Context, s story.Story, err error, n int) bool {
	if err == nil || n > m.immediate || ctx.Err() != nil || some(err, panicked) { // whatever a rule says of panics
		return false
	}
	v, p := m.policy.judge(err)
	if _, asked := delayOf(err); asked || v != VerdictTransient || n > p.Immediate {
		return false
	}
	now := time.Now()
	if p.MaxElapsed > 0 && now.Sub(s.FirstFailedAt) > p.MaxElapsed || !s.ExpiresAt.IsZero() && now.After(s.ExpiresAt) {
		return false
	}
	return p.Budget.takeAtOnce(now)
}

// isWord reports whether err says what is done about a copy, and so is not ours
// to judge: not yet, or not at all.
func isWord(err error) bool {
	_, pending := verdict.AsPending(err)
	_, again := verdict.AsAgain(err)
	_, reject := verdict.AsReject(err)
	return pending || again || reject
}

// judge turns the handler's error, or the failed outcome of its own copy, into
// ours.
func (m *middleware) judge(ctx context.Context, d amqp.Delivery, s story.Story, err error) error {
	if err == nil || verdict.IsShutdown(ctx) {
		return err
	}
	if p, ok := verdict.AsPending(err); ok {
		return verdict.Then(p, func(outcome error) error { return m.judge(ctx, d, s, outcome) })
	}
	if isWord(err) {
		return err
	}
	round := func(delay time.Duration) time.Duration {
		_, _, actual := m.work.Park(delay)
		return actual
	}
	now := time.Now()
	decided := decide(now, s, err, m.policy, round)
	if !decided.park() {
		return dead(s, decided.policy, decided.reason, err)
	}
	ok, tell := decided.policy.Budget.take(now)
	if tell {
		m.policy.Logger.WarnContext(ctx, "retry: the budget is spent; messages that fail are given up until retries are fewer, or first attempts more",
			slog.String("queue", m.work.Queue), slog.String("error", decided.story.LastError))
	}
	if !ok {
		return dead(s, decided.policy, story.ReasonBudget, err)
	}
	return m.park(ctx, d, decided, err)
}

func dead(s story.Story, p Policy, reason string, err error) error {
	return &DeadError{Reason: reason, Attempt: s.RetryCount + 1, Of: max(p.MaxRetries, s.RetryCount) + 1, Err: err}
}

// park starts the copy. The original is settled by the copy's outcome.
func (m *middleware) park(ctx context.Context, d amqp.Delivery, decided decision, cause error) error {
	exchange, key, actual := m.work.Park(decided.delay)
	msg, dropped := story.Copy(d, decided.story, 0)
	m.log(ctx, msg.MessageId, decided, actual, dropped)
	copied := verdict.Copy{
		Starter:  m.copies,
		Exchange: exchange,
		Key:      key,
		Message:  msg,
		Timeout:  m.policy.CopyTimeout,
		Backstop: m.work.Backstop(),
		Text:     fmt.Sprintf("retry %d of %d of a message of queue %q in %v", decided.story.RetryCount, decided.story.RetryMax, m.work.Queue, actual),
		Cause:    cause,
		About: verdict.About{
			Kind: verdict.Parked, Queue: m.work.Queue, Delay: actual,
			Attempt: decided.story.RetryCount, Of: decided.story.RetryMax + 1,
		},
	}
	return copied.Start(ctx)
}

func (m *middleware) log(ctx context.Context, id string, decided decision, actual time.Duration, dropped []string) {
	log := m.policy.Logger.With(
		slog.String("queue", m.work.Queue),
		slog.String("message_id", id),
		slog.Int("retry", decided.story.RetryCount),
		slog.Int("retry_max", decided.story.RetryMax),
		slog.Duration("delay", actual),
		slog.String("error", decided.story.LastError),
	)
	if actual < decided.delay {
		log.WarnContext(ctx, "retry: the delay is longer than the ladder reaches and was cut", slog.Duration("wanted", decided.delay))
	}
	if len(dropped) > 0 {
		log.WarnContext(ctx, "retry: headers did not fit the copy and were dropped", slog.Any("headers", dropped))
	}
	log.InfoContext(ctx, "retry: message parked")
}
