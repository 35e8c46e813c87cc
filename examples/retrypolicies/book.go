package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// book handles orders, and knows what became of each.
type book struct {
	url string

	mu     sync.Mutex
	calls  map[string]int
	booked map[string]bool
	left   int // neither booked nor buried
}

// work handles orders until each is booked or buried.
func (b *book) work(ctx context.Context, l *link.Link, orders topology.Work, policy retry.Policy) error {
	copies, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return consumer.Run(ctx, l, consumer.Config{Queue: orders.Queue, Handler: consumer.Chain(b.handle,
		b.count(stop),
		dlq.Middleware(copies, orders, dlq.Config{}),
		retry.Middleware(copies, orders, policy),
		consumer.Recover(),
	)})
}

// count stops the consumer when no order is left; it drains then.
func (b *book) count(stop func()) consumer.Middleware {
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			err := next(ctx, d)
			var dead *retry.DeadError
			buried := errors.As(consumer.Cause(err), &dead)
			b.mu.Lock()
			defer b.mu.Unlock()
			if err == nil {
				b.booked[d.MessageId] = true
			}
			if err == nil || buried {
				b.left--
			}
			if b.left == 0 {
				stop()
			}
			return err
		}
	}
}

// handle calls what the order needs. Its errors say what happened, and the
// policy what follows.
func (b *book) handle(ctx context.Context, d amqp.Delivery) error {
	b.mu.Lock()
	b.calls[d.MessageId]++
	call := b.calls[d.MessageId]
	b.mu.Unlock()
	switch {
	case strings.HasPrefix(d.MessageId, "outage"):
		return errWarehouse
	case d.MessageId == "deadlock" && call < 3:
		return errDeadlock
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/"+d.MessageId, http.NoBody)
	if err != nil {
		return retry.Permanent(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	return retry.FromHTTP(resp.StatusCode, resp.Header)
}

// serve starts a service that has its moods.
func serve() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	calls := map[string]int{}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:errcheck // it ends when the listener is closed
		mu.Lock()
		calls[r.URL.Path]++
		n := calls[r.URL.Path]
		mu.Unlock()
		switch {
		case r.URL.Path == "/limited" && n == 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case r.URL.Path == "/maintenance" && n < 4:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/invalid":
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	return l, nil
}
