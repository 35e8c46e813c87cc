package confirm

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// HeaderPublishID numbers the messages of one publisher. A basic.return
// carries no delivery tag, so this is how it finds its message (H 1.1).
const HeaderPublishID = "hareline-publish-id"

const (
	// The client refuses to read tables deeper than 32 or with more than 8192
	// entries, in a return as in a delivery, and drops the connection; it writes
	// them without a word. The broker's x-death and our story need some room.
	maxDepth   = 28
	maxEntries = 8000

	maxShortString = 255
	maxCopyHeaders = 120 << 10
	// maxExpiration is the broker's: ten years in milliseconds.
	maxExpiration = 10 * 365 * 24 * time.Hour
)

// limits of one publish.
type limits struct{ headers, body int }

// identify gives a message without a message-id a new one.
func identify(msg *amqp.Publishing) (reason string) {
	if msg.MessageId != "" {
		return ""
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "no random numbers for a message-id: " + err.Error()
	}
	msg.MessageId = id.String()
	return ""
}

// ownHeaders is a copy that may be added to; its values are the caller's.
func ownHeaders(h amqp.Table) amqp.Table {
	own := make(amqp.Table, len(h)+1)
	maps.Copy(own, h)
	return own
}

// prepare checks a message for everything that would close the channel, or the
// connection under all its neighbours (H 10), and gives what is to be sent, its
// defaults filled. It writes into msg's headers, which are the publisher's own. The
// reason is empty when it passes.
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
	headers := msg.Headers
	headers[HeaderPublishID] = int64(id) //nolint:gosec // counts messages of one process
	bytes, reason := checkTable("headers", headers, 1)
	if reason == "" {
		reason = checkRouting(headers)
	}
	if reason != "" {
		return msg, 0, reason
	}
	if bytes > lim.headers {
		return msg, 0, fmt.Sprintf("the headers have %d bytes, the limit is %d: move long values into the body", bytes, lim.headers)
	}
	if msg.DeliveryMode == 0 {
		msg.DeliveryMode = amqp.Persistent
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
func checkTable(path string, t amqp.Table, depth int) (size int, reason string) {
	if reason = checkShape(path, len(t), depth); reason != "" {
		return 0, reason
	}
	size = 4
	for k, v := range t {
		if len(k) > maxShortString {
			return 0, fmt.Sprintf("%s has a name of %d bytes, AMQP allows %d", path, len(k), maxShortString)
		}
		n, wide, reason := checkValue(path, k, v, depth)
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

// checkShape refuses what the client writes and cannot read back.
func checkShape(path string, entries, depth int) string {
	switch {
	case depth > maxDepth:
		return fmt.Sprintf("%s is nested %d deep, the limit is %d", path, depth, maxDepth)
	case entries > maxEntries:
		return fmt.Sprintf("%s has %d entries, the limit is %d: put them into the body", path, entries, maxEntries)
	}
	return ""
}

// checkValue gives the encoded size of a value without its type octet and,
// where the value must be replaced, its replacement.
func checkValue(path, name string, v any, depth int) (size int, replace any, reason string) {
	switch v := v.(type) {
	case int:
		return 8, int64(v), ""
	case float32:
		return 4, nil, checkFloat(path, name, float64(v))
	case float64:
		return 8, nil, checkFloat(path, name, v)
	case amqp.Table:
		own := maps.Clone(v)
		size, reason = checkTable(path+"."+name, own, depth+1)
		return size, own, reason
	case []any:
		return checkArray(path+"."+name, v, depth+1)
	}
	if size, ok := scalarSize(v); ok {
		return size, nil, ""
	}
	return 0, nil, fmt.Sprintf("%s.%s is a %T: AMQP has no such type; use a string, int64, float64, bool, []byte, time.Time, []any or amqp.Table", path, name, v)
}

func checkArray(path string, list []any, depth int) (size int, replace any, reason string) {
	if reason = checkShape(path, len(list), depth); reason != "" {
		return 0, nil, reason
	}
	own := make([]any, len(list))
	size = 4
	for i, item := range list {
		n, wide, reason := checkValue(path, strconv.Itoa(i), item, depth)
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

// scalarSize is the encoded size of a value that holds no others and needs no
// check (AMQP 0-9-1, 4.2.5.5, with RabbitMQ's types); false where AMQP has none.
func scalarSize(v any) (size int, ok bool) {
	switch v := v.(type) {
	case nil:
		return 0, true
	case bool, byte, int8:
		return 1, true
	case int16, uint16:
		return 2, true
	case int32, uint32:
		return 4, true
	case int64, time.Time:
		return 8, true
	case amqp.Decimal:
		return 5, true
	case string:
		return 4 + len(v), true
	case []byte:
		return 4 + len(v), true
	}
	return 0, false
}

// checkFloat refuses NaN and the infinities: RabbitMQ cannot decode them, and
// answers 541, closing the connection.
func checkFloat(path, name string, f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprintf("%s.%s is %v: RabbitMQ takes finite numbers only", path, name, f)
	}
	return ""
}
