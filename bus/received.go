package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/story"
)

// Handler handles one event. It may be called from Workers goroutines at once,
// and for one event more than once. Its error decides what happens next, by the
// rules of retry.Classify: a transient one is tried again later, others are
// buried at once. ctx ends only when the process shuts down and DrainTimeout is
// over.
type Handler func(ctx context.Context, e Received) error

// Received is an event as a subscriber gets it. Its Payload must not be changed.
type Received struct {
	// Type is what happened. Of a type in Config.Versions it is the newest version,
	// whatever was published: Payload is of that version then.
	Type string
	// Key is the routing key it was published with, also when it comes back from
	// a delay or a replay.
	Key string
	// Payload is what the publisher gave, nil when it sent none. It is JSON unless
	// ContentType says otherwise.
	Payload json.RawMessage
	// Timestamp is when it was published; zero when the publisher did not say.
	Timestamp time.Time
	// MessageID is the same for all copies of one event; empty from publishers
	// that give none. Of a CloudEvent it is the id.
	MessageID string
	// ContentType of the payload, Source, Subject and Extensions are those of a
	// CloudEvent, dataschema among the extensions; empty in an envelope.
	ContentType, Source, Subject string
	Extensions                   map[string]string
	// Attempt counts this group's attempts since the event was published or last
	// replayed, from 1.
	Attempt int
	// Replays counts how often it came back from the dead-letter queue.
	Replays int
	// Redelivered: it was delivered before, and perhaps handled. The broker sets
	// it also for events that merely waited in another consumer's prefetch.
	Redelivered bool
}

// Decode decodes the payload into v, which is a pointer. A payload that does
// not decode is a *consumer.MalformedError: returned by the handler, it buries
// the event.
func (r Received) Decode(v any) error {
	if len(r.Payload) == 0 {
		return &consumer.MalformedError{Problem: "event " + strconv.Quote(r.Type) + " has no payload"}
	}
	if !isJSON(r.ContentType) {
		return &consumer.MalformedError{Problem: fmt.Sprintf("the payload of event %q is %s, not JSON", r.Type, r.ContentType)}
	}
	if err := json.Unmarshal(r.Payload, v); err != nil {
		return &consumer.MalformedError{Problem: "the payload of event " + strconv.Quote(r.Type) + " does not decode", Err: err}
	}
	return nil
}

// receive reads a delivery of group, in any format. What is no event is a
// *consumer.MalformedError.
func receive(d amqp.Delivery, group string) (Received, error) {
	r, err := read(d)
	if err != nil {
		return Received{}, err
	}
	told, err := story.Read(d.Headers)
	if err != nil {
		return Received{}, err // retry's middleware has read it before: not reached
	}
	told = told.For(group)
	r.Key = d.RoutingKey
	r.Attempt = told.RetryCount + 1
	r.Replays = told.ReplayCount
	r.Redelivered = d.Redelivered
	return r, nil
}
