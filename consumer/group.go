package consumer

import (
	"cmp"
	"context"
	"errors"
	"os/signal"
	"syscall"
	"time"

	"github.com/hareline/hareline/link"
)

// Closer is what a Group closes once its consumers have drained, such as a
// *confirm.Publisher.
type Closer interface {
	Close(ctx context.Context) error
}

// Group is the whole of a consuming process: its consumers, the publishers
// they use, and the order in which they end. Its Run closes the link: whatever
// else uses that link must be done by then.
type Group struct {
	Consumers []Config
	// Publishers are closed after the consumers have drained and before the
	// link: their last copies must still be confirmed.
	Publishers []Closer
	// CloseTimeout bounds the closing of publishers and link. Default 10 s.
	CloseTimeout time.Duration
}

// Run runs all consumers until ctx ends, the process gets SIGINT or SIGTERM (a
// second one ends it as usual), or a consumer fails; then it drains them,
// closes the publishers, and closes the link.
func (g Group) Run(ctx context.Context, l *link.Link) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	err := RunAll(ctx, l, g.Consumers...)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(g.CloseTimeout, 10*time.Second))
	defer cancel()
	errs := []error{err}
	for _, p := range g.Publishers {
		errs = append(errs, p.Close(closing))
	}
	return errors.Join(append(errs, l.Close(closing))...)
}
