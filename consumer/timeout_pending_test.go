package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/verdict"
)

// forwarded is what a publisher's Start returns: its outcome comes later, or with
// the end of the ctx that it was started under.
type forwarded struct {
	done    chan struct{}
	outcome error
}

func forward(ctx context.Context, after time.Duration) *forwarded {
	f := &forwarded{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		select {
		case <-time.After(after):
		case <-ctx.Done():
			f.outcome = ctx.Err()
		}
	}()
	return f
}

func (f *forwarded) Error() string         { return "forwarded" }
func (f *forwarded) Done() <-chan struct{} { return f.done }
func (f *forwarded) Outcome() error        { return f.outcome }

// A handler that forwards its message under the ctx of Timeout has the outcome
// that this gets, and not that of a ctx which ends as the handler returns.
func TestTimeoutOfAForwardedMessage(t *testing.T) {
	for _, tc := range []struct {
		takes, limit, ends time.Duration
		want               error
	}{
		{time.Second, time.Minute, time.Second, nil},
		{time.Hour, time.Minute, time.Minute, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			var own context.Context
			h := consumer.Timeout(tc.limit)(func(ctx context.Context, _ amqp.Delivery) error {
				own = ctx
				return forward(ctx, tc.takes)
			})
			began := time.Now()
			p, ok := verdict.AsPending(h(t.Context(), amqp.Delivery{}))
			if !ok {
				t.Fatal("not pending")
			}
			<-p.Done()
			if err := p.Outcome(); !errors.Is(err, tc.want) || time.Since(began) != tc.ends {
				t.Errorf("%v after %v, want %v after %v", err, time.Since(began), tc.want, tc.ends)
			}
			if own.Err() == nil {
				t.Error("its ctx is not released")
			}
		})
	}
}
