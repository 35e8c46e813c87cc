package confirm_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/internal/bubble"
	"github.com/hareline/hareline/link"
)

// The words of the tests, see package bubble.
var (
	quiet       = bubble.Quiet
	each        = bubble.Each
	eachWith    = bubble.EachWith
	on40        = bubble.On40
	soon        = bubble.Soon
	after       = bubble.After
	pass        = bubble.Pass
	open        = bubble.Open
	publisherOn = bubble.Publisher
	operate     = bubble.Operate
	declare     = bubble.Declare
	inject      = bubble.Inject
	connected   = bubble.Connected
)

// as is bubble.As.
func as[E error](t *testing.T, err error) E { t.Helper(); return bubble.As[E](t, err) }

// ids are the message-ids in a queue.
func ids(b *amqptest.Broker, queue string) []string { return bubble.IDs(b.Messages("/", queue)) }

// publisher opens a publisher on a link of its own.
func publisher(t *testing.T, b *amqptest.Broker, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	return publisherOn(t, open(t, b, link.Config{}), cfg)
}

// send sends messages with the ids 000, 001 and so on.
func send(t *testing.T, p *confirm.Publisher, n int, exchange, key string) []*confirm.Receipt {
	t.Helper()
	var all []*confirm.Receipt
	for i := range n {
		all = append(all, p.Send(soon(t), exchange, key, message(i)))
	}
	return all
}

func message(i int) amqp.Publishing {
	return amqp.Publishing{MessageId: fmt.Sprintf("%03d", i), Body: []byte("body")}
}

func allConfirmed(t *testing.T, receipts []*confirm.Receipt) {
	t.Helper()
	for _, r := range receipts {
		if err := r.Wait(soon(t)); err != nil {
			t.Errorf("%s: %v", r.MessageID(), err)
		}
	}
}

// firsts are the ids without those that came before.
func firsts(all []string) []string {
	var once []string
	seen := map[string]bool{}
	for _, id := range all {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// arrivedInOrder checks that the queue has the n messages of send, each for the
// first time in its turn.
func arrivedInOrder(t *testing.T, b *amqptest.Broker, queue string, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, message(i).MessageId)
	}
	if got := firsts(ids(b, queue)); !slices.Equal(got, want) {
		t.Errorf("arrived in %s: %v", queue, got)
	}
}

// published counts the publishes that reached the broker.
func published(b *amqptest.Broker) int { return len(b.Trace(amqptest.OfKind(amqptest.EventPublished))) }

// confirming counts the open channels of publishers.
func confirming(b *amqptest.Broker) int {
	n := 0
	for _, ch := range b.Channels() {
		if ch.Confirms {
			n++
		}
	}
	return n
}

// ended checks that receipts have their outcome, without any time
// passing.
func ended(t *testing.T, receipts ...*confirm.Receipt) {
	t.Helper()
	synctest.Wait()
	for _, r := range receipts {
		if errors.Is(r.Outcome(), confirm.ErrPending) {
			t.Errorf("%s: no outcome yet", r.MessageID())
		}
	}
}
