package bus

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/retry"
)

var sentAt = time.Date(2026, 11, 23, 17, 0, 0, 250_000_000, time.UTC)

// The bytes on the wire are a contract with programs in other languages.
func TestCloudEventOnTheWire(t *testing.T) {
	e := Event{
		Type: "order.created", Key: "eu.order", MessageID: "m1", Payload: map[string]int{"n": 1}, Subject: "orders/7",
		Extensions: map[string]string{"traceparent": "00-1", "dataschema": "https://example.com/order.json"},
	}
	key, msg, err := Config{Format: CloudEventsBinary, Source: "/orders"}.message(e, sentAt)
	if err != nil {
		t.Fatal(err)
	}
	want := amqp.Table{
		"cloudEvents_specversion": "1.0", "cloudEvents_id": "m1", "cloudEvents_type": "order.created", "cloudEvents_source": "/orders",
		"cloudEvents_time": "2026-11-23T17:00:00.25Z", "cloudEvents_subject": "orders/7", "cloudEvents_traceparent": "00-1",
		"cloudEvents_dataschema": "https://example.com/order.json",
	}
	if len(msg.Headers) != len(want) {
		t.Errorf("headers %v", msg.Headers)
	}
	for name, value := range want {
		if msg.Headers[name] != value {
			t.Errorf("%s is %v, want %v", name, msg.Headers[name], value)
		}
	}
	if key != "eu.order" || msg.ContentType != "application/json" || msg.DeliveryMode != amqp.Persistent || msg.MessageId != "m1" || string(msg.Body) != `{"n":1}` {
		t.Errorf("key %q, %+v, body %s", key, msg, msg.Body)
	}

	_, msg, err = Config{Format: CloudEventsStructured, Source: "/orders"}.message(e, sentAt)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"data":{"n":1},"datacontenttype":"application/json","dataschema":"https://example.com/order.json","id":"m1","source":"/orders","specversion":"1.0","subject":"orders/7","time":"2026-11-23T17:00:00.25Z","traceparent":"00-1","type":"order.created"}`
	if string(msg.Body) != body || msg.ContentType != "application/cloudevents+json" || msg.MessageId != "m1" || len(msg.Headers) != 0 {
		t.Errorf("%+v, body\n%s\nwant\n%s", msg, msg.Body, body)
	}
}

func TestCloudEventID(t *testing.T) {
	_, msg, err := Config{Format: CloudEventsBinary, Source: "/"}.message(Event{Type: "a"}, sentAt)
	if err != nil || msg.MessageId == "" || msg.Headers["cloudEvents_id"] != msg.MessageId || string(msg.Body) != "null" {
		t.Errorf("%+v, %v", msg, err)
	}
}

func TestCloudEventRefused(t *testing.T) {
	ext := func(name, value string) map[string]string { return map[string]string{name: value} }
	for problem, e := range map[string]Event{
		"its Type is empty":              {},
		"is a pattern":                   {Type: "a.*"},
		"does not encode to JSON":        {Type: "a", Payload: math.Inf(1)},
		"Type \"a\\x00\" has control":    {Type: "a\x00"},
		"no UTF-8":                       {Type: "a", Subject: "\xff"},
		"no URI reference":               {Type: "a", Source: "::"},
		"MessageID \"\\n\" has control":  {Type: "a", MessageID: "\n"},
		"\"id\", which the event itself": {Type: "a", Extensions: ext("id", "1")},
		"\"data\", which the event":      {Type: "a", Extensions: ext("data", "1")},
		"\"Trace\": the names":           {Type: "a", Extensions: ext("Trace", "1")},
		"\"\": the names":                {Type: "a", Extensions: ext("", "1")},
		"extension x \"\\x7f\" has":      {Type: "a", Extensions: ext("x", "\x7f")},
		"no absolute URI":                {Type: "a", Extensions: ext("dataschema", "order.json")},
		"Payload is a int with Content":  {Type: "a", ContentType: "text/plain", Payload: 5},
		"Payload is no JSON":             {Type: "a", ContentType: "application/json", Payload: "{"},
		"is that of a whole CloudEvent":  {Type: "a", ContentType: structuredType, Payload: "{}"},
	} {
		for _, f := range []Format{CloudEventsBinary, CloudEventsStructured} {
			_, _, err := Config{Format: f, Source: "/x"}.message(e, sentAt)
			var refused *EventError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), problem) {
				t.Errorf("%v, want an *EventError with %s", err, problem)
			}
		}
	}
	for _, e := range []Event{
		{Type: "a", Subject: "s"}, {Type: "a", Source: "s"}, {Type: "a", ContentType: "text/plain", Payload: "x"}, {Type: "a", Extensions: ext("x", "1")},
	} {
		if _, _, err := (Config{}).message(e, sentAt); err == nil || !strings.Contains(err.Error(), "the envelope has no place") {
			t.Errorf("%+v in an envelope: %v", e, err)
		}
	}
}

func TestCloudEventsNeedASource(t *testing.T) {
	for _, source := range []string{"", "::", "a\x00"} {
		var bad *ConfigError
		if err := (Config{Format: CloudEventsBinary, Source: source}).withDefaults().validate(); !errors.As(err, &bad) || bad.Field != "Source" {
			t.Errorf("%q: %v", source, err)
		}
	}
	var bad *ConfigError
	if err := (Config{Format: 9}).withDefaults().validate(); !errors.As(err, &bad) || bad.Field != "Format" {
		t.Error(err)
	}
}

// required are the headers of a CloudEvent under a prefix.
func required(prefix string, more ...any) amqp.Table {
	h := amqp.Table{prefix + "specversion": "1.0", prefix + "id": "i", prefix + "source": "/s", prefix + "type": "a.b"}
	for i := 0; i < len(more); i += 2 {
		h[prefix+more[i].(string)] = more[i+1]
	}
	return h
}

// What other programs write, by the bindings for AMQP 1.0, RabbitMQ (Knative) and
// Kafka, and by the JSON event format.
func TestReceiveCloudEvents(t *testing.T) {
	whole := func(more string) string {
		return `{"specversion":"1.0","id":"i","source":"/s","type":"a.b"` + more + `}`
	}
	for name, c := range map[string]struct {
		headers                    amqp.Table
		kind, body, payload, inner string
	}{
		"cloudEvents_":              {required("cloudEvents_"), "application/json", `{"n":1}`, `{"n":1}`, "application/json"},
		"cloudEvents:":              {required("cloudEvents:"), "application/json; charset=utf-8", `1`, `1`, "application/json; charset=utf-8"},
		"Knative":                   {required("ce-"), "text/json", `1`, `1`, "text/json"},
		"Knative's own example":     {required("ce-"), "application/cloudevents+json; charset=UTF-8", `{"n":1}`, `{"n":1}`, ""},
		"Kafka":                     {required("ce_"), "", `1`, `1`, ""},
		"not JSON":                  {required("ce_"), "image/png", "\x89PNG", "\x89PNG", "image/png"},
		"an envelope as data":       {required("ce_"), "", `{"event_type":"c"}`, `{"event_type":"c"}`, ""},
		"no body":                   {required("ce_"), "", ``, ``, ""},
		"bytes":                     {required("cloudEvents_", "type", []byte("a.b")), "", `1`, `1`, ""},
		"structured":                {nil, "application/cloudevents+json", whole(`,"data":{"n": 1}`), `{"n": 1}`, ""},
		"structured, parameters":    {nil, "Application/CloudEvents+JSON; charset=utf-8", whole(`,"data":1`), `1`, ""},
		"structured, no format":     {nil, "application/cloudevents", whole(`,"data":1`), `1`, ""},
		"structured, type unsaid":   {nil, "", whole(`,"data":1`), `1`, ""},
		"structured, type wrong":    {nil, "text/plain", whole(`,"data":1`), `1`, ""},
		"structured, with headers":  {required("cloudEvents_", "type", "c"), "application/cloudevents+json", whole(`,"data":1`), `1`, ""},
		"structured, no data":       {nil, structuredType, whole(``), ``, ""},
		"structured, null":          {nil, structuredType, whole(`,"data":null,"subject":null`), `null`, ""},
		"structured, Base64":        {nil, structuredType, whole(`,"datacontenttype":"image/png","data_base64":"iVBORw=="`), "\x89PNG", "image/png"},
		"structured, Base64 JSON":   {nil, structuredType, whole(`,"data_base64":"MQ==","data":null`), `1`, ""},
		"structured, text":          {nil, structuredType, whole(`,"datacontenttype":"text/xml","data":"<a/>"`), `<a/>`, "text/xml"},
		"structured, JSON string":   {nil, structuredType, whole(`,"datacontenttype":"application/vnd.x+json","data":"<a/>"`), `"<a/>"`, "application/vnd.x+json"},
		"structured, object as XML": {nil, structuredType, whole(`,"datacontenttype":"text/xml","data":{}`), `{}`, "text/xml"},
	} {
		got, err := receive(amqp.Delivery{Headers: c.headers, ContentType: c.kind, Body: []byte(c.body), RoutingKey: "k", MessageId: "m", Timestamp: sentAt}, "g")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Type != "a.b" || got.Source != "/s" || got.MessageID != "i" || got.Key != "k" || !got.Timestamp.Equal(sentAt) || got.Extensions != nil || got.Subject != "" {
			t.Errorf("%s: %+v", name, got)
		}
		if string(got.Payload) != c.payload || got.ContentType != c.inner {
			t.Errorf("%s: payload %q of type %q, want %q of %q", name, got.Payload, got.ContentType, c.payload, c.inner)
		}
	}
}

// Attributes come in the types of AMQP and in those of JSON, and are read alike.
func TestReceiveAttributes(t *testing.T) {
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, d := range map[string]amqp.Delivery{
		"binary": {Headers: required("cloudEvents:", "time", at, "subject", "u", "retries", int64(3), "ok", true, "dataschema", "https://x", "blob", []byte("z"), "table", amqp.Table{}, "none", nil)},
		"structured": {ContentType: structuredType, Body: []byte(
			`{"specversion":"1.0","id":"i","source":"/s","type":"a.b","time":"2020-01-02T04:04:05+01:00","subject":"u","retries":3,"ok":true,"dataschema":"https://x","blob":"z","table":{},"none":null}`)},
	} {
		got, err := receive(d, "g")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(got.Extensions)
		if want := `{"blob":"z","dataschema":"https://x","ok":"true","retries":"3"}`; string(text) != want || !got.Timestamp.Equal(at) || got.Subject != "u" {
			t.Errorf("%s: %s, %+v", name, text, got)
		}
	}
	got, err := receive(amqp.Delivery{Headers: required("ce-", "time", "yesterday"), Timestamp: at}, "g")
	if err != nil || !got.Timestamp.Equal(at) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReceiveMalformedCloudEvents(t *testing.T) {
	without := func(name string) amqp.Table {
		h := required("cloudEvents_")
		delete(h, "cloudEvents_"+name)
		return h
	}
	for problem, d := range map[string]amqp.Delivery{
		"one of id, source and type": {Headers: without("id"), Body: []byte(`{}`)},
		"not a JSON object":          {Headers: without("source"), Body: []byte(`5`)},
		`"source", which is req`:     {Headers: required("ce-", "source", "")},
		`"type", which is req`:       {Headers: required("ce-", "type", amqp.Table{})},
		`version "0.3"`:              {Headers: required("ce-", "specversion", "0.3")},
		`version "2.0"`:              {Body: []byte(`{"specversion":"2.0","id":"i","source":"s","type":"t"}`)},
		`"id", which is required`:    {Body: []byte(`{"specversion":"1.0","source":"s","type":"t"}`)},
		`version ""`:                 {ContentType: structuredType, Body: []byte(`{"event_type":"a"}`)},
		"+avro":                      {ContentType: "application/cloudevents+avro", Body: []byte(`{}`)},
		"-batch+json":                {ContentType: "application/cloudevents-batch+json", Body: []byte(`[]`)},
		"body is not a JSON object":  {ContentType: structuredType, Body: []byte(`[]`)},
		"not a string in Base64":     {Body: []byte(`{"specversion":"1.0","id":"i","source":"s","type":"t","data_base64":"%"}`)},
	} {
		_, err := receive(d, "g")
		if retry.Classify(err) != retry.VerdictMalformed || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v, want %s", err, problem)
		}
	}
	// Headers that somebody passed on make no CloudEvent of an envelope.
	if got, err := receive(amqp.Delivery{Headers: without("id"), Body: []byte(`{"event_type":"e"}`)}, "g"); err != nil || got.Type != "e" || got.Source != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What one side writes in any format, the other reads.
func TestRoundTripOfFormats(t *testing.T) {
	text := rapid.StringMatching(`[a-zäß🐇 /<&"]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Format: rapid.SampledFrom([]Format{CloudEventsBinary, CloudEventsStructured}).Draw(t, "format"), Source: "/here"}
		e := Event{Type: text.Draw(t, "type"), MessageID: text.Draw(t, "id"), Subject: rapid.OneOf(rapid.Just(""), text).Draw(t, "subject")}
		if rapid.Bool().Draw(t, "extension") {
			e.Extensions = map[string]string{"tracestate": text.Draw(t, "state")}
		}
		var want string
		switch rapid.IntRange(0, 2).Draw(t, "payload") {
		case 0:
			e.Payload = text.Draw(t, "value")
			raw, _ := json.Marshal(e.Payload)
			want = string(raw)
		case 1:
			e.ContentType, e.Payload = "text/plain", rapid.String().Draw(t, "text")
			want = e.Payload.(string)
		case 2:
			raw := rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "bytes")
			e.ContentType, e.Payload, want = "application/octet-stream", raw, string(raw)
		}
		key, msg, err := c.message(e, sentAt)
		if err != nil {
			t.Fatal(err)
		}
		got, err := receive(amqp.Delivery{Headers: msg.Headers, ContentType: msg.ContentType, MessageId: msg.MessageId, RoutingKey: key, Body: msg.Body}, "g")
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != e.Type || got.MessageID != e.MessageID || got.Subject != e.Subject || got.Source != "/here" || !got.Timestamp.Equal(sentAt) ||
			got.Extensions["tracestate"] != e.Extensions["tracestate"] || string(got.Payload) != want {
			t.Fatalf("sent %+v\ngot  %+v, payload %q", e, got, got.Payload)
		}
		var v string
		if decoded := got.Decode(&v) == nil; decoded != (e.ContentType == "") {
			t.Fatalf("decoded: %t, content type %q", decoded, e.ContentType)
		}
	})
}

// Whatever comes, receive gives an event with a type, or says malformed.
func FuzzReceiveCloudEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "", "", []byte(`{"specversion":"1.0","id":"i","source":"/s","type":"t","data_base64":"AA=="}`))
	f.Add("", "cloudEvents_", "1.0", []byte(`1`))
	f.Add("application/cloudevents-batch+json", "ce-", "1.0", []byte(`[]`))
	f.Add("a/b;;", "ce_", "", []byte(`{"specversion":{}}`))
	f.Fuzz(func(t *testing.T, kind, prefix, version string, body []byte) {
		got, err := receive(amqp.Delivery{Headers: required(prefix, "specversion", version), ContentType: kind, Body: body}, "g")
		if err != nil {
			if retry.Classify(err) != retry.VerdictMalformed {
				t.Fatalf("%v is not malformed", err)
			}
			return
		}
		if got.Type == "" || got.Attempt != 1 || got.Source != "" && got.MessageID == "" {
			t.Fatalf("%+v", got)
		}
		var v any
		if err := got.Decode(&v); err != nil && retry.Classify(err) != retry.VerdictMalformed {
			t.Fatal(err)
		}
	})
}
