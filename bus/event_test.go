package bus

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// The bytes on the wire are a contract with programs in other languages.
func TestMessageOnTheWire(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_250_000)
	key, msg, err := Config{}.message(Event{
		Type: "video.watch_started", Payload: map[string]any{"user_id": "user123"}, MessageID: "m1",
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"event_type":"video.watch_started","payload":{"user_id":"user123"},"timestamp":1700000000.250000}`; string(msg.Body) != want {
		t.Errorf("body %s\nwant %s", msg.Body, want)
	}
	if key != "video.watch_started" || msg.ContentType != "application/json" || msg.DeliveryMode != amqp.Persistent ||
		msg.MessageId != "m1" || !msg.Timestamp.Equal(at) || len(msg.Headers) != 0 {
		t.Errorf("key %q, properties %+v", key, msg)
	}
}

func TestMessageKey(t *testing.T) {
	for _, c := range []struct{ kind, key, want string }{
		{"a.b", "", "a.b"},
		{"a.b", "eu.a.b", "eu.a.b"},
	} {
		if key, _, err := (Config{}).message(Event{Type: c.kind, Key: c.key}, time.Now()); err != nil || key != c.want {
			t.Errorf("type %q with key %q goes to %q, %v; want %q", c.kind, c.key, key, err, c.want)
		}
	}
}

func TestMessageRefused(t *testing.T) {
	var encoder *json.UnsupportedValueError
	for name, c := range map[string]struct {
		event   Event
		encoder bool
	}{
		"no type":              {Event{Payload: 1}, false},
		"payload not for JSON": {Event{Type: "a", Payload: math.Inf(1)}, true},
	} {
		_, _, err := Config{}.message(c.event, time.Now())
		var refused *EventError
		if !errors.As(err, &refused) || refused.Type != c.event.Type || errors.As(err, &encoder) != c.encoder {
			t.Errorf("%s: %v, want an *EventError", name, err)
		}
	}
}

// A timestamp always has a fraction, and is the same moment when it is read.
func TestTimestamp(t *testing.T) {
	form := regexp.MustCompile(`^[0-9]+\.[0-9]{6}$`)
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(1, 4_102_444_800_000_000).Draw(t, "microseconds")) // to 2100
		raw := seconds(at)
		if !form.Match(raw) {
			t.Fatalf("%s is no decimal fraction", raw)
		}
		back, ok := moment(raw)
		if d := back.Sub(at).Abs(); !ok || d > time.Microsecond {
			t.Fatalf("%v became %s, then %v", at, raw, back)
		}
	})
}

// What one side encodes, the other decodes.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type payload struct {
			S string
			N int64
			L []string
		}
		sent := payload{rapid.String().Draw(t, "s"), rapid.Int64().Draw(t, "n"), rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "l")}
		kind := rapid.StringMatching(`[a-zé]{1,9}(\.[a-z<&"]{1,9})?`).Draw(t, "type")
		key, msg, err := Config{}.message(Event{Type: kind, Payload: sent, MessageID: "id"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got, err := receive(amqp.Delivery{RoutingKey: key, MessageId: msg.MessageId, Body: msg.Body}, "g")
		if err != nil {
			t.Fatal(err)
		}
		var back payload
		if err := got.Decode(&back); err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(sent)
		again, _ := json.Marshal(back)
		if got.Type != kind || got.Key != kind || got.MessageID != "id" || string(want) != string(again) {
			t.Fatalf("sent %q %s, got %+v %s", kind, want, got, again)
		}
	})
}
