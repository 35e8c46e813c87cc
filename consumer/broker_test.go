package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

var quiet = slog.New(slog.DiscardHandler)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
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

// patience ends what hangs. A few hours of the bubble are next to nothing.
const patience = 3 * time.Hour

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// eventually waits for a state of the broker. It looks less often as time goes by.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	synctest.Wait()
	for began := time.Now(); !reached(); pass(10*time.Millisecond + time.Since(began)/20) {
		if time.Since(began) > patience {
			t.Fatalf("never: %s", what)
		}
	}
}

// wait waits for a signal of the code under test.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func open(t *testing.T, b *amqptest.Broker, cfg link.Config) *link.Link {
	t.Helper()
	cfg.URLs, cfg.Dial, cfg.Logger = []string{b.PipeURL()}, b.Dial, quiet
	l, err := link.Open(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

// operate does something over a connection of its own.
func operate(t *testing.T, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
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

var (
	quorum  = amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(1000)}
	classic = amqp.Table{"x-queue-type": "classic"}
)

func declare(t *testing.T, b *amqptest.Broker, queue string, args amqp.Table) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, args)
		return err
	})
}

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

// publish publishes as another program would, and waits for the confirms.
func publish(t *testing.T, b *amqptest.Broker, queue string, all ...amqp.Publishing) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, msg := range all {
			c, err := ch.PublishWithDeferredConfirm("", queue, true, false, msg)
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

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// running is a consumer in the background.
type running struct {
	stop   context.CancelFunc
	result chan error
	health chan consumer.Health
}

// run starts a consumer; it is stopped with the test.
func run(t *testing.T, l *link.Link, cfg consumer.Config) *running {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, result: make(chan error, 1), health: make(chan consumer.Health, 1000)}
	cfg.OnHealth = func(h consumer.Health) { r.health <- h }
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

// stopped stops the consumer, which must drain in good order.
func (r *running) stopped(t *testing.T) {
	t.Helper()
	r.stop()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	return wait(t, r.result, "the end of Run")
}

// becomes waits until the consumer tells that state.
func (r *running) becomes(t *testing.T, status consumer.Status) consumer.Health {
	t.Helper()
	for {
		if h := wait(t, r.health, string(status)); h.Status == status {
			return h
		}
	}
}

// told counts how often the consumer has told each state since the last call.
func (r *running) told() map[consumer.Status]int {
	synctest.Wait()
	count := map[consumer.Status]int{}
	for len(r.health) > 0 {
		count[(<-r.health).Status]++
	}
	return count
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

func ids(all []amqptest.Message) []string {
	var out []string
	for _, m := range all {
		out = append(out, m.MessageID)
	}
	return out
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func unacked(b *amqptest.Broker, queue string) int {
	q, _ := b.Queue("/", queue)
	return q.Unacked
}

// brokenChannels are the channels that the broker closed, with code and text.
func brokenChannels(b *amqptest.Broker) []amqptest.Event {
	return b.Trace(func(e amqptest.Event) bool { return e.Kind == amqptest.EventChannelClosed && e.Reason == "broker" })
}
