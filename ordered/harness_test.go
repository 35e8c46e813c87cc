package ordered_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/ordered"
	"github.com/hareline/hareline/topology"
)

var (
	quiet    = slog.New(slog.DiscardHandler)
	versions = []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43}
)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Version: v, Clock: amqptest.Running}.New(t)) })
		})
	}
}

// on40 is each where the versions do not differ.
func on40(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Clock: amqptest.Running}.New(t)) })
}

// tb is what a test and a rapid check have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(f func())
}

// patience ends what hangs, in the bubble's time.
const patience = 3 * time.Hour

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func eventually(t tb, what string, reached func() bool) {
	t.Helper()
	synctest.Wait()
	for began := time.Now(); !reached(); pass(10*time.Millisecond + time.Since(began)/20) {
		if time.Since(began) > patience {
			t.Fatalf("never: %s", what)
		}
	}
}

func soon(t tb) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

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

func open(t tb, b *amqptest.Broker) *link.Link {
	t.Helper()
	l, err := link.Open(soon(t), link.Config{URLs: []string{b.PipeURL()}, Dial: b.Dial, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(soon(t)) })
	return l
}

// begin starts a process; it is stopped with the test.
func begin(t tb, b *amqptest.Broker, cfg ordered.Config) *process {
	t.Helper()
	p := &process{link: open(t, b), ended: make(chan struct{})}
	copies, err := confirm.Open(soon(t), p.link, confirm.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = copies.Close(soon(t)) })
	cfg.Copies = copies
	cfg.Consumer.Logger, cfg.DeadLetters.Logger, cfg.Retry.Logger = quiet, quiet, quiet
	cfg.Consumer.OnHealth = func(h consumer.Health) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.health = append(p.health, h)
	}
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
func (p *process) stopped(t tb) {
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

// operate does something over a connection of its own.
func operate(t tb, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
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

// declare declares partitions with a delivery limit that no test reaches.
func declare(t tb, b *amqptest.Broker, count int) topology.Partitions {
	t.Helper()
	p := topology.PartitionedQueue("orders", topology.PartitionsConfig{Count: count, DeliveryLimit: 10_000})
	if err := topology.Declare(soon(t), open(t, b), p.Topology); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish publishes messages, each named by its key and number as in "a1".
func publish(t tb, b *amqptest.Broker, p topology.Partitions, names ...string) {
	t.Helper()
	var all []amqp.Publishing
	for _, name := range names {
		all = append(all, amqp.Publishing{MessageId: name, DeliveryMode: amqp.Persistent})
	}
	publishAs(t, b, p, all...)
}

func publishAs(t tb, b *amqptest.Broker, p topology.Partitions, all ...amqp.Publishing) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, msg := range all {
			exchange, key := p.Route(keyOf(msg.MessageId))
			c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, msg)
			if err != nil {
				return err
			}
			if !c.Wait() {
				return fmt.Errorf("message %s was nacked", msg.MessageId)
			}
		}
		return nil
	})
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

func (j *journal) is(t tb, key string, want ...string) {
	t.Helper()
	if got := j.of(key); !slices.Equal(got, want) {
		t.Errorf("key %s: %v, want %v", key, got, want)
	}
}

// empty waits until nothing is in the partitions.
func empty(t tb, b *amqptest.Broker, p topology.Partitions) {
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

func ids(all []amqptest.Message) []string {
	out := []string{}
	for _, m := range all {
		out = append(out, m.MessageID)
	}
	return out
}

// shuffled are events that put messages out of their order (R 8): a cancel by a
// consumer, and a message that comes back other than by the end of a channel.
func shuffled(b *amqptest.Broker) []amqptest.Event {
	return b.Trace(func(e amqptest.Event) bool {
		return e.Kind == amqptest.EventConsumerCancelled && e.Reason == "client" ||
			e.Kind == amqptest.EventRequeued && e.Reason != "channel" && e.Reason != "connection"
	})
}
