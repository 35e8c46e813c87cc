package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// ErrClosed is returned by Subscribe and Run after Close.
var ErrClosed = errors.New("bus: closed by Close; open a new bus")

// subscription is one group in this process.
type subscription struct {
	work    topology.Work
	handler consumer.Handler
	copies  *confirm.Publisher
}

// Subscribe declares the group's queue, with its dead-letter queue and its place
// on the ladder, binds it by pattern, and has Run handle its events with h. From
// its return on, every matching event is kept for the group, whether Run runs or
// not. So: subscribe, then publish.
//
// The group is the queue's name. It is required: a name made up at each start
// would leave a queue behind each time. A group has one handler in a process, so
// subscribing it twice is an error; a service that handles two kinds of events
// apart takes two groups. Subscribe before Run.
//
// Middleware given here wraps this handler inside of Config.Middleware and
// outside of burial and retries.
//
// Errors: *ConfigError, ErrClosed, those of topology.Declare and confirm.Open.
// After one the group is not subscribed, and Subscribe may be repeated.
func (b *Bus) Subscribe(ctx context.Context, pattern, group string, h Handler, m ...consumer.Middleware) error {
	if err := checkSubscription(pattern, group, h != nil); err != nil {
		return err
	}
	return b.register(ctx, group, func() (*subscription, error) { return b.subscribe(ctx, pattern, group, h, m) })
}

// register gives the group the subscription that open opens, unless it has one.
func (b *Bus) register(ctx context.Context, group string, open func() (*subscription, error)) error {
	if err := b.reserve(group); err != nil {
		return err
	}
	s, err := open()
	b.mu.Lock()
	closed := b.closed
	if err == nil && !closed {
		b.groups[group] = s
		b.order = append(b.order, group)
	} else {
		delete(b.groups, group)
	}
	b.mu.Unlock()
	if err == nil && closed {
		return errors.Join(ErrClosed, s.copies.Close(ctx))
	}
	return err
}

func (b *Bus) reserve(group string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, taken := b.groups[group]
	switch {
	case b.closed:
		return ErrClosed
	case b.stop != nil:
		return &ConfigError{Field: "Subscribe", Problem: fmt.Sprintf("for group %q comes while Run runs", group), Fix: "subscribe all groups first, or open another bus"}
	case taken:
		return &ConfigError{Field: "group", Problem: fmt.Sprintf("%q is subscribed already", group), Fix: "give this subscription a group of its own, or widen the pattern of the first"}
	}
	b.groups[group] = nil
	return nil
}

func (b *Bus) subscribe(ctx context.Context, pattern, group string, h Handler, m []consumer.Middleware) (*subscription, error) {
	work := b.work(group)
	bound := topology.Topology{Bindings: []topology.Binding{{Source: b.cfg.Exchange, Destination: group, Key: pattern}}}
	if err := topology.Declare(ctx, b.link, work.Merge(b.exchange(), bound)); err != nil {
		return nil, fmt.Errorf("bus: subscribe group %q: %w", group, err)
	}
	// Copies have a publisher of their own: a full window of events must not
	// hold up burials (R 18).
	copies, err := confirm.Open(ctx, b.link, confirm.Config{Window: b.cfg.Prefetch, Logger: b.cfg.Logger, Tracer: b.cfg.Tracer})
	if err != nil {
		return nil, fmt.Errorf("bus: subscribe group %q: open the publisher of its copies: %w", group, err)
	}
	around := slices.Concat(b.cfg.Middleware, m, []consumer.Middleware{
		b.burial(copies, work),
		retry.Middleware(copies, work, b.cfg.Policy),
		consumer.Recover(),
	})
	handler := consumer.Chain(func(ctx context.Context, d amqp.Delivery) error {
		e, err := b.receive(d, group)
		if err != nil {
			return err
		}
		return h(ctx, e)
	}, around...)
	return &subscription{work: work, handler: handler, copies: copies}, nil
}

func (b *Bus) burial(copies *confirm.Publisher, work topology.Work) consumer.Middleware {
	return dlq.Middleware(copies, work, dlq.Config{Redact: b.cfg.Redact, CopyTimeout: b.cfg.Policy.CopyTimeout, Logger: b.cfg.Logger})
}

func (b *Bus) receive(d amqp.Delivery, group string) (Received, error) {
	r, err := receive(d, group)
	if err != nil {
		return r, err
	}
	return b.cfg.upcast(r)
}

// work is the topology of a group, the binding of its pattern left out.
func (b *Bus) work(group string) topology.Work {
	return topology.WorkQueue(group, topology.WorkConfig{Ladder: b.cfg.Ladder, Retry: b.cfg.Policy})
}

func checkSubscription(pattern, group string, handler bool) error {
	switch {
	case group == "":
		return &ConfigError{Field: "group", Problem: "is empty", Fix: "name the group: it is the name of its queue"}
	case strings.ContainsAny(group, "*#"):
		return &ConfigError{Field: "group", Problem: fmt.Sprintf("%q looks like a pattern", group), Fix: "pass the pattern first, then the group, which is the name of its queue"}
	case !handler:
		return &ConfigError{Field: "handler", Problem: fmt.Sprintf("of group %q is nil", group), Fix: "give a function that handles events"}
	}
	if problem, fix := checkPattern(pattern); problem != "" {
		return &ConfigError{Field: "pattern", Problem: fmt.Sprintf("of group %q: %s", group, problem), Fix: fix}
	}
	return nil
}

// Run handles the events of all subscribed groups until ctx ends or one of their
// consumers fails, over every reconnect; then it drains them. It returns nil
// after a drain in which every handler returned, else the errors of
// consumer.Run. With no group subscribed it is a *ConfigError, and so is a
// second Run at the same time.
func (b *Bus) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cfgs, ended, err := b.start(cancel)
	if err != nil {
		return err
	}
	err = consumer.RunAll(ctx, b.link, cfgs...)
	b.mu.Lock()
	b.stop = nil
	b.mu.Unlock()
	close(ended)
	return err
}

func (b *Bus) start(cancel context.CancelFunc) ([]consumer.Config, chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, nil, ErrClosed
	case b.stop != nil:
		return nil, nil, &ConfigError{Field: "Run", Problem: "is called while it runs", Fix: "run a bus once, with more Workers"}
	case len(b.order) == 0:
		return nil, nil, &ConfigError{Field: "Run", Problem: "has nothing to do", Fix: "subscribe at least one group first"}
	}
	cfgs := make([]consumer.Config, 0, len(b.order))
	for _, group := range b.order {
		cfgs = append(cfgs, consumer.Config{
			Queue: group, Handler: b.groups[group].handler,
			Workers: b.cfg.Workers, Prefetch: b.cfg.Prefetch,
			DrainTimeout: b.cfg.DrainTimeout, ConsumerTimeout: b.cfg.ConsumerTimeout,
			Control: b.cfg.Control, Watchdog: b.cfg.Watchdog, OnHealth: b.cfg.OnHealth, Logger: b.cfg.Logger, Redact: b.cfg.Redact,
		})
	}
	b.stop, b.ended = cancel, make(chan struct{})
	return cfgs, b.ended, nil
}
