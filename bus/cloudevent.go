package bus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// specVersion is the version of CloudEvents that is written and read.
const specVersion = "1.0"

// attributePrefix starts the header of an attribute in binary mode. CloudEvents has
// no binding for AMQP 0-9-1; this is what its binding for AMQP 1.0 prefers, and so
// RabbitMQ shows an event of ours to an AMQP 1.0 client as that binding says.
const attributePrefix = "cloudEvents_"

// attributePrefixes are those that are read: besides ours the older one of the AMQP
// 1.0 binding, that of Knative's binding for RabbitMQ, and Kafka's.
var attributePrefixes = []string{attributePrefix, "cloudEvents:", "ce-", "ce_"}

// ownAttributes have a field of Event, or are not attributes of ours to give.
var ownAttributes = []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64"}

// cloudEvent makes the message of an event in c's CloudEvents format.
func (c Config) cloudEvent(e Event, now time.Time) (amqp.Publishing, error) {
	e.Source = cmp.Or(e.Source, c.Source)
	if e.MessageID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return amqp.Publishing{}, &EventError{Type: e.Type, Problem: "no random numbers for its id", Err: err}
		}
		e.MessageID = id.String()
	}
	if problem := e.attributeProblem(); problem != "" {
		return amqp.Publishing{}, &EventError{Type: e.Type, Problem: problem}
	}
	data, err := e.data()
	if err != nil {
		return amqp.Publishing{}, err
	}
	attributes := e.attributes(now)
	if c.Format == CloudEventsStructured {
		return e.structured(attributes, data)
	}
	headers := make(amqp.Table, len(attributes))
	for name, value := range attributes {
		headers[attributePrefix+name] = value
	}
	return amqp.Publishing{
		Headers: headers, ContentType: cmp.Or(e.ContentType, jsonType), MessageId: e.MessageID, Body: data,
	}, nil
}

// attributes are all but datacontenttype.
func (e Event) attributes(now time.Time) map[string]string {
	all := map[string]string{
		"specversion": specVersion, "id": e.MessageID, "source": e.Source, "type": e.Type,
		"time": now.UTC().Format(time.RFC3339Nano),
	}
	if e.Subject != "" {
		all["subject"] = e.Subject
	}
	for name, value := range e.Extensions {
		all[name] = value
	}
	return all
}

// data is the payload in its own encoding.
func (e Event) data() ([]byte, error) {
	if e.ContentType == "" {
		data, err := json.Marshal(e.Payload)
		if err != nil {
			return nil, &EventError{Type: e.Type, Problem: "its Payload does not encode to JSON", Err: err}
		}
		return data, nil
	}
	var data []byte
	switch p := e.Payload.(type) {
	case []byte:
		data = p
	case json.RawMessage:
		data = p
	case string:
		data = []byte(p)
	default:
		return nil, &EventError{Type: e.Type, Problem: fmt.Sprintf("its Payload is a %T with ContentType %q: give []byte or string, or leave ContentType empty to have it encoded as JSON", p, e.ContentType)}
	}
	if isJSON(e.ContentType) && !json.Valid(data) {
		return nil, &EventError{Type: e.Type, Problem: fmt.Sprintf("its Payload is no JSON, as ContentType %q says", e.ContentType)}
	}
	return data, nil
}

// structured is the event in the JSON event format.
func (e Event) structured(attributes map[string]string, data []byte) (msg amqp.Publishing, err error) {
	fields := make(map[string]any, len(attributes)+2)
	for name, value := range attributes {
		fields[name] = value
	}
	fields["datacontenttype"] = cmp.Or(e.ContentType, jsonType)
	_, isText := e.Payload.(string)
	switch {
	case isJSON(e.ContentType):
		fields["data"] = json.RawMessage(data)
	case isText && utf8.Valid(data):
		fields["data"] = string(data)
	default:
		fields["data_base64"] = data
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return msg, &EventError{Type: e.Type, Problem: "it does not encode to JSON", Err: err}
	}
	return amqp.Publishing{ContentType: structuredType, MessageId: e.MessageID, Body: body}, nil
}

// attributeProblem names what no reader of CloudEvents has to take.
func (e Event) attributeProblem() string {
	for _, a := range []struct{ name, value string }{
		{"Type", e.Type}, {"MessageID", e.MessageID}, {"Source", e.Source}, {"Subject", e.Subject}, {"ContentType", e.ContentType},
	} {
		if badText(a.value) {
			return fmt.Sprintf("its %s %q has control characters or is no UTF-8, which CloudEvents forbid", a.name, a.value)
		}
	}
	if problem := sourceProblem(e.Source); problem != "" {
		return "its Source " + problem
	}
	if strings.HasPrefix(mediaType(e.ContentType), cloudEventsType) {
		return fmt.Sprintf("its ContentType %q is that of a whole CloudEvent: give the payload's own", e.ContentType)
	}
	for name, value := range e.Extensions {
		switch {
		case slices.Contains(ownAttributes, name):
			return fmt.Sprintf("its Extensions have %q, which the event itself sets: use the field of that name", name)
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
			return fmt.Sprintf("its Extensions have %q: the names of CloudEvents are lower-case ASCII letters and digits", name)
		case badText(value):
			return fmt.Sprintf("its extension %s %q has control characters or is no UTF-8, which CloudEvents forbid", name, value)
		}
	}
	if schema, err := url.Parse(e.Extensions["dataschema"]); err != nil || e.Extensions["dataschema"] != "" && !schema.IsAbs() {
		return fmt.Sprintf("its dataschema %q is no absolute URI", e.Extensions["dataschema"])
	}
	return ""
}

func sourceProblem(source string) string {
	if source == "" {
		return "is empty: a CloudEvent names where it comes from, such as \"/orders\""
	}
	if _, err := url.Parse(source); err != nil || badText(source) {
		return fmt.Sprintf("%q is no URI reference: use a path or a URL that names this program, such as \"/orders\"", source)
	}
	return ""
}

// badText tells what may not be in a string of CloudEvents.
func badText(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || 0x7f <= r && r <= 0x9f || 0xfdd0 <= r && r <= 0xfdef || r&0xfffe == 0xfffe
	})
}
