package retry_test

import (
	"cmp"
	"errors"
	"maps"
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
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
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
	open       = bubble.Open
	operate    = bubble.Operate
	tryTo      = bubble.Try
	inject     = bubble.Inject
)

var errNot = retry.Transient(errors.New("not yet"))

func publish(t *testing.T, b *amqptest.Broker, queue string, all ...amqp.Publishing) {
	t.Helper()
	bubble.Publish(t, b, "", queue, all...)
}

func numbers(n int) []string { return bubble.Numbers(0, n) }

func named(all ...string) []amqp.Publishing {
	var out []amqp.Publishing
	for _, id := range all {
		out = append(out, amqp.Publishing{MessageId: id, Body: []byte("body")})
	}
	return out
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
	r.copies = bubble.Publisher(t, r.l, confirm.Config{})
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
	return bubble.IDs(r.b.Messages("/", queue))
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

// start starts a consumer with the chain of the documentation; it is stopped
// with the test.
func (r *rig) start(t *testing.T, cfg consumer.Config, p retry.Policy, h consumer.Handler) *bubble.Consumer {
	t.Helper()
	p.Logger = quiet
	cfg.Handler = consumer.Chain(h,
		dlq.Middleware(r.copies, r.w, dlq.Config{Logger: quiet, CopyTimeout: p.CopyTimeout}),
		retry.Middleware(r.copies, r.w, p),
		consumer.Recover())
	return r.run(t, cfg)
}

func (r *rig) run(t *testing.T, cfg consumer.Config) *bubble.Consumer {
	t.Helper()
	cfg.Queue = r.w.Queue
	return bubble.Consume(t, r.l, cfg)
}

// undisturbed checks that the consumer neither paused nor lost its session.
func undisturbed(t *testing.T, run *bubble.Consumer) {
	t.Helper()
	if told := run.Told(); told[consumer.Paused]+told[consumer.Disconnected]+told[consumer.HeldAside]+told[consumer.Panicking] > 0 {
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
