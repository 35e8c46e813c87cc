package bus

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
)

// read tells the three formats apart and reads the event: what is in the message,
// not what happened to it. Headers that make a CloudEvent, or the content type of
// one, say that it is; of other messages the body is looked at, whatever their
// content type, for publishers that set none, or a wrong one, are common.
func read(d amqp.Delivery) (Received, error) {
	prefix, whole := attributesOf(d.Headers)
	said := strings.HasPrefix(mediaType(d.ContentType), cloudEventsType)
	if whole && !said {
		return readBinary(d, prefix)
	}
	var fields map[string]json.RawMessage // a struct would take "EVENT_TYPE" as well
	err := json.Unmarshal(d.Body, &fields)
	_, versioned := fields["specversion"]
	switch {
	case said && mediaType(d.ContentType) != structuredType && mediaType(d.ContentType) != cloudEventsType:
		return Received{}, &consumer.MalformedError{Problem: fmt.Sprintf("content-type %q: of the event formats of CloudEvents only JSON is read, one event a message", d.ContentType)}
	case whole && !versioned: // Knative writes this content type in binary mode too
		return readBinary(d, prefix)
	case err != nil:
		return Received{}, &consumer.MalformedError{Problem: "the body is not a JSON object", Err: err}
	case said, versioned && fields["event_type"] == nil:
		return readStructured(d, fields)
	case prefix != "" && fields["event_type"] == nil:
		return Received{}, &consumer.MalformedError{Problem: fmt.Sprintf("headers with %sspecversion say that it is a CloudEvent, and one of id, source and type is missing", prefix)}
	}
	return readEnvelope(d, fields)
}

// readEnvelope reads an object with an event_type; other fields may be missing, and
// further ones are ignored.
func readEnvelope(d amqp.Delivery, fields map[string]json.RawMessage) (Received, error) {
	var kind string
	if err := json.Unmarshal(fields["event_type"], &kind); err != nil || kind == "" {
		return Received{}, &consumer.MalformedError{Problem: `the body has no "event_type" that is a string`, Err: err}
	}
	r := Received{Type: kind, Payload: fields["payload"], Timestamp: d.Timestamp, MessageID: d.MessageId}
	if at, ok := moment(fields["timestamp"]); ok {
		r.Timestamp = at
	}
	return r, nil
}

// attributesOf finds the prefix under which the headers have a CloudEvent, and
// whether all that is required of one is there.
func attributesOf(h amqp.Table) (prefix string, whole bool) {
	for _, p := range attributePrefixes {
		if _, ok := h[p+"specversion"]; !ok {
			continue
		}
		prefix, whole = p, true
		for _, name := range []string{"id", "source", "type"} {
			_, ok := h[p+name]
			whole = whole && ok
		}
		if whole {
			break
		}
	}
	return prefix, whole
}

func readBinary(d amqp.Delivery, prefix string) (Received, error) {
	attributes := make(map[string]string)
	for header, value := range d.Headers {
		if name, ok := strings.CutPrefix(header, prefix); ok {
			if text, ok := canonical(value); ok {
				attributes[name] = text
			}
		}
	}
	r, err := fromAttributes(d, attributes)
	if err != nil {
		return r, err
	}
	if len(d.Body) > 0 {
		r.Payload = d.Body
	}
	if r.ContentType = d.ContentType; strings.HasPrefix(mediaType(d.ContentType), cloudEventsType) {
		r.ContentType = "" // that of the event, and so JSON
	}
	return r, nil
}

// canonical is the string form of an attribute; false for what CloudEvents have no
// type for.
func canonical(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case bool, int8, uint8, int16, uint16, int32, uint32, int64, float32, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

func readStructured(d amqp.Delivery, fields map[string]json.RawMessage) (Received, error) {
	attributes := make(map[string]string)
	for name, raw := range fields {
		if name == "data" || name == "data_base64" || len(raw) == 0 {
			continue
		}
		var text string
		switch raw[0] {
		case '"':
			if err := json.Unmarshal(raw, &text); err != nil {
				return Received{}, &consumer.MalformedError{Problem: fmt.Sprintf("the attribute %q does not decode", name), Err: err}
			}
			attributes[name] = text
		case 'n', '{', '[': // null is unset; objects are no attributes
		default:
			attributes[name] = string(raw)
		}
	}
	r, err := fromAttributes(d, attributes)
	if err != nil {
		return r, err
	}
	r.ContentType = attributes["datacontenttype"]
	r.Payload, err = structuredData(fields, r.ContentType)
	return r, err
}

func structuredData(fields map[string]json.RawMessage, contentType string) (json.RawMessage, error) {
	if raw, ok := fields["data_base64"]; ok && string(raw) != "null" {
		var data []byte
		if err := json.Unmarshal(raw, &data); err != nil {
			return nil, &consumer.MalformedError{Problem: `"data_base64" is not a string in Base64`, Err: err}
		}
		return data, nil
	}
	data := fields["data"]
	var text string
	if !isJSON(contentType) && json.Unmarshal(data, &text) == nil && string(data) != "null" {
		return json.RawMessage(text), nil
	}
	return data, nil
}

// fromAttributes makes the event of its attributes, without the payload.
func fromAttributes(d amqp.Delivery, attributes map[string]string) (Received, error) {
	if v := attributes["specversion"]; v != specVersion {
		return Received{}, &consumer.MalformedError{Problem: fmt.Sprintf("it is a CloudEvent of version %q, and only %s is read", v, specVersion)}
	}
	for _, name := range []string{"id", "source", "type"} {
		if attributes[name] == "" {
			return Received{}, &consumer.MalformedError{Problem: fmt.Sprintf("it is a CloudEvent without the attribute %q, which is required", name)}
		}
	}
	r := Received{
		Type: attributes["type"], Source: attributes["source"], Subject: attributes["subject"],
		// Not the property: a message without one gets another with its first retry.
		MessageID: attributes["id"],
		Timestamp: d.Timestamp,
	}
	if at, err := time.Parse(time.RFC3339Nano, attributes["time"]); err == nil {
		r.Timestamp = at
	}
	for name, value := range attributes {
		if !slices.Contains(ownAttributes, name) {
			if r.Extensions == nil {
				r.Extensions = make(map[string]string)
			}
			r.Extensions[name] = value
		}
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
