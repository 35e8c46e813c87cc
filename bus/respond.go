package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// Responder answers one request: its result is the payload of the reply. It is
// called like a [Handler], and for one request more than once: what it does must
// bear that. A transient error is tried again as long as the request lives; the last
// one, and any other, goes to the caller as a *ResponderError. ctx ends with the
// request's deadline, too.
type Responder func(ctx context.Context, e Received) (any, error)

// Respond has Run answer the requests that match pattern. It is like
// [Bus.Subscribe], with the same group rules; the group's queue is bound to an
// exchange of its own for requests, the bus's name and ".requests". Processes of one
// group share the requests. Two groups that match one request both handle it.
//
// A request whose deadline is over is dropped, by the broker while it waits, else
// here with a line in the log: the clocks of callers and responders must agree to
// within what a request may take. A request is released when its reply is
// confirmed. A reply queue that is gone means that the caller is: the reply is
// dropped, with a line in the log. A message that names no reply queue is handled as
// well: its result is dropped, its failure buried in the group's dead-letter queue.
//
// Middleware sees a failed request as pending, with the failure as its Cause. That
// of package dedup does not belong here: a request that is repeated because its reply
// was lost would be dropped, and get none.
func (b *Bus) Respond(ctx context.Context, pattern, group string, r Responder, m ...consumer.Middleware) error {
	if err := checkSubscription(pattern, group, r != nil); err != nil {
		return err
	}
	return b.register(ctx, group, func() (*subscription, error) { return b.respond(ctx, pattern, group, r, m) })
}

func (b *Bus) respond(ctx context.Context, pattern, group string, r Responder, m []consumer.Middleware) (*subscription, error) {
	work := b.requestWork(group)
	bound := topology.Topology{Bindings: []topology.Binding{{Source: b.requests(), Destination: group, Key: pattern}}}
	if err := topology.Declare(ctx, b.link, work.Merge(b.requestExchange(), bound)); err != nil {
		return nil, fmt.Errorf("bus: respond as group %q: %w", group, err)
	}
	copies, err := confirm.Open(ctx, b.link, confirm.Config{Window: b.cfg.Prefetch, Logger: b.cfg.Logger, Tracer: b.cfg.Tracer})
	if err != nil {
		return nil, fmt.Errorf("bus: respond as group %q: open the publisher of its replies and copies: %w", group, err)
	}
	s := &responding{bus: b, group: group, copies: copies, respond: r}
	around := slices.Concat(b.cfg.Middleware, m, []consumer.Middleware{
		b.burial(copies, work),
		s.answerFailures,
		s.limit,
		retry.Middleware(copies, work, b.cfg.Policy),
		consumer.Recover(),
	})
	return &subscription{work: work, handler: consumer.Chain(s.handle, around...), copies: copies}, nil
}

// requestWork is the work queue of a group of responders: without dead-lettering by
// the broker, for a request that expires is of no use to anybody.
func (b *Bus) requestWork(group string) topology.Work {
	w := b.work(group)
	w.Queues = slices.Clone(w.Queues)
	for i, q := range w.Queues {
		if q.Name == group {
			w.Queues[i] = topology.Queue{Name: group}
		}
	}
	return w
}

// responding is one group of responders in this process.
type responding struct {
	bus     *Bus
	group   string
	copies  *confirm.Publisher
	respond Responder
}

// handle makes one attempt, and sends the reply.
func (s *responding) handle(ctx context.Context, d amqp.Delivery) error {
	e, err := s.bus.receive(d, s.group)
	if err != nil {
		return err
	}
	if by, ok := replyBy(d); ok {
		if late := time.Since(by); late >= 0 {
			s.bus.cfg.Logger.Warn("bus: a request was dropped unhandled: its caller waits no more", "queue", s.group, "type", e.Type, "message_id", e.MessageID, "late", late)
			return nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, by)
		defer cancel()
	}
	payload, err := s.respond(ctx, e)
	if err != nil || d.ReplyTo == "" {
		return err
	}
	return s.reply(ctx, d, statusOK, Event{Type: e.Type + ".reply", Payload: payload})
}

