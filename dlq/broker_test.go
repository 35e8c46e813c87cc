package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
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
		if err := l.Close(ctx); err != nil {
			t.Errorf("Link.Close: %v", err)
		}
	})
	return l
}

func publisher(t *testing.T, l *link.Link) *confirm.Publisher {
	t.Helper()
	p, err := confirm.Open(soon(t), l, confirm.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// work declares a work queue with everything around it, and a short ladder.
func work(t *testing.T, l *link.Link, cfg topology.WorkConfig) topology.Work {
	t.Helper()
	cfg.Ladder = topology.Ladder{Levels: 4}
	w := topology.WorkQueue("work", cfg)
	declare(t, l, w)
	return w
}

func declare(t *testing.T, l *link.Link, w topology.Work) {
	t.Helper()
	if err := topology.Declare(soon(t), l, w.Topology); err != nil {
		t.Fatal(err)
	}
}

// operate does something over a connection of its own.
func operate(t *testing.T, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial:       func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
		Properties: amqp.Table{"connection_name": "operator"},
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

func declareQueue(t *testing.T, b *amqptest.Broker, name string, args amqp.Table) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
}

// publish publishes as another program would, and waits for the confirms.
func publish(t *testing.T, b *amqptest.Broker, exchange, key string, all ...amqp.Publishing) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, msg := range all {
			msg.DeliveryMode = amqp.Persistent
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

// letters buries n letters of w as its middleware would, message-ids 0 to n-1.
func letters(t *testing.T, b *amqptest.Broker, w topology.Work, n int) {
	t.Helper()
	var all []amqp.Publishing
	for i := range n {
		s := story.Story{
			RetryCount: 3, RetryMax: 3, FirstFailedAt: time.Now(), LastError: "EOF", ErrorClass: "error",
			OriginQueue: w.Queue, OriginExchange: "events", OriginKey: "a.b", OriginPriority: 3,
			DeadReason: story.ReasonExhausted, DeadAt: time.Now(), ExpiresAt: time.Now(),
		}
		all = append(all, amqp.Publishing{MessageId: fmt.Sprint(i), Headers: s.Table(), Body: fmt.Append(nil, i)})
	}
	publish(t, b, "", w.DeadLetterQueue, all...)
}

func openQueue(l *link.Link, cfg dlq.QueueConfig) *dlq.Queue {
	cfg.Logger = quiet
	return dlq.Open(l, cfg)
}

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ids are the message-ids of the ready messages of a queue, in order.
func ids(b *amqptest.Broker, queue string) []string {
	synctest.Wait()
	var out []string
	for _, m := range b.Messages("/", queue) {
		out = append(out, m.MessageID)
	}
	return out
}

// stories are the stories of the messages in a queue, by message-id.
func stories(t *testing.T, b *amqptest.Broker, queue string) map[string]story.Story {
	t.Helper()
	synctest.Wait()
	out := map[string]story.Story{}
	for _, m := range b.Messages("/", queue) {
		s, err := story.Read(m.Headers)
		if err != nil {
			t.Errorf("message %s: %v", m.MessageID, err)
		}
		out[m.MessageID] = s
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

// complete checks that a queue has these messages, each once, in any order.
func complete(t *testing.T, b *amqptest.Broker, queue string, want []string) {
	t.Helper()
	got, want := ids(b, queue), slices.Clone(want)
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("in %s: %v, want %v", queue, got, want)
	}
	if q, _ := b.Queue("/", queue); q.Unacked != 0 {
		t.Errorf("%d unacked in %s", q.Unacked, queue)
	}
}

// lookAll returns the message-ids a look shows.
func lookAll(t *testing.T, q *dlq.Queue) []string {
	t.Helper()
	var out []string
	err := q.Look(soon(t), func(letter dlq.Letter) error {
		if letter.Delivery.Ack(false) == nil {
			t.Error("a letter could be settled by who looks at it")
		}
		out = append(out, letter.Delivery.MessageId)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
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

// running is a consumer in the background.
type running struct {
	stop   context.CancelFunc
	result chan error
	health chan consumer.Health
}

// run starts a consumer; it is stopped with the test.
func run(t *testing.T, l *link.Link, cfg consumer.Config) *running {
	t.Helper()
	r := &running{result: make(chan error, 1), health: make(chan consumer.Health, 10_000)}
	cfg.Logger = quiet
	cfg.OnHealth = func(h consumer.Health) { r.health <- h }
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- consumer.Run(ctx, l, cfg)
	}()
	t.Cleanup(func() {
		r.stop()
		<-ended
	})
	return r
}

// stopped stops the consumer, which must drain in good order.
func (r *running) stopped(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.result; err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// becomes waits until the consumer tells that state.
func (r *running) becomes(t *testing.T, status consumer.Status) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case h := <-r.health:
			if h.Status == status {
				return
			}
		case <-end:
			t.Fatalf("the consumer was never %s", status)
		}
	}
}
