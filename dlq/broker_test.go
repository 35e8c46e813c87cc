package dlq_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// The words of the tests, see package bubble.
var (
	quiet        = bubble.Quiet
	each         = bubble.Each
	on40         = bubble.On40
	soon         = bubble.Soon
	pass         = bubble.Pass
	eventually   = bubble.Eventually
	open         = bubble.Open
	operate      = bubble.Operate
	declareQueue = bubble.Declare
	publish      = bubble.Publish
	inject       = bubble.Inject
	run          = bubble.Consume
	numbers      = bubble.Numbers
)

// as is bubble.As.
func as[E error](t *testing.T, err error) E { t.Helper(); return bubble.As[E](t, err) }

func publisher(t *testing.T, l *link.Link) *confirm.Publisher {
	t.Helper()
	return bubble.Publisher(t, l, confirm.Config{})
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

// ids are the message-ids of the ready messages of a queue, in order.
func ids(b *amqptest.Broker, queue string) []string {
	synctest.Wait()
	return bubble.IDs(b.Messages("/", queue))
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
