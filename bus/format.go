package bus

import (
	"mime"
	"strings"
)

// Format is how a bus writes its events. Every bus reads all three, whatever it
// writes, so publishers can be changed one by one.
type Format uint8

// Envelope is a JSON object with event_type, payload and timestamp. The other two
// are the content modes of CloudEvents 1.0: the attributes in headers and the
// payload as the body, or all in one JSON object.
const (
	Envelope Format = iota
	CloudEventsBinary
	CloudEventsStructured
)

const (
	jsonType        = "application/json"
	cloudEventsType = "application/cloudevents" // what all event formats' types begin with
	structuredType  = cloudEventsType + "+json"
)

// isJSON tells whether a payload of this content type is JSON. None counts as
// JSON, as in the envelope.
func isJSON(contentType string) bool {
	kind := mediaType(contentType)
	return kind == "" || kind == jsonType || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

// mediaType is the content type without parameters, in lower case; what does not
// parse is taken up to the first semicolon.
func mediaType(contentType string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(contentType, ";")
	}
	return strings.ToLower(strings.TrimSpace(kind))
}
