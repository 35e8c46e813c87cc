package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// logger writes to stderr when HARELINE_TEST_LOG is set.
func logger() *slog.Logger {
	out := io.Discard
	if os.Getenv("HARELINE_TEST_LOG") != "" {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, nil))
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens a link that is closed with the test.
func open(t *testing.T, cfg link.Config) *link.Link {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = logger()
	}
	l, err := link.Open(deadline(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// publisher opens a publisher that is closed with the test.
func publisher(t *testing.T, l *link.Link, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = logger()
	}
	p, err := confirm.Open(deadline(t), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// do runs one call on a channel of its own.
func do(t *testing.T, l *link.Link, call func(ch *amqp.Channel) error) {
	t.Helper()
	s, err := l.Session(deadline(t), link.Consuming)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(deadline(t))
	if err := s.Do(deadline(t), call); err != nil {
		t.Fatal(err)
	}
}

// declareQueue declares a queue without our topology: the tests that use it
// are about something else.
func declareQueue(t *testing.T, l *link.Link, name string, args amqp.Table) {
	t.Helper()
	do(t, l, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
}

var quorum = amqp.Table{"x-queue-type": "quorum"}

// work declares a work queue with everything around it.
func work(t *testing.T, l *link.Link, name string, cfg topology.WorkConfig) topology.Work {
	t.Helper()
	w := topology.WorkQueue(name, cfg)
	if err := topology.Declare(deadline(t), l, w.Topology); err != nil {
		t.Fatal(err)
	}
	return w
}

// take empties a queue.
func take(t *testing.T, l *link.Link, queue string) []amqp.Delivery {
	t.Helper()
	var out []amqp.Delivery
	do(t, l, func(ch *amqp.Channel) error {
		for {
			d, ok, err := ch.Get(queue, true)
			if err != nil || !ok {
				return err
			}
			out = append(out, d)
		}
	})
	return out
}

// depth counts the ready messages of a queue.
func depth(t *testing.T, l *link.Link, queue string) int {
	t.Helper()
	n := 0
	do(t, l, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n
}

// running is a consumer in the background.
type running struct {
	stop   context.CancelFunc
	result chan error
}

// run starts a consumer; it is stopped with the test.
func run(t *testing.T, l *link.Link, cfg consumer.Config) *running {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = logger()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, result: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- consumer.Run(ctx, l, cfg)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

// stopped stops the consumer and waits for its result.
func (r *running) stopped(t *testing.T) error {
	t.Helper()
	r.stop()
	return r.wait(t)
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.result:
		return err
	case <-time.After(patience):
		t.Fatal("consumer.Run did not return")
		return nil
	}
}

// reliable is the chain of the documentation around h.
func reliable(copies *confirm.Publisher, w topology.Work, p retry.Policy, h consumer.Handler) consumer.Handler {
	p.Logger = logger()
	return consumer.Chain(h,
		dlq.Middleware(copies, w, dlq.Config{Logger: logger()}),
		retry.Middleware(copies, w, p),
		consumer.Recover())
}

// wait waits for a signal of the code under test.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("timed out waiting for %s", what)
		panic("unreachable")
	}
}

// tally counts by key, from many goroutines.
type tally struct {
	mu    sync.Mutex
	count map[string]int
	more  chan struct{}
}

func newTally() *tally { return &tally{count: map[string]int{}, more: make(chan struct{}, 1)} }

func (c *tally) add(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[key]++
	select {
	case c.more <- struct{}{}:
	default:
	}
	return c.count[key]
}

func (c *tally) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[key]
}

func (c *tally) distinct() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.count)
}

// until waits for a state of the tally.
func (c *tally) until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	end := time.After(patience)
	for !reached() {
		select {
		case <-c.more:
		case <-end:
			t.Fatalf("timed out waiting for %s; distinct: %d", what, c.distinct())
		}
	}
}

// id makes a new message-id.
func (c *tally) id(prefix string) string {
	return fmt.Sprintf("%s.%d", prefix, c.add(prefix))
}

func (c *tally) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.count, key)
}

// eventually waits for a state of the broker that no event tells.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	brokertest.Eventually(t, patience, func() error {
		if !cond() {
			return errors.New("the state was not reached")
		}
		return nil
	})
}

// state asks the management API for a queue.
func state(t *testing.T, b *brokertest.Broker, queue string) brokertest.Queue {
	t.Helper()
	q, err := b.API().Queue(deadline(t), queue)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// userURL creates a user with all permissions on the test's virtual host.
func userURL(t *testing.T, b *brokertest.Broker, name string) string {
	t.Helper()
	all := brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}
	if err := b.API().CreateUser(deadline(t), name, name, all); err != nil {
		t.Fatal(err)
	}
	uri, err := amqp.ParseURI(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	uri.Username, uri.Password = name, name
	return uri.String()
}
