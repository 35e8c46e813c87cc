package consumer_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/internal/bubble"
)

// The words of the tests, see package bubble.
var (
	quiet      = bubble.Quiet
	each       = bubble.Each
	on40       = bubble.On40
	soon       = bubble.Soon
	pass       = bubble.Pass
	eventually = bubble.Eventually
	open       = bubble.Open
	operate    = bubble.Operate
	declare    = bubble.Declare
	inject     = bubble.Inject
	run        = bubble.Consume
	ids        = bubble.IDs
	numbers    = bubble.Numbers
)

// wait is bubble.Wait.
func wait[T any](t *testing.T, c <-chan T, what string) T { t.Helper(); return bubble.Wait(t, c, what) }

var (
	quorum  = amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(1000)}
	classic = amqp.Table{"x-queue-type": "classic"}
)

// fill publishes n messages with the ids 0 to n-1 to a queue.
func fill(t *testing.T, b *amqptest.Broker, queue string, n int) {
	t.Helper()
	publish(t, b, queue, numbered(n)...)
}

func numbered(n int) []amqp.Publishing {
	var all []amqp.Publishing
	for i := range n {
		all = append(all, amqp.Publishing{MessageId: fmt.Sprint(i), DeliveryMode: amqp.Persistent})
	}
	return all
}

func publish(t *testing.T, b *amqptest.Broker, queue string, all ...amqp.Publishing) {
	t.Helper()
	bubble.Publish(t, b, "", queue, all...)
}

// calls counts what handlers get, by message-id.
type calls struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *calls) add(d amqp.Delivery) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[d.MessageId]++
	return c.count[d.MessageId]
}

func (c *calls) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

func (c *calls) distinct() int { return len(c.all()) }

// once checks that each of n messages was handled once.
func (c *calls) once(t *testing.T, n int) {
	t.Helper()
	count := c.all()
	for i := range n {
		if got := count[fmt.Sprint(i)]; got != 1 {
			t.Errorf("message %d was handled %d times", i, got)
		}
	}
}

// left checks that these messages, in this order, are ready, and none unacked.
func left(t *testing.T, b *amqptest.Broker, queue string, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := ids(b.Messages("/", queue)); !slices.Equal(got, want) {
		t.Errorf("ready in %s: %v, want %v", queue, got, want)
	}
	if got := ids(b.Unacked("/", queue)); len(got) > 0 {
		t.Errorf("unacked in %s: %v", queue, got)
	}
}

func unacked(b *amqptest.Broker, queue string) int {
	q, _ := b.Queue("/", queue)
	return q.Unacked
}

// brokenChannels are the channels that the broker closed, with code and text.
func brokenChannels(b *amqptest.Broker) []amqptest.Event {
	return b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventChannelClosed && e.Reason == "broker" })
}
