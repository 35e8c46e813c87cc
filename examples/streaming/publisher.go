package main

import (
	"context"
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
)

// publisher publishes for the services and keeps the books.
type publisher struct {
	bus   *bus.Bus
	books *ledger
	run   string // starts the message-id of every event of this run
}

// id is the message-id of an event: the same when it is published again, so that
// a copy is no second event.
func (p publisher) id(what, whose string) string { return p.run + what + "." + whose }

// publish publishes until it is sure that the event is stored, or ctx ends.
func (p publisher) publish(ctx context.Context, e bus.Event) error {
	err := untilSure(ctx, func() error { return p.bus.Publish(ctx, e) })
	if err == nil && strings.HasPrefix(e.MessageID, p.run) { // else it answers an event left over from another run
		p.books.published(e.Type, e.MessageID)
	}
	return err
}

// publishRaw publishes what the bus would not: a body that is no event.
func (p publisher) publishRaw(ctx context.Context, raw *confirm.Publisher, key, id, body string) error {
	msg := amqp.Publishing{MessageId: id, Body: []byte(body)}
	err := untilSure(ctx, func() error { return raw.Publish(ctx, exchange, key, msg) })
	if err == nil {
		p.books.published(key, id)
	}
	return err
}

// untilSure repeats a publish whose outcome says that repeating helps: a lost
// connection can leave open whether it was stored.
func untilSure(ctx context.Context, publish func() error) error {
	for {
		err := publish()
		var again interface{ Temporary() bool }
		if err == nil || !errors.As(err, &again) || !again.Temporary() || !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
