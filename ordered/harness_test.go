package ordered_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/topology"
)

// The words of the tests, see package bubble.
var (
	quiet      = bubble.Quiet
	versions   = bubble.Versions()
	each       = bubble.Each
	on40       = bubble.On40
	soon       = bubble.Soon
	pass       = bubble.Pass
	eventually = bubble.Eventually
	operate    = bubble.Operate
	ids        = bubble.IDs
)

// process is what one process has: a link, a publisher for letters, a consumer.
type process struct {
	link     *link.Link
	consumer *ordered.Consumer
	stop     context.CancelFunc
	ended    chan struct{}
	err      error

	mu     sync.Mutex
	health []consumer.Health
}

// begin starts a process; it is stopped with the test.
func begin(t bubble.TB, b *amqptest.Broker, cfg ordered.Config) *process {
	t.Helper()
	p := &process{link: bubble.Open(t, b, link.Config{}), ended: make(chan struct{})}
	cfg.Copies = bubble.Publisher(t, p.link, confirm.Config{})
	cfg.Consumer.Logger, cfg.DeadLetters.Logger, cfg.Retry.Logger = quiet, quiet, quiet
	cfg.Consumer.OnHealth = func(h consumer.Health) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.health = append(p.health, h)
	}
	var err error
	if p.consumer, err = ordered.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go func() {
		defer close(p.ended)
		p.err = p.consumer.Run(ctx, p.link)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	synctest.Wait()
	return p
}

// stopped stops the process, which must drain in good order.
func (p *process) stopped(t bubble.TB) {
	t.Helper()
	p.stop()
	<-p.ended
	if p.err != nil {
		t.Errorf("drain: %v", p.err)
	}
	synctest.Wait()
}

func (p *process) told(status consumer.Status) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, h := range p.health {
		if h.Status == status {
			n++
		}
	}
	return n
}

// declare declares partitions with a delivery limit that no test reaches.
func declare(t bubble.TB, b *amqptest.Broker, count int) topology.Partitions {
	t.Helper()
	p := topology.PartitionedQueue("orders", topology.PartitionsConfig{Count: count, DeliveryLimit: 10_000})
	if err := topology.Declare(soon(t), bubble.Open(t, b, link.Config{}), p.Topology); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish publishes messages, each named by its key and number as in "a1".
func publish(t bubble.TB, b *amqptest.Broker, p topology.Partitions, names ...string) {
	t.Helper()
	var all []amqp.Publishing
	for _, name := range names {
		all = append(all, amqp.Publishing{MessageId: name, DeliveryMode: amqp.Persistent})
	}
	publishAs(t, b, p, all...)
}

func publishAs(t bubble.TB, b *amqptest.Broker, p topology.Partitions, all ...amqp.Publishing) {
	t.Helper()
	bubble.PublishTo(t, b, func(msg amqp.Publishing) (exchange, key string) { return p.Route(keyOf(msg.MessageId)) }, all...)
}

func keyOf(name string) string { return name[:1] }

// journal is what handlers did, in its order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// of is what it says of one key.
func (j *journal) of(key string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, line := range j.lines {
		if keyOf(line) == key {
			out = append(out, line)
		}
	}
	return out
}

func (j *journal) is(t bubble.TB, key string, want ...string) {
	t.Helper()
	if got := j.of(key); !slices.Equal(got, want) {
		t.Errorf("key %s: %v, want %v", key, got, want)
	}
}

// empty waits until nothing is in the partitions.
func empty(t bubble.TB, b *amqptest.Broker, p topology.Partitions) {
	t.Helper()
	eventually(t, "the partitions are empty", func() bool {
		for i := range p.Count {
			if q, _ := b.Queue("/", p.Queue(i)); q.Ready+q.Unacked > 0 {
				return false
			}
		}
		return true
	})
}

// shuffled are events that put messages out of their order (R 8): a cancel by a
// consumer, and a message that comes back other than by the end of a channel.
func shuffled(b *amqptest.Broker) []amqptest.Event {
	return b.Trace(func(e amqptest.Event) bool {
		return e.Kind == amqptest.EventConsumerCancelled && e.Reason == "client" ||
			e.Kind == amqptest.EventRequeued && e.Reason != "channel" && e.Reason != "connection"
	})
}
