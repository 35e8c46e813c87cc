package confirm

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// HeaderPublishID numbers the messages of one publisher. A basic.return
// carries no delivery tag, so this is how it finds its message (H 1.1).
const HeaderPublishID = "hareline-publish-id"

const (
	maxShortString = 255
	maxCopyHeaders = 120 << 10
	// maxExpiration is the broker's: ten years in milliseconds.
	maxExpiration = 10 * 365 * 24 * time.Hour
)

// limits of one publish.
type limits struct{ headers, body int }

// prepare checks a message for everything that would close the channel, or the
// connection under all its neighbours (H 10), and gives a copy to send: its
// defaults filled, its headers its own. The reason is empty when it passes.
func prepare(exchange, key string, msg amqp.Publishing, id uint64, lim limits) (out amqp.Publishing, size int, reason string) {
	if reason = checkStrings(exchange, key, &msg); reason != "" {
		return msg, 0, reason
	}
	if reason = checkExpiration(msg.Expiration); reason != "" {
		return msg, 0, reason
	}
	if lim.body > 0 && len(msg.Body) > lim.body {
		return msg, 0, fmt.Sprintf("the body has %d bytes, the limit is %d: store it elsewhere and send a reference, or raise MaxBodyBytes together with the broker's max_message_size", len(msg.Body), lim.body)
	}
	headers := make(amqp.Table, len(msg.Headers)+1)
	maps.Copy(headers, msg.Headers)
	headers[HeaderPublishID] = int64(id) //nolint:gosec // counts messages of one process
	bytes, reason := checkTable("headers", headers)
	if reason == "" {
		reason = checkRouting(headers)
	}
	if reason != "" {
		return msg, 0, reason
	}
	if bytes > lim.headers {
		return msg, 0, fmt.Sprintf("the headers have %d bytes, the limit is %d: move long values into the body", bytes, lim.headers)
	}
	msg.Headers = headers
	if msg.DeliveryMode == 0 {
		msg.DeliveryMode = amqp.Persistent
	}
	if msg.MessageId == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return msg, 0, "no random numbers for a message-id: " + err.Error()
		}
		msg.MessageId = id.String()
	}
	if msg.Timestamp.IsZero() {
		msg.Timestamp = time.Now()
	}
	return msg, bytes + len(msg.Body), ""
}

// checkStrings refuses short strings over 255 bytes: the client finds out only
// after it has buffered the method frame, and drops the connection (H 10.2).
func checkStrings(exchange, key string, msg *amqp.Publishing) string {
	for _, s := range [...]struct{ name, value string }{
		{"exchange", exchange}, {"routing key", key}, {"content-type", msg.ContentType},
		{"content-encoding", msg.ContentEncoding}, {"correlation-id", msg.CorrelationId}, {"reply-to", msg.ReplyTo},
		{"expiration", msg.Expiration}, {"message-id", msg.MessageId}, {"type", msg.Type},
		{"user-id", msg.UserId}, {"app-id", msg.AppId},
	} {
		if len(s.value) > maxShortString {
			return fmt.Sprintf("%s has %d bytes, AMQP allows %d", s.name, len(s.value), maxShortString)
		}
	}
	return ""
}

// checkExpiration refuses what the broker answers with a channel exception (H 5.3).
func checkExpiration(s string) string {
	if s == "" {
		return ""
	}
	ms, err := strconv.ParseUint(s, 10, 63)
	if err != nil || ms > uint64(maxExpiration.Milliseconds()) {
		return fmt.Sprintf("expiration %q is not a number of milliseconds from 0 to %d", s, maxExpiration.Milliseconds())
	}
	return ""
}

// checkRouting refuses a CC or BCC header that is not an array of strings:
// the broker closes the channel on it (H 10.7).
func checkRouting(h amqp.Table) string {
	for _, name := range [...]string{"CC", "BCC"} {
		v, ok := h[name]
		if !ok {
			continue
		}
		list, ok := v.([]any)
		for i := 0; ok && i < len(list); i++ {
			_, ok = list[i].(string)
		}
		if !ok {
			return fmt.Sprintf("header %s is %T: RabbitMQ takes an array of strings, []any{\"key\"}", name, v)
		}
	}
	return ""
}

// checkTable gives the encoded size of a table (AMQP 0-9-1, 4.2.5.5) and turns
// int into int64, which the client would cut to 32 bits (H 10.3). Tables are
// replaced in their parent, never changed in place: they are the caller's.
func checkTable(path string, t amqp.Table) (size int, reason string) {
	size = 4
	for k, v := range t {
		if len(k) > maxShortString {
			return 0, fmt.Sprintf("%s has a name of %d bytes, AMQP allows %d", path, len(k), maxShortString)
		}
		n, wide, reason := checkValue(path, k, v)
		if reason != "" {
			return 0, reason
		}
		if wide != nil {
			t[k] = wide
		}
		size += 1 + len(k) + 1 + n
	}
	return size, ""
}

// checkValue gives the encoded size of a value without its type octet and,
// where the value must be replaced, its replacement.
func checkValue(path, name string, v any) (size int, replace any, reason string) {
	switch v := v.(type) {
	case nil:
		return 0, nil, ""
	case bool, byte, int8:
		return 1, nil, ""
	case int16, uint16:
		return 2, nil, ""
	case int32, uint32, float32:
		return 4, nil, ""
	case int64, float64, time.Time:
		return 8, nil, ""
	case int:
		return 8, int64(v), ""
	case amqp.Decimal:
		return 5, nil, ""
	case string:
		return 4 + len(v), nil, ""
	case []byte:
		return 4 + len(v), nil, ""
	case amqp.Table:
		own := maps.Clone(v)
		size, reason = checkTable(path+"."+name, own)
		return size, own, reason
	case []any:
		own := make([]any, len(v))
		size = 4
		for i, item := range v {
			n, wide, reason := checkValue(path+"."+name, strconv.Itoa(i), item)
			if reason != "" {
				return 0, nil, reason
			}
			own[i] = item
			if wide != nil {
				own[i] = wide
			}
			size += 1 + n
		}
		return size, own, ""
	}
	return 0, nil, fmt.Sprintf("%s.%s is a %T: AMQP has no such type; use a string, int64, float64, bool, []byte, time.Time, []any or amqp.Table", path, name, v)
}
