package retry_test

import (
	"cmp"
	"context"
	"errors"
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
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var (
	quiet    = slog.New(slog.DiscardHandler)
	versions = []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43}
	errNot   = retry.Transient(errors.New("not yet"))
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

// patience ends what hangs. A few hours of the bubble are next to nothing.
const patience = 2 * time.Hour

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
	if cfg.URLs == nil {
		cfg.URLs = []string{b.PipeURL()}
	}
	cfg.Dial, cfg.Logger = b.Dial, quiet
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

// operate does something over a connection of its own.
func operate(t *testing.T, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	if err := tryTo(b, do); err != nil {
		t.Fatal(err)
	}
}

func tryTo(b *amqptest.Broker, do func(ch *amqp.Channel) error) error {
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial:       func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
		Properties: amqp.Table{"connection_name": "operator"},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	return do(ch)
}

// publish publishes as another program would, and waits for the confirms.
func publish(t *testing.T, b *amqptest.Broker, queue string, all ...amqp.Publishing) {
	t.Helper()
	operate(t, b, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, msg := range all {
			msg.DeliveryMode = amqp.Persistent
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

func named(all ...string) []amqp.Publishing {
	var out []amqp.Publishing
	for _, id := range all {
		out = append(out, amqp.Publishing{MessageId: id, Body: []byte("body")})
	}
	return out
}

func numbers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rig is a work queue with all that belongs to it, and a publisher of copies.
type rig struct {
	b      *amqptest.Broker
	l      *link.Link
	w      topology.Work
	copies *confirm.Publisher
}

// newRig declares a ladder of 6 levels, which reach 6 s and cost the tests less
// time than 24 do, unless cfg says otherwise.
func newRig(t *testing.T, b *amqptest.Broker, cfg topology.WorkConfig) *rig {
	t.Helper()
	cfg.Ladder.Levels = cmp.Or(cfg.Ladder.Levels, 6)
	r := &rig{b: b, l: open(t, b, link.Config{}), w: topology.WorkQueue("work", cfg)}
	r.declare(t)
	var err error
	if r.copies, err = confirm.Open(soon(t), r.l, confirm.Config{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = r.copies.Close(ctx)
	})
	return r
}

func (r *rig) declare(t *testing.T) {
	t.Helper()
	if err := topology.Declare(soon(t), r.l, r.w.Topology); err != nil {
		t.Fatal(err)
	}
}

// park is what a delay comes to on the ladder.
func (r *rig) park(d time.Duration) time.Duration {
	_, _, actual := r.w.Park(d)
	return actual
}

// top is the exchange at which a copy of that delay enters the ladder, as a
// fault names it.
func (r *rig) top(d time.Duration) string {
	exchange, _, _ := r.w.Park(d)
	return exchange
}

// settled waits until nothing is left in the queue or on the ladder.
func (r *rig) settled(t *testing.T) {
	t.Helper()
	eventually(t, "the work queue and the ladder are empty", func() bool { return r.underWay() == 0 })
}

func (r *rig) underWay() int {
	n := 0
	for _, q := range r.b.Queues("/") {
		if q.Name == r.w.Queue || topology.IsLadderQueue(q.Name) && q.Name != r.w.Ladder.Unclaimed() {
			n += q.Ready + q.Unacked + q.Held
		}
	}
	return n
}

// ids are the message-ids in a queue, in order.
func (r *rig) ids(queue string) []string {
	synctest.Wait()
	var out []string
	for _, m := range r.b.Messages("/", queue) {
		out = append(out, m.MessageID)
	}
	return out
}

func (r *rig) letters() []dlq.Letter {
	synctest.Wait()
	var out []dlq.Letter
	for _, m := range r.b.Messages("/", r.w.DeadLetterQueue) {
		out = append(out, dlq.Parse(amqp.Delivery{
			MessageId: m.MessageID, Headers: received(m.Headers).(amqp.Table), Body: m.Body, RoutingKey: m.RoutingKey, Exchange: m.Exchange, UserId: m.UserID,
			Priority: m.Priority, Expiration: m.Expiration, DeliveryMode: m.DeliveryMode,
		}))
	}
	return out
}

// received is a header value as the client hands it over.
func received(v any) any {
	switch v := v.(type) {
	case map[string]any:
		t := amqp.Table{}
		for name, item := range v {
			t[name] = received(item)
		}
		return t
	case []any:
		var all []any
		for _, item := range v {
			all = append(all, received(item))
		}
		return all
	}
	return v
}

// running is a consumer in the background.
type running struct {
	stop   context.CancelFunc
	result chan error
	health chan consumer.Health
}

// start starts a consumer with the chain of the documentation; it is stopped
// with the test.
func (r *rig) start(t *testing.T, cfg consumer.Config, p retry.Policy, h consumer.Handler) *running {
	t.Helper()
	p.Logger = quiet
	cfg.Handler = consumer.Chain(h,
		dlq.Middleware(r.copies, r.w, dlq.Config{Logger: quiet, CopyTimeout: p.CopyTimeout}),
		retry.Middleware(r.copies, r.w, p),
		consumer.Recover())
	return r.run(t, cfg)
}

func (r *rig) run(t *testing.T, cfg consumer.Config) *running {
	t.Helper()
	run := &running{result: make(chan error, 1), health: make(chan consumer.Health, 10_000)}
	cfg.Queue, cfg.Logger = r.w.Queue, quiet
	cfg.OnHealth = func(h consumer.Health) { run.health <- h }
	var ctx context.Context
	ctx, run.stop = context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run.result <- consumer.Run(ctx, r.l, cfg)
	}()
	t.Cleanup(func() {
		run.stop()
		<-ended
	})
	return run
}

// stopped stops the consumer, which must drain in good order.
func (run *running) stopped(t *testing.T) {
	t.Helper()
	run.stop()
	if err := <-run.result; err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// becomes waits until the consumer tells that state.
func (run *running) becomes(t *testing.T, status consumer.Status) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case h := <-run.health:
			if h.Status == status {
				return
			}
		case <-end:
			t.Fatalf("the consumer was never %s", status)
		}
	}
}

// told counts how often the consumer has told each state since the last call.
func (run *running) told() map[consumer.Status]int {
	synctest.Wait()
	count := map[consumer.Status]int{}
	for len(run.health) > 0 {
		count[(<-run.health).Status]++
	}
	return count
}

// undisturbed checks that the consumer neither paused nor lost its session.
func (run *running) undisturbed(t *testing.T) {
	t.Helper()
	if told := run.told(); told[consumer.Paused]+told[consumer.Disconnected]+told[consumer.HeldAside]+told[consumer.Panicking] > 0 {
		t.Errorf("the consumer told: %v", told)
	}
}

// attempts are the handler's calls, by message-id.
type attempts struct {
	mu sync.Mutex
	of map[string][]attempt
}

// attempt is one call of a handler.
type attempt struct {
	at    time.Time
	count int // of retries, as the delivery tells
}

// add notes a call and returns how many retries there were before, as the
// delivery's story tells.
func (a *attempts) add(t *testing.T, d amqp.Delivery) int {
	t.Helper()
	s, err := story.Read(d.Headers)
	if err != nil {
		t.Errorf("message %s: %v", d.MessageId, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string][]attempt{}
	}
	a.of[d.MessageId] = append(a.of[d.MessageId], attempt{time.Now(), s.RetryCount})
	return s.RetryCount
}

func (a *attempts) all() map[string][]attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.of)
}

// counts are the retries that the attempts at a message told, in order.
func (a *attempts) counts(id string) []int {
	var out []int
	for _, one := range a.all()[id] {
		out = append(out, one.count)
	}
	return out
}

// same checks the attempts at each of n messages.
func (a *attempts) same(t *testing.T, n int, want ...int) {
	t.Helper()
	for _, id := range numbers(n) {
		if got := a.counts(id); !slices.Equal(got, want) {
			t.Errorf("message %s: attempts with counts %v, want %v", id, got, want)
		}
	}
}

// moments is how long after began each attempt at a message was.
func (a *attempts) moments(id string, began time.Time) []time.Duration {
	var out []time.Duration
	for _, one := range a.all()[id] {
		out = append(out, one.at.Sub(began))
	}
	return out
}
