package dlq

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lineVersion is that of the lines of Export. A change is a new version, beside
// which the old one is still read.
const lineVersion = 1

// line is a letter as JSON. What only people read (ID to Attempts) is not looked
// at when it is read. Every string may hold any bytes: see writeText.
type line struct {
	Version  int    `json:"hareline_letter"`
	ID       string `json:"id,omitempty"`
	Queue    text   `json:"queue,omitempty"`
	Reason   text   `json:"reason,omitempty"`
	Class    text   `json:"class,omitempty"`
	Error    text   `json:"error,omitempty"`
	DeadAt   string `json:"dead_at,omitempty"`
	Attempts int    `json:"attempts,omitempty"`

	Exchange        text           `json:"exchange,omitempty"`
	RoutingKey      text           `json:"routing_key,omitempty"`
	MessageID       text           `json:"message_id,omitempty"`
	CorrelationID   text           `json:"correlation_id,omitempty"`
	ContentType     text           `json:"content_type,omitempty"`
	ContentEncoding text           `json:"content_encoding,omitempty"`
	ReplyTo         text           `json:"reply_to,omitempty"`
	Type            text           `json:"type,omitempty"`
	AppID           text           `json:"app_id,omitempty"`
	UserID          text           `json:"user_id,omitempty"`
	Expiration      text           `json:"expiration,omitempty"`
	Timestamp       string         `json:"timestamp,omitempty"`
	Priority        uint8          `json:"priority,omitempty"`
	DeliveryMode    uint8          `json:"delivery_mode,omitempty"`
	Headers         map[string]any `json:"headers,omitempty"`
	Body            *string        `json:"body,omitempty"` // as text, where it is UTF-8
	BodyBase64      []byte         `json:"body_base64,omitempty"`
}

// writeLine gives a letter as one line of JSON, with its end.
func writeLine(l Letter) ([]byte, error) {
	d := l.Delivery
	headers, err := writeTable(d.Headers)
	if err != nil {
		return nil, err
	}
	out := line{
		Version: lineVersion, ID: l.ID, Queue: text(l.Queue), Reason: text(l.Reason), Class: text(l.ErrorClass), Error: text(l.LastError),
		DeadAt: instant(l.DeadAt), Attempts: l.Attempts,
		Exchange: text(d.Exchange), RoutingKey: text(d.RoutingKey), MessageID: text(d.MessageId), CorrelationID: text(d.CorrelationId),
		ContentType: text(d.ContentType), ContentEncoding: text(d.ContentEncoding), ReplyTo: text(d.ReplyTo), Type: text(d.Type),
		AppID: text(d.AppId), UserID: text(d.UserId), Expiration: text(d.Expiration),
		Priority: d.Priority, DeliveryMode: d.DeliveryMode, Headers: headers,
	}
	if !d.Timestamp.IsZero() {
		out.Timestamp = writeTime(d.Timestamp)
	}
	if body := string(d.Body); utf8.ValidString(body) && body != "" {
		out.Body = &body
	} else {
		out.BodyBase64 = d.Body
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// readLine reads what writeLine wrote.
func readLine(b []byte) (amqp.Delivery, error) {
	var in line
	if !utf8.Valid(b) { // of which JSON would make something else
		return amqp.Delivery{}, errors.New("it is not UTF-8: write a body of other bytes as body_base64")
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	dec.DisallowUnknownFields() // "bdy" would make a letter without a body
	if err := dec.Decode(&in); err != nil {
		return amqp.Delivery{}, fmt.Errorf("it is no letter in JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return amqp.Delivery{}, errors.New("something follows the letter: give each letter a line of its own")
	}
	switch {
	case in.Version == 0:
		return amqp.Delivery{}, errors.New("it is no letter: hareline_letter is missing")
	case in.Version != lineVersion:
		return amqp.Delivery{}, fmt.Errorf("hareline_letter is %d, and this release reads %d: use a newer one", in.Version, lineVersion)
	case in.Body != nil && in.BodyBase64 != nil:
		return amqp.Delivery{}, errors.New("it has both body and body_base64")
	}
	headers, err := readTable(in.Headers, 1)
	if err != nil {
		return amqp.Delivery{}, fmt.Errorf("headers: %w", err)
	}
	d := amqp.Delivery{
		Exchange: string(in.Exchange), RoutingKey: string(in.RoutingKey), MessageId: string(in.MessageID), CorrelationId: string(in.CorrelationID),
		ContentType: string(in.ContentType), ContentEncoding: string(in.ContentEncoding), ReplyTo: string(in.ReplyTo), Type: string(in.Type),
		AppId: string(in.AppID), UserId: string(in.UserID), Expiration: string(in.Expiration),
		Priority: in.Priority, DeliveryMode: in.DeliveryMode, Headers: headers, Body: in.BodyBase64,
	}
	if in.Body != nil {
		d.Body = []byte(*in.Body)
	}
	if in.Timestamp != "" {
		if d.Timestamp, err = readTime(in.Timestamp); err != nil {
			return amqp.Delivery{}, fmt.Errorf("timestamp: %w", err)
		}
	}
	return d, nil
}

// text is a string of any bytes.
type text string

// MarshalText is that of encoding.TextMarshaler.
func (t text) MarshalText() ([]byte, error) { return []byte(writeText(string(t))), nil }

// UnmarshalText is that of encoding.TextUnmarshaler.
func (t *text) UnmarshalText(b []byte) error {
	s, err := readText(string(b))
	*t = text(s)
	return err
}

const base64Mark = "base64:"

// writeText gives a string as JSON can hold it: what is not UTF-8, in base64.
func writeText(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, base64Mark) {
		return s
	}
	return base64Mark + base64.StdEncoding.EncodeToString([]byte(s))
}

func readText(s string) (string, error) {
	encoded, ok := strings.CutPrefix(s, base64Mark)
	if !ok {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	return string(b), err
}
