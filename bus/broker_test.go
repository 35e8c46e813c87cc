package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

// The words of the tests, see package bubble.
var (
	quiet   = bubble.Quiet
	each    = bubble.Each
	on40    = bubble.On40
	soon    = bubble.Soon
	pass    = bubble.Pass
	operate = bubble.Operate
	inject  = bubble.Inject
)

// as is bubble.As.
func as[E error](t *testing.T, err error) E { t.Helper(); return bubble.As[E](t, err) }

// wait is bubble.Wait.
func wait[T any](t *testing.T, c <-chan T, what string) T { t.Helper(); return bubble.Wait(t, c, what) }

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
	b, err := bus.Open(soon(t), bubble.Open(t, br, link.Config{}), cfg)
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

func event(i int) bus.Event {
	return bus.Event{Type: "event", MessageID: fmt.Sprint(i), Payload: i}
}
