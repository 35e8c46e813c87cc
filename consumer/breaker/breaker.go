// Package breaker is consumer middleware with a circuit breaker
// (sony/gobreaker): when what the handler depends on is down, the consumer
// pauses instead of using up the attempts of one message after the other.
//
//	var control consumer.Control
//	guard, err := breaker.New(breaker.Config{Control: &control, Settings: gobreaker.Settings{Name: "warehouse"}})
//	h := consumer.Chain(ship, guard, dlq.Middleware(...), retry.Middleware(...), consumer.Recover())
//	err = consumer.Run(ctx, l, consumer.Config{Queue: "orders", Handler: h, Control: &control})
//
// Open, it holds the consumer (consumer.Control.Hold): no handler starts, what was
// delivered is kept, no attempt counts, Health is Paused with an *OpenError.
// After Settings.Timeout it is half-open and lets Settings.MaxRequests messages
// through, while the other workers wait; their results close it or open it again.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sony/gobreaker/v2"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/verdict"
)

// Config of a breaker. Control is required.
type Config struct {
	// Control that the guarded consumers have as their Config.Control.
	Control *consumer.Control
	// Settings of the breaker. By default it opens after 6 failures in a row,
	// for a minute, and one success closes it. Its functions get the failure
	// itself, also where retry or dlq have taken it, and nil for a success; they
	// are called under a lock of the breaker and must not call it. Left out of
	// the counts, besides what IsExcluded says: malformed messages, postponed
	// ones, and the consumer's shutdown, which say nothing of what is depended on.
	Settings gobreaker.Settings
}

// OpenError is why a consumer is held.
type OpenError struct {
	Name string // Settings.Name
	// Err is the last failure.
	Err error
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("breaker %q: open; the last failure: %v", e.Name, e.Err)
}

// Unwrap returns the last failure.
func (e *OpenError) Unwrap() error { return e.Err }

// New makes the middleware of one breaker, for one or more consumers that
// depend on the same thing. Put it outside of retry and dlq, and inside of what
// delays or drops messages: dropped ones would count as successes. The error says
// what is wrong with cfg.
func New(cfg Config) (consumer.Middleware, error) {
	if cfg.Control == nil {
		return nil, errors.New("breaker: Config.Control is nil: give the Control that the consumer has as its Config.Control")
	}
	b := &breaker{control: cfg.Control, changed: make(chan struct{})}
	s := cfg.Settings
	b.name, b.user = s.Name, s.OnStateChange
	b.timeout = s.Timeout
	if b.timeout <= 0 {
		b.timeout = time.Minute // gobreaker's own default
	}
	excluded := s.IsExcluded
	s.IsExcluded = func(err error) bool {
		return errors.Is(err, errNeutral) || excluded != nil && err != nil && excluded(err)
	}
	s.OnStateChange = b.change
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](s)
	return b.wrap, nil
}

type breaker struct {
	name    string
	timeout time.Duration
	user    func(string, gobreaker.State, gobreaker.State)
	control *consumer.Control
	cb      *gobreaker.TwoStepCircuitBreaker[struct{}]
	last    atomic.Pointer[error]
	release func() // of the hold; under gobreaker's lock

	mu      sync.Mutex
	changed chan struct{} // closed when a waiting worker may ask again
}

// change is called under gobreaker's lock. The hold is on before anybody is told
// that the breaker is open.
func (b *breaker) change(name string, from, to gobreaker.State) {
	if b.user != nil {
		b.user(name, from, to)
	}
	if to == gobreaker.StateOpen {
		b.release = b.control.Hold(b.open())
		// gobreaker changes its state only when asked, and only after Timeout.
		time.AfterFunc(b.timeout+time.Millisecond, func() { b.cb.State() })
	} else if b.release != nil {
		b.release()
		b.release = nil
	}
	b.wake()
}

func (b *breaker) open() error {
	e := &OpenError{Name: b.name}
	if last := b.last.Load(); last != nil {
		e.Err = *last
	}
	return e
}

func (b *breaker) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *breaker) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *breaker) wrap(next consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d amqp.Delivery) error {
		for {
			changed := b.wait()
			result, refused := b.try(ctx, d, next)
			switch {
			case refused == nil:
				return result
			case errors.Is(refused, gobreaker.ErrOpenState):
				return consumer.Postpone(0, b.open())
			}
			select { // half-open, with enough messages under way
			case <-changed:
				if s, ok := consumer.SubscriptionOf(ctx); ok && s.Held() { // open again, or for another reason
					return consumer.Postpone(0, refused)
				}
			case <-stopping(ctx):
				return consumer.Postpone(0, refused)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// try calls the handler, unless the breaker refuses. However the handler ends, its
// place is given back: half-open, the consumer waits for that.
func (b *breaker) try(ctx context.Context, d amqp.Delivery, next consumer.Handler) (result, refused error) {
	done, refused := b.cb.Allow()
	if refused != nil {
		return nil, refused
	}
	failure := errNoReturn
	defer func() { b.conclude(done, failure) }()
	result = next(ctx, d)
	failure = judge(ctx, result)
	return result, nil
}

func (b *breaker) conclude(done func(error), failure error) {
	if failure != nil && !errors.Is(failure, errNeutral) {
		b.last.Store(&failure)
	}
	done(failure)
	if b.cb.State() == gobreaker.StateHalfOpen {
		b.wake() // its place is free again, if it was left out of the counts
	}
}

var (
	errNeutral  = errors.New("breaker: says nothing of what is depended on")
	errNoReturn = errors.New("breaker: the handler panicked, or ended its goroutine")
)

// judge gives the failure in a result of the chain, nil for a success.
func judge(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if verdict.IsShutdown(ctx) {
		return errNeutral
	}
	if _, ok := verdict.AsPostponed(err); ok {
		return errNeutral
	}
	failure := consumer.Cause(err)
	if _, pending := verdict.AsPending(err); pending && failure == nil {
		return nil // the handler forwards the message
	}
	if failure == nil {
		failure = err
	}
	var bad interface{ Malformed() bool }
	if errors.As(failure, &bad) && bad.Malformed() {
		return errNeutral
	}
	return failure
}

// stopping is closed when no handler is to start any more; nil outside of Run.
func stopping(ctx context.Context) <-chan struct{} {
	if s, ok := consumer.SubscriptionOf(ctx); ok {
		return s.Stopping()
	}
	return nil
}
