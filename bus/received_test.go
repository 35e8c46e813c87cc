package bus

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

func TestReceive(t *testing.T) {
	property := time.Unix(1_600_000_000, 0)
	for name, c := range map[string]struct {
		body    string
		at      time.Time
		payload string
	}{
		"as Python writes it":    {`{"event_type": "a.b", "payload": {"n": 1}, "timestamp": 1700000000.5}`, time.UnixMilli(1_700_000_000_500), `{"n": 1}`},
		"integer timestamp":      {`{"event_type":"a.b","payload":1,"timestamp":1700000000}`, time.Unix(1_700_000_000, 0), `1`},
		"exponent":               {`{"event_type":"a.b","payload":1,"timestamp":1.7e9}`, time.Unix(1_700_000_000, 0), `1`},
		"no timestamp":           {`{"event_type":"a.b","payload":"x"}`, property, `"x"`},
		"timestamp is null":      {`{"event_type":"a.b","payload":"x","timestamp":null}`, property, `"x"`},
		"timestamp is a string":  {`{"event_type":"a.b","payload":"x","timestamp":"now"}`, property, `"x"`},
		"timestamp out of range": {`{"event_type":"a.b","payload":"x","timestamp":1e300}`, property, `"x"`},
		"negative timestamp":     {`{"event_type":"a.b","payload":"x","timestamp":-5}`, property, `"x"`},
		"unknown fields":         {`{"event_type":"a.b","EVENT_TYPE":"c","trace":{"id":1},"payload":[]}`, property, `[]`},
		"no payload":             {`{"event_type":"a.b"}`, property, ``},
		"payload is null":        {`{"event_type":"a.b","payload":null}`, property, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := receive(amqp.Delivery{
				RoutingKey: "k", MessageId: "m", Timestamp: property, Redelivered: true, ContentType: "text/plain", Body: []byte(c.body),
			}, "g")
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != "a.b" || got.Key != "k" || got.MessageID != "m" || !got.Redelivered || got.Attempt != 1 || got.Replays != 0 {
				t.Errorf("got %+v", got)
			}
			if !got.Timestamp.Equal(c.at) || string(got.Payload) != c.payload {
				t.Errorf("at %v with payload %s, want %v with %s", got.Timestamp, got.Payload, c.at, c.payload)
			}
		})
	}
}

func TestReceiveMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"no body":        ``,
		"not JSON":       `{"event_type": "a`,
		"not an object":  `["event_type"]`,
		"null":           `null`,
		"no event_type":  `{"payload":1}`,
		"empty type":     `{"event_type":""}`,
		"not a string":   `{"event_type":7}`,
		"other case":     `{"Event_Type":"a"}`,
		"NaN, as Python": `{"event_type":"a","timestamp":NaN}`,
	} {
		_, err := receive(amqp.Delivery{Body: []byte(body)}, "g")
		var malformed *consumer.MalformedError
		if !errors.As(err, &malformed) || retry.Classify(err) != retry.VerdictMalformed {
			t.Errorf("%s: %v, want a *consumer.MalformedError", name, err)
		}
	}
}

// Attempts are counted by the story, and by that of this group only.
func TestReceiveAttempt(t *testing.T) {
	headers := story.Story{OriginQueue: "g", RetryCount: 2, ReplayCount: 1}.Table()
	for _, c := range []struct {
		group            string
		attempt, replays int
	}{{"g", 3, 1}, {"other", 1, 0}} {
		got, err := receive(amqp.Delivery{Headers: headers, Body: []byte(`{"event_type":"a"}`)}, c.group)
		if err != nil || got.Attempt != c.attempt || got.Replays != c.replays {
			t.Errorf("group %s: attempt %d, replays %d, %v; want %d, %d", c.group, got.Attempt, got.Replays, err, c.attempt, c.replays)
		}
	}
	_, err := receive(amqp.Delivery{Headers: amqp.Table{story.HeaderRetryCount: "many"}, Body: []byte(`{"event_type":"a"}`)}, "g")
	if retry.Classify(err) != retry.VerdictMalformed {
		t.Errorf("a broken story is %v, want it malformed", err)
	}
}

func TestDecode(t *testing.T) {
	var n int
	if err := (Received{Payload: json.RawMessage(`5`)}).Decode(&n); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	if err := (Received{ContentType: "text/plain", Payload: json.RawMessage(`5`)}).Decode(&n); retry.Classify(err) != retry.VerdictMalformed {
		t.Errorf("text taken for JSON: %v", err)
	}
	for name, payload := range map[string]string{"none": "", "another type": `"five"`} {
		err := Received{Type: "a", Payload: json.RawMessage(payload)}.Decode(&n)
		if retry.Classify(err) != retry.VerdictMalformed {
			t.Errorf("%s: %v, want it malformed", name, err)
		}
	}
}

// Whatever comes, receive gives an event with a type, or says malformed.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"event_type": "a.b", "payload": {"n": 1}, "timestamp": 1700000000.5}`))
	f.Add([]byte(`{"event_type":1,"timestamp":1e999}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := receive(amqp.Delivery{Body: body}, "g")
		if err != nil {
			if retry.Classify(err) != retry.VerdictMalformed {
				t.Fatalf("%v is not malformed", err)
			}
			return
		}
		if got.Type == "" || got.Attempt != 1 {
			t.Fatalf("%+v", got)
		}
		if y := got.Timestamp.UTC().Year(); y < 1 || y > 9999 {
			t.Fatalf("year %d", y)
		}
	})
}
