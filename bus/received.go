package bus

import (
	"context"
	"encoding/json"
	"math"
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
	Type string
	// Key is the routing key it was published with, also when it comes back from
	// a delay or a replay.
	Key     string
	Payload json.RawMessage // nil when the publisher sent none
	// Timestamp is when it was published; zero when the publisher did not say.
	Timestamp time.Time
	// MessageID is the same for all copies of one event; empty from publishers
	// that give none.
	MessageID string
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
		return &consumer.MalformedError{Problem: `the event has no "payload"`}
	}
	if err := json.Unmarshal(r.Payload, v); err != nil {
		return &consumer.MalformedError{Problem: "the payload of event " + strconv.Quote(r.Type) + " does not decode", Err: err}
	}
	return nil
}

// receive reads a delivery of group. Anything but an object with an event_type
// is a *consumer.MalformedError; other fields may be missing, and further ones
// are ignored. The content-type is not looked at: publishers that set none, or a
// wrong one, are common.
func receive(d amqp.Delivery, group string) (Received, error) {
	var fields map[string]json.RawMessage // a struct would take "EVENT_TYPE" as well
	if err := json.Unmarshal(d.Body, &fields); err != nil {
		return Received{}, &consumer.MalformedError{Problem: "the body is not a JSON object", Err: err}
	}
	var kind string
	if err := json.Unmarshal(fields["event_type"], &kind); err != nil || kind == "" {
		return Received{}, &consumer.MalformedError{Problem: `the body has no "event_type" that is a string`, Err: err}
	}
	told, err := story.Read(d.Headers)
	if err != nil {
		return Received{}, err // retry's middleware has read it before: not reached
	}
	told = told.For(group)
	r := Received{
		Type:        kind,
		Key:         d.RoutingKey,
		Payload:     fields["payload"],
		Timestamp:   d.Timestamp,
		MessageID:   d.MessageId,
		Attempt:     told.RetryCount + 1,
		Replays:     told.ReplayCount,
		Redelivered: d.Redelivered,
	}
	if at, ok := moment(fields["timestamp"]); ok {
		r.Timestamp = at
	}
	return r, nil
}

// moment reads seconds since 1970, an integer or a fraction. A number that no
// clock shows is like none at all.
func moment(raw json.RawMessage) (time.Time, bool) {
	s, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(s) || s <= 0 || s > 253402300799 { // the end of year 9999
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(s * 1e6))), true
}
