package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

var quiet = slog.New(slog.DiscardHandler)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, test func(t *testing.T, br *amqptest.Broker)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Version: v, Clock: amqptest.Running}.New(t)) })
		})
	}
}

// on40 is each where the versions do not differ.
func on40(t *testing.T, test func(t *testing.T, br *amqptest.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Clock: amqptest.Running}.New(t)) })
}

// soon ends what hangs. An hour of the bubble is next to nothing.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// wait waits for a signal of the code under test.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Hour):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func open(t *testing.T, br *amqptest.Broker) *link.Link {
	t.Helper()
	l, err := link.Open(soon(t), link.Config{URLs: []string{br.PipeURL()}, Dial: br.Dial, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("Link.Close: %v", err)
		}
	})
	return l
}

// openBus opens a bus on a link of its own, with a short ladder. Both are closed
// with the test.
func openBus(t *testing.T, br *amqptest.Broker, cfg bus.Config) *bus.Bus {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	cfg.Ladder = topology.Ladder{Levels: 4}
	if cfg.Policy.BackOff == nil {
		cfg.Policy.BackOff = retry.Constant(time.Second)
	}
	b, err := bus.Open(soon(t), open(t, br), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func subscribe(t *testing.T, b *bus.Bus, pattern, group string, h bus.Handler) {
	t.Helper()
	if err := b.Subscribe(soon(t), pattern, group, h); err != nil {
		t.Fatal(err)
	}
}

// runBus runs the bus; it ends with b.Close. The result comes on the channel.
func runBus(b *bus.Bus) <-chan error {
	result := make(chan error, 1)
	go func() { result <- b.Run(context.Background()) }()
	return result
}

func publish(t *testing.T, b *bus.Bus, e bus.Event) {
	t.Helper()
	if err := b.Publish(soon(t), e); err != nil {
		t.Fatal(err)
	}
}

// collector is a handler that hands its events to the test.
func collector() (chan bus.Received, bus.Handler) {
	c := make(chan bus.Received, 1000)
	return c, func(_ context.Context, e bus.Received) error {
		c <- e
		return nil
	}
}

// operate does something over a connection of its own.
func operate(t *testing.T, br *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	c, err := amqp.DialConfig(br.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return br.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(ch); err != nil {
		t.Fatal(err)
	}
}

func inject(t *testing.T, br *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := br.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// letters are the group's letters, by message-id.
func letters(t *testing.T, b *bus.Bus, group string) map[string]dlq.Letter {
	t.Helper()
	all := map[string]dlq.Letter{}
	if err := b.DeadLetters(group).Look(soon(t), func(l dlq.Letter) error {
		all[l.Delivery.MessageId] = l
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// empty checks that nothing is left in the group's queue.
func empty(t *testing.T, br *amqptest.Broker, group string) {
	t.Helper()
	synctest.Wait()
	if q, ok := br.Queue("/", group); !ok || q.Ready+q.Unacked != 0 {
		t.Errorf("queue %s: %d ready, %d unacked, there: %t", group, q.Ready, q.Unacked, ok)
	}
}

// as is errors.As that fails the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got %v, want a %T", err, want)
	}
	return want
}

func event(i int) bus.Event {
	return bus.Event{Type: "event", MessageID: fmt.Sprint(i), Payload: i}
}
