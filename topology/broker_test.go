package topology_test

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

var soon = bubble.Soon

// each runs a test on a broker of each version.
func each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	bubble.EachWith(t, amqptest.Config{Plugins: []string{"rabbitmq_consistent_hash_exchange"}}, test)
}

func open(t *testing.T, b *amqptest.Broker, user string) *link.Link {
	t.Helper()
	return bubble.Open(t, b, link.Config{URLs: []string{"amqp://" + user + "@broker/"}})
}

func declare(t *testing.T, l *link.Link, top topology.Topology) {
	t.Helper()
	if err := topology.Declare(soon(t), l, top); err != nil {
		t.Fatal(err)
	}
}

// What Validate lets through, each release takes, twice.
func TestEveryArgumentIsAccepted(t *testing.T) {
	top := topology.Topology{
		Exchanges: []topology.Exchange{
			{Name: "hash", Kind: topology.ConsistentHash, HashHeader: "user"},
			{Name: "property", Kind: topology.ConsistentHash, HashProperty: "message_id"},
			{Name: "headers", Kind: amqp.ExchangeHeaders},
		},
		Queues: []topology.Queue{
			{Name: "dlq"},
			{
				Name: "quorum", DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "dlq", TTL: time.Hour, Expires: 2 * time.Hour,
				MaxLength: 10, MaxBytes: 1000, Overflow: topology.RejectPublish, DeadLetterStrategy: topology.AtLeastOnce, DeliveryLimit: 7, SingleActive: true,
				ConsumerTimeout: time.Hour, DisconnectedTimeout: time.Minute, DelayedRetry: topology.RetryAll, DelayedRetryMin: time.Second, DelayedRetryMax: time.Minute,
				LeaderLocator: topology.Balanced, InitialGroupSize: 1, Arguments: amqp.Table{"x-quorum-target-group-size": 3, "x-max-in-memory-length": 5},
			},
			{
				Name: "classic", Type: topology.Classic, DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "dlq", TTL: time.Hour, Expires: 2 * time.Hour,
				MaxLength: 10, MaxBytes: 1000, Overflow: topology.DropHead, MaxPriority: 3, SingleActive: true,
				Arguments: amqp.Table{"x-queue-mode": "lazy", "x-queue-version": 2},
			},
			{
				Name: "stream", Type: topology.Stream, MaxBytes: 1 << 30, MaxAge: 90 * time.Minute, SegmentBytes: 1 << 20, FilterBytes: 32,
				LeaderLocator: topology.Balanced, InitialGroupSize: 1,
			},
		},
		Bindings: []topology.Binding{
			{Source: "hash", Destination: "quorum", Key: "1"},
			{Source: "hash", Destination: "classic", Key: "2"},
			{Source: "headers", Destination: "stream", Arguments: amqp.Table{"x-match": "all-with-x", "x-a": "b", "n": 1}},
		},
	}
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, "guest:guest")
		declare(t, l, top)
		declare(t, l, top)
		for _, name := range []string{"quorum", "classic", "stream"} {
			if q, ok := b.Queue("/", name); !ok || q.Type != name {
				t.Errorf("queue %s: %+v, %v", name, q, ok)
			}
		}
		if got := fmt.Sprint(queueOf(b, "stream").Arguments["x-max-age"]); got != "90m" {
			t.Errorf("x-max-age is %s", got)
		}
	})
}

func queueOf(b *amqptest.Broker, name string) amqptest.QueueInfo {
	q, _ := b.Queue("/", name)
	return q
}
