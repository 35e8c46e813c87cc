package verdict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Starter publishes without waiting: it returns a [Pending] error, or the final
// outcome. Nil is no answer: it is treated as "not stored".
type Starter interface {
	Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error
}

// Copy is one copy of a delivery on its way to the ladder or a dead-letter
// queue. The delivery is acked when the copy is confirmed, not before.
type Copy struct {
	Starter  Starter
	Exchange string
	Key      string
	Message  amqp.Publishing
	Timeout  time.Duration // how long one publish may take
	Backstop bool          // what [Reject] says when no time can mend this copy
	Text     string        // what is being done, for the error's text
	Cause    error         // the failure that made the copy
	About    About         // for traces and counts

	values context.Context //nolint:containedctx // the attempt's values, for the copies that are repeated
}

// Start publishes the copy and returns a pending, again or reject error; nil
// only when the Starter returned a pending error whose outcome was nil at once.
// The copy has a deadline of its own: ctx may be over already, for the failure
// may be that very deadline (R 1).
func (c *Copy) Start(ctx context.Context) error {
	c.values = context.WithoutCancel(ctx)
	return c.publish(c.values)
}

// publish starts the copy under ctx and its own timeout. The timeout is
// released when the outcome is read; a consumer that lost its session never
// reads it, then the timer ends it.
func (c *Copy) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(WithAbout(ctx, c.About), c.Timeout)
	err := c.Starter.Start(ctx, c.Exchange, c.Key, c.Message)
	if err == nil {
		cancel()
		return &again{copy: c, err: errors.New("the publisher's Start returned nil, which says nothing about the copy: return a pending error or a final one")}
	}
	p, ok := AsPending(err)
	if !ok {
		cancel()
		return c.judge(err)
	}
	return c.pending(p, cancel)
}

func (c *Copy) pending(p Pending, cancel context.CancelFunc) error {
	return &then{Pending: p, text: c.Text + ": " + text(c.Cause), cause: c.Cause, about: c.About, f: func(outcome error) error {
		if next, ok := AsPending(outcome); ok {
			return c.pending(next, cancel)
		}
		cancel()
		return c.judge(outcome)
	}}
}

// judge maps the final outcome of a publish to what the consumer core does.
func (c *Copy) judge(outcome error) error {
	switch {
	case outcome == nil:
		return nil
	case hopeless(outcome):
		return &reject{copy: c, err: outcome}
	default:
		return &again{copy: c, err: outcome}
	}
}

// mendable are the reply codes of a refusal that time or an operator can mend:
// a closing broker, rights or an exchange that are missing for now, a locked
// queue, a broker short of resources or with an internal error. Everything else
// (pre-flight, 406, 501...) meets the same answer for ever (R 2, R 11).
var mendable = []int{amqp.ConnectionForced, amqp.AccessRefused, amqp.NotFound, amqp.ResourceLocked, amqp.ResourceError, amqp.InternalError}

func hopeless(outcome error) bool {
	var r interface {
		error
		Refused() (code int, reason string)
	}
	if !errors.As(outcome, &r) {
		return false
	}
	code, _ := r.Refused()
	return !slices.Contains(mendable, code)
}

type again struct {
	copy *Copy
	err  error
}

func (a *again) Error() string {
	return fmt.Sprintf("%s: the copy is not stored for now, to be tried again: %v (it was made because of: %s)", a.copy.Text, a.err, text(a.copy.Cause))
}

func (a *again) Unwrap() error { return a.err }

func (a *again) Cause() error { return a.copy.Cause }

func (a *again) About() About { return a.copy.About }

// Again publishes the same copy, under the same message-id, once more. It ends with
// ctx, and has the values of the attempt that made the copy: its span is there.
func (a *again) Again(ctx context.Context) error {
	return a.copy.publish(WithValues(ctx, a.copy.values))
}

// WithValues is ctx with the values of another one, where that has them; its end and
// its cause are ctx's. A nil values has none.
func WithValues(ctx, values context.Context) context.Context {
	if values == nil {
		return ctx
	}
	return valued{ctx, context.WithoutCancel(values)}
}

type valued struct {
	context.Context //nolint:containedctx // it is one
	values          context.Context
}

func (v valued) Value(key any) any {
	if value := v.values.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}

type reject struct {
	copy *Copy
	err  error
}

func (r *reject) Error() string {
	return fmt.Sprintf("%s: no time can mend this copy: %v (it was made because of: %s)", r.copy.Text, r.err, text(r.copy.Cause))
}

func (r *reject) Unwrap() error { return r.err }

func (r *reject) Cause() error { return r.copy.Cause }

func (r *reject) About() About { return r.copy.About }

func (r *reject) Reject() bool { return r.copy.Backstop }

func text(err error) string {
	if err == nil {
		return "no cause given"
	}
	return err.Error()
}
