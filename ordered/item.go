package ordered

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/story"
)

// item is one delivery here. To the consumer it is a pending error: it waits, and
// then settles by the outcome.
type item struct {
	ctx      context.Context //nolint:containedctx // of the delivery, for all of its attempts
	d        amqp.Delivery
	sub      *consumer.Subscription
	at       time.Time
	story    story.Story // from the first attempt on
	told     bool        // story is set
	delayed  time.Duration
	attempts settlement.Kept
	done     chan struct{}
	outcome  error // once done is closed
}

func (it *item) Error() string { return "ordered: the message is in the line of its key" }

// Done is closed when it is to be settled.
func (it *item) Done() <-chan struct{} { return it.done }

// Outcome is nil for an ack.
func (it *item) Outcome() error { return it.outcome }

// stopping tells that nothing of this delivery begins any more.
func (it *item) stopping() bool { return isClosed(it.sub.Stopping()) }

func (it *item) finish(outcome error) {
	it.outcome = outcome
	close(it.done)
}

// errLeft leaves a delivery unsettled: its subscription is stopping, and gives it
// back with its channel.
var errLeft = errors.New("ordered: left unsettled; it comes back in its order")

// errLost is the cause of a handler's ctx when its session is lost.
type errLost struct{}

func (errLost) Error() string {
	return "ordered: the session of this message is lost; it is delivered again, perhaps elsewhere"
}

// Shutdown tells middleware that this end is no verdict on the message.
func (errLost) Shutdown() bool { return true }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// line is the messages of one key that are here, in their order. At most the first
// one is at work.
type line struct {
	key     string
	items   []*item
	active  bool        // the first is at work: handled, or being buried
	queued  bool        // it is in one of the partition's ready lists
	failing bool        // the first has failed: all are held
	resting *time.Timer // until the next attempt
}

// mayBegin tells whether the first message is to be put into a ready list.
func (l *line) mayBegin() bool {
	return len(l.items) > 0 && !l.active && !l.queued && l.resting == nil
}
