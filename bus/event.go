package bus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Event is an event to publish.
type Event struct {
	// Type is what happened, such as "video.watch_started". Required.
	Type string
	// Key is the routing key that patterns are matched against. Default Type.
	Key string
	// Payload is encoded with encoding/json, unless ContentType is set.
	Payload any
	// MessageID tells copies of one event from other events. Publish makes one
	// when it is empty; give one where a Publish may be repeated, so that
	// subscribers can tell the second copy from a second event. It is the id of a
	// CloudEvent.
	MessageID string

	// The rest is for CloudEvents: an envelope has no place for it, and to set it
	// is an *EventError there.

	// ContentType says that Payload is []byte or string and is sent as it is, such
	// as "image/png". Empty is JSON, encoded here.
	ContentType string
	// Source is the context in which the event happened, a URI reference. Default
	// Config.Source.
	Source string
	// Subject is what the event is about within Source.
	Subject string
	// Extensions are further attributes, such as "traceparent"; names are lower-case
	// ASCII letters and digits. "dataschema" belongs here too.
	Extensions map[string]string
}

// EventError is an event that cannot be published as it is; nothing was sent.
type EventError struct {
	Type    string
	Problem string
	Err     error // the encoder's, where there is one
}

func (e *EventError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("bus: event %q: %s", e.Type, e.Problem)
	}
	return fmt.Sprintf("bus: event %q: %s: %v", e.Type, e.Problem, e.Err)
}

// Unwrap returns the encoder's error.
func (e *EventError) Unwrap() error { return e.Err }

// envelope is the body on the wire. The order of its fields is that of the
// other programs on the exchange.
type envelope struct {
	Type      string          `json:"event_type"`
	Payload   json.RawMessage `json:"payload"`
	Timestamp json.RawMessage `json:"timestamp"`
}

// message makes the event's key and message. c has its defaults.
func (c Config) message(e Event, now time.Time) (key string, msg amqp.Publishing, err error) {
	if err := c.check(e); err != nil {
		return "", msg, err
	}
	switch c.Format {
	case CloudEventsBinary, CloudEventsStructured:
		msg, err = c.cloudEvent(e, now)
	default:
		msg, err = e.envelope(now)
	}
	msg.DeliveryMode = amqp.Persistent
	msg.Timestamp = now
	return cmp.Or(e.Key, e.Type), msg, err
}

// check finds what no format can carry, and no subscriber would get.
func (c Config) check(e Event) error {
	if e.Type == "" {
		return &EventError{Problem: "its Type is empty: name what happened"}
	}
	key := cmp.Or(e.Key, e.Type)
	if words := strings.Split(key, "."); slices.Contains(words, "*") || slices.Contains(words, "#") {
		return &EventError{Type: e.Type, Problem: fmt.Sprintf("its key %q is a pattern: an event goes out under one exact key, only subscriptions have wildcards", key)}
	}
	for _, v := range c.Versions {
		if n, ours := v.versionOf(e.Type); ours && n > v.newest() {
			return &EventError{Type: e.Type, Problem: fmt.Sprintf("Config.Versions knows %q up to version %d: add the upcast to version %d first", v.Type, v.newest(), n)}
		}
	}
	return nil
}

func (e Event) envelope(now time.Time) (msg amqp.Publishing, err error) {
	if e.ContentType != "" || e.Source != "" || e.Subject != "" || len(e.Extensions) > 0 {
		return msg, &EventError{Type: e.Type, Problem: "the envelope has no place for ContentType, Source, Subject and Extensions: leave them empty, or set Config.Format to a CloudEvents one"}
	}
	payload, err := json.Marshal(e.Payload)
	if err != nil {
		return msg, &EventError{Type: e.Type, Problem: "its Payload does not encode to JSON", Err: err}
	}
	body, err := json.Marshal(envelope{Type: e.Type, Payload: payload, Timestamp: seconds(now)})
	if err != nil {
		return msg, &EventError{Type: e.Type, Problem: "it does not encode to JSON", Err: err}
	}
	return amqp.Publishing{ContentType: jsonType, MessageId: e.MessageID, Body: body}, nil
}

// seconds is the time since 1970 with microseconds. The fraction is written
// even when it is zero: typed readers expect a float.
func seconds(t time.Time) json.RawMessage {
	return json.RawMessage(strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64))
}
