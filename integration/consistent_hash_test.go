package integration

import (
	"maps"
	"strconv"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// An x-consistent-hash exchange of a topology sends each message-id to one
// queue, always the same, and to the queue that amqptest sends it to.
func TestConsistentHash(t *testing.T) {
	spread := topology.Topology{
		Exchanges: []topology.Exchange{{Name: "hash", Kind: topology.ConsistentHash, HashProperty: "message_id"}},
		Queues:    []topology.Queue{{Name: "one"}, {Name: "two"}},
		Bindings:  []topology.Binding{{Source: "hash", Destination: "one", Key: "1"}, {Source: "hash", Destination: "two", Key: "2"}},
	}
	const n = 60
	where := func(t *testing.T, url string) map[string]string {
		t.Helper()
		l := open(t, link.Config{URLs: []string{url}})
		if err := topology.Declare(deadline(t), l, spread); err != nil {
			t.Fatal(err)
		}
		messages := make([]confirm.Message, 2*n)
		for i := range messages {
			messages[i] = confirm.Message{Exchange: "hash", Publishing: amqp.Publishing{MessageId: strconv.Itoa(i % n)}}
		}
		if err := publisher(t, l, confirm.Config{}).PublishBatch(deadline(t), messages); err != nil {
			t.Fatal(err)
		}
		at, count := map[string]string{}, map[string]int{}
		for _, q := range spread.Queues {
			for _, d := range take(t, l, q.Name) {
				if before, ok := at[d.MessageId]; ok && before != q.Name {
					t.Errorf("%s is in %s and in %s", d.MessageId, before, q.Name)
				}
				at[d.MessageId] = q.Name
				count[d.MessageId]++
			}
		}
		for id, times := range count {
			if times != 2 {
				t.Errorf("%s arrived %d times", id, times)
			}
		}
		if len(at) != n {
			t.Errorf("%d of %d arrived", len(at), n)
		}
		return at
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		embedded := amqptest.Config{Plugins: []string{"rabbitmq_consistent_hash_exchange"}}.New(t)
		if got, want := where(t, b.URL), where(t, embedded.URL()); !maps.Equal(got, want) {
			t.Errorf("the broker %v, amqptest %v", got, want)
		}
	})
}