// reply puts a reply on its way: it returns a pending error, whose outcome settles
// the request, or what is wrong with it.
func (s *responding) reply(ctx context.Context, d amqp.Delivery, status string, e Event) error {
	_, msg, err := s.bus.cfg.message(e, time.Now())
	if err != nil {
		return err
	}
	headers := amqp.Table{HeaderReplyStatus: status}
	maps.Copy(headers, msg.Headers)
	msg.Headers, msg.CorrelationId = headers, d.CorrelationId
	// The handler's ctx ends with the request's time; a reply that is late is the
	// caller's to count.
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout())
	receipt := s.copies.Send(sending, "", d.ReplyTo, msg)
	return verdict.Then(&confirm.PendingError{Receipt: receipt}, func(outcome error) error {
		cancel()
		var returned *confirm.ReturnedError
		if errors.As(outcome, &returned) {
			s.bus.cfg.Logger.Warn("bus: a reply was dropped: its caller is gone, and the reply queue with it", "queue", s.group, "message_id", d.MessageId, "reply_queue", d.ReplyTo)
			return nil
		}
		return outcome
	})
}

func (s *responding) timeout() time.Duration {
	if t := s.bus.cfg.Policy.CopyTimeout; t > 0 {
		return t
	}
	return 30 * time.Second
}

// limit ends the retries with the request: its deadline goes into the story, where
// retry looks for the end of a message's life.
func (s *responding) limit(next consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d amqp.Delivery) error {
		by, ok := replyBy(d)
		told, err := story.Of(d, s.group, time.Now())
		if !ok || err != nil {
			return next(ctx, d)
		}
		told.ExpiresAt = by
		headers := maps.Clone(d.Headers)
		maps.Copy(headers, told.Table())
		d.Headers = headers
		return next(ctx, d)
	}
}

// answerFailures tells the caller of what would be buried.
func (s *responding) answerFailures(next consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d amqp.Delivery) error { return s.judge(ctx, d, next(ctx, d)) }
}

func (s *responding) judge(ctx context.Context, d amqp.Delivery, err error) error {
	if err == nil || verdict.IsShutdown(ctx) || d.ReplyTo == "" {
		return err
	}
	if p, ok := verdict.AsPending(err); ok {
		return verdict.Then(p, func(outcome error) error { return s.judge(ctx, d, outcome) })
	}
	if verdict.Unsettled(err) {
		return err
	}
	return s.answer(ctx, d, err)
}

// answer tells the caller of err. The request failed, though it is released: so the
// error that is returned has err as its cause.
func (s *responding) answer(ctx context.Context, d amqp.Delivery, err error) error {
	answer := s.reply(ctx, d, statusError, Event{Type: s.typeOf(d) + ".error", Payload: s.failure(d, err)})
	p, ok := verdict.AsPending(answer)
	if !ok {
		return errors.Join(err, answer)
	}
	return verdict.Then(&answered{Pending: p, cause: err}, func(outcome error) error {
		if outcome != nil { // buried then, with both
			return fmt.Errorf("%w; and the reply that tells so was not sent: %w", err, outcome)
		}
		return nil
	})
}

// answered is the reply that tells of a failure.
type answered struct {
	verdict.Pending
	cause error
}

func (a *answered) Cause() error { return a.cause }

func (s *responding) typeOf(d amqp.Delivery) string {
	if e, err := read(d); err == nil {
		return e.Type
	}
	return "request"
}

func (s *responding) failure(d amqp.Delivery, err error) failure {
	f := failure{Error: err.Error(), Reason: story.ReasonUnexpected, Class: story.Class(err)}
	var dead *retry.DeadError
	if errors.As(err, &dead) {
		f.Error, f.Reason, f.Attempts = dead.Err.Error(), dead.Reason, dead.Attempt
	}
	f.Temporary = slices.Contains([]string{story.ReasonExhausted, story.ReasonElapsed, story.ReasonExpired}, f.Reason)
	if s.bus.cfg.Redact != nil {
		f.Error = s.bus.cfg.Redact(f.Error)
	}
	s.bus.cfg.Logger.Warn("bus: a request failed; its caller is told", "queue", s.group, "message_id", d.MessageId, "reason", f.Reason, "class", f.Class, "error", f.Error)
	return f
}

// replyBy is the end of a request's life, if it has one.
func replyBy(d amqp.Delivery) (time.Time, bool) {
	text, _ := d.Headers[HeaderReplyBy].(string)
	by, err := time.Parse(time.RFC3339Nano, text)
	return by, err == nil
}
