package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// Bus publishes events and runs subscriptions over one link. All methods are
// safe for many goroutines.
type Bus struct {
	link   *link.Link
	cfg    Config
	events *confirm.Publisher
	inbox  inbox

	mu     sync.Mutex
	groups map[string]*subscription // nil while it is being declared
	order  []string
	stop   context.CancelFunc // ends Run; nil when it does not run
	ended  chan struct{}      // closed when that Run has returned
	closed bool
	asked  bool // the exchange of the requests is declared
}

// Open declares the exchange and opens a publisher, waiting for the link until
// ctx ends. The bus lives until Close; it does not close l.
//
// Errors: *ConfigError, those of topology.Declare and of confirm.Open.
func Open(ctx context.Context, l *link.Link, cfg Config) (*Bus, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b := &Bus{link: l, cfg: cfg, groups: make(map[string]*subscription)}
	b.inbox.link, b.inbox.prefix, b.inbox.log = l, cfg.Exchange+".replies.", cfg.Logger
	if err := topology.Declare(ctx, l, b.exchange()); err != nil {
		return nil, fmt.Errorf("bus: declare the exchange of the events: %w", err)
	}
	var err error
	if b.events, err = confirm.Open(ctx, l, confirm.Config{Logger: cfg.Logger, Tracer: cfg.Tracer}); err != nil {
		return nil, fmt.Errorf("bus: open the publisher of the events: %w", err)
	}
	return b, nil
}

func (b *Bus) exchange() topology.Topology {
	return topology.Topology{Exchanges: []topology.Exchange{{Name: b.cfg.Exchange, Kind: amqp.ExchangeTopic}}}
}

// Publish publishes an event and waits until every group subscribed to it has
// it, or ctx ends. Errors: *EventError, and the outcomes of confirm, among them
// *confirm.ReturnedError when no group subscribes to it (unless Config.Unrouted
// is Ignore). Outcomes with Temporary() true may be repeated: set MessageID,
// then, for a copy may have been stored.
func (b *Bus) Publish(ctx context.Context, e Event) error {
	key, msg, err := b.cfg.message(e, time.Now())
	if err != nil {
		return err
	}
	err = b.events.Publish(ctx, b.cfg.Exchange, key, msg)
	var returned *confirm.ReturnedError
	if b.cfg.Unrouted == Ignore && errors.As(err, &returned) {
		return nil
	}
	return err
}

// Close ends a Run that goes on and waits for its drain, then ends requests that
// still wait with ErrClosed and closes the publishers: what is under way gets its
// outcome. When ctx ends first, the rest
// becomes unsent or unknown, and its events come back to their queues. The link
// is the caller's to close, after this.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	stop, ended := b.stop, b.ended
	publishers := []*confirm.Publisher{}
	for _, group := range b.order {
		publishers = append(publishers, b.groups[group].copies)
	}
	b.mu.Unlock()

	var errs []error
	if stop != nil {
		stop()
		select {
		case <-ended:
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("bus: handlers are still running: %w", context.Cause(ctx)))
		}
	}
	b.inbox.close(ctx)
	for _, p := range append(publishers, b.events) {
		errs = append(errs, p.Close(ctx))
	}
	return errors.Join(errs...)
}
