package story

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Size is the number of bytes that h takes in a content header frame, its
// length prefix included (AMQP 0-9-1, 4.2.5.5). A value of a type that AMQP
// cannot carry counts as nothing: the client refuses to send it.
func Size(h amqp.Table) int {
	size := 4
	for name, v := range h {
		size += entrySize(name, v)
	}
	return size
}

func entrySize(name string, v any) int { return 1 + len(name) + valueSize(v) }

// valueSize includes the type octet.
func valueSize(v any) int {
	switch v := v.(type) {
	case nil:
		return 1
	case bool, int8, uint8:
		return 2
	case int16, uint16:
		return 3
	case int, int32, uint32, float32: // the client sends int as 32 bits (H 10.3)
		return 5
	case int64, float64, time.Time:
		return 9
	case amqp.Decimal:
		return 6
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case amqp.Table:
		return 1 + Size(v)
	case []any:
		size := 5
		for _, item := range v {
			size += valueSize(item)
		}
		return size
	}
	return 0
}

// frameSize is the size of msg's content header frame: frame type, channel,
// size and end (8), class, weight, body size and flags (14), the properties.
func frameSize(msg *amqp.Publishing) int {
	size := 22 + 1 + 1 + 8 + Size(msg.Headers) // delivery mode, priority, timestamp
	for _, s := range [...]string{
		msg.ContentType, msg.ContentEncoding, msg.CorrelationId, msg.ReplyTo, msg.Expiration,
		msg.MessageId, msg.Type, msg.UserId, msg.AppId,
	} {
		size += 1 + len(s)
	}
	return size
}
