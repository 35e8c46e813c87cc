package main

import (
	"context"
	"errors"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

// observer is a middleware around burial and retries: it sees how each attempt
// ended, shows what failed, and enters it all in the books.
type observer struct {
	run    string
	books  *ledger
	stage  *stage
	policy retry.Policy
}

func (o observer) watch(group, service string) func(func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
	return func(next func(context.Context, amqp.Delivery) error) func(context.Context, amqp.Delivery) error {
		return func(ctx context.Context, d amqp.Delivery) error {
			err := next(ctx, d)
			if strings.HasPrefix(d.MessageId, o.run) { // not left over from another run
				o.note(group, service, d, err)
			}
			return err
		}
	}
}

func (o observer) note(group, service string, d amqp.Delivery, err error) {
	if err == nil {
		o.books.handled(group, d.MessageId)
		return
	}
	var copied interface{ Cause() error } // what failed; its copy is under way
	if !errors.As(err, &copied) {
		return // given back: it comes again
	}
	name := strings.TrimPrefix(d.MessageId, o.run)
	var dead *retry.DeadError
	if errors.As(copied.Cause(), &dead) {
		o.books.buried(group, d.MessageId)
		o.stage.say(service, "BURIED %s after attempt %d (%s): %v", name, dead.Attempt, dead.Reason, dead.Err)
		return
	}
	o.books.retried(group)
	told, _ := story.Read(d.Headers) // a broken one ends above, malformed
	attempt := told.For(group).RetryCount + 1
	delay, _ := o.policy.Delay(attempt)
	o.stage.say(service, "attempt %d at %s failed: %v; again in %v", attempt, name, copied.Cause(), delay)
}
