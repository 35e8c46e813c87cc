package bus

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Event is an event to publish.
type Event struct {
	// Type is what happened, such as "video.watch_started". Required.
	Type string
	// Key is the routing key that patterns are matched against. Default Type.
	Key string
	// Payload is encoded with encoding/json.
	Payload any
	// MessageID tells copies of one event from other events. Publish makes one
	// when it is empty; give one where a Publish may be repeated, so that
	// subscribers can tell the second copy from a second event.
	MessageID string
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

// message makes the event's key and message.
func (e Event) message(now time.Time) (key string, msg amqp.Publishing, err error) {
	if e.Type == "" {
		return "", msg, &EventError{Problem: "its Type is empty: name what happened"}
	}
	payload, err := json.Marshal(e.Payload)
	if err != nil {
		return "", msg, &EventError{Type: e.Type, Problem: "its Payload does not encode to JSON", Err: err}
	}
	body, err := json.Marshal(envelope{Type: e.Type, Payload: payload, Timestamp: seconds(now)})
	if err != nil {
		return "", msg, &EventError{Type: e.Type, Problem: "it does not encode to JSON", Err: err}
	}
	if key = e.Key; key == "" {
		key = e.Type
	}
	return key, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    e.MessageID,
		Timestamp:    now,
		Body:         body,
	}, nil
}

// seconds is the time since 1970 with microseconds. The fraction is written
// even when it is zero: typed readers expect a float.
func seconds(t time.Time) json.RawMessage {
	return json.RawMessage(strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64))
}
