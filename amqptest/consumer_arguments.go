package amqptest

import (
	"fmt"
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// consumerArguments are those that basic.consume knows, by type of queue.
func consumerArguments(v Version, kind queueKind) []string {
	switch {
	case kind == classic && !v.atLeast40():
		return []string{"x-cancel-on-ha-failover", "x-priority", "x-credit"}
	case kind == quorum && v.atLeast43():
		return []string{"x-priority", "x-consumer-timeout"}
	case kind != stream && v.atLeast40():
		return []string{"x-priority"}
	case kind == quorum:
		return []string{"x-priority", "x-credit"}
	case v.atLeast40():
		return []string{"x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"}
	default:
		return []string{"x-stream-offset", "x-credit"}
	}
}

// checkConsumerArguments refuses arguments that basic.consume knows and that
// are of a wrong type, or for another type of queue. Others are ignored.
// x-stream-offset is checked by attachStream.
func (q *queue) checkConsumerArguments(t wire.Table) *amqpError {
	v := q.version()
	known := consumerArguments(v, q.kind)
	for _, name := range []string{"x-priority", "x-cancel-on-ha-failover", "x-consumer-timeout"} {
		value, ok := t.Get(name)
		if !ok || !slices.Contains(known, name) {
			continue
		}
		if wrong := wrongConsumerArgument(name, value); wrong != "" {
			return softError(codePreconditionFailed, "invalid arg '%s' for %s: %s", name, q.resource(), wrong)
		}
	}
	if v, ok := t.Get("x-credit"); ok && slices.Contains(known, "x-credit") && q.kind != stream {
		if _, table := v.(wire.Table); !table {
			return crashError()
		}
	}
	for _, f := range t {
		if slices.Contains(known, f.Key) {
			continue
		}
		for _, kind := range []queueKind{classic, quorum, stream} {
			if slices.Contains(consumerArguments(v, kind), f.Key) {
				return softError(codePreconditionFailed, "invalid arg '%s' for %s of queue type %s",
					f.Key, q.resource(), queueModules[q.kind])
			}
		}
	}
	return nil
}

// queueModules are the names that RabbitMQ's texts give to types of queues.
var queueModules = map[queueKind]string{
	classic: "rabbit_classic_queue",
	quorum:  "rabbit_quorum_queue",
	stream:  "rabbit_stream_queue",
}

// wrongConsumerArgument is what RabbitMQ has against a value; "": nothing.
func wrongConsumerArgument(name string, value any) string {
	if name == "x-cancel-on-ha-failover" {
		if _, ok := value.(bool); !ok {
			return fmt.Sprintf("{unacceptable_type,%s}", fieldType(value))
		}
		return ""
	}
	n, ok := wire.Int(value)
	switch {
	case !ok:
		return fmt.Sprintf("%q", "expected integer, got "+fieldType(value))
	case n < 0 && name == "x-consumer-timeout":
		return fmt.Sprintf("{value_negative,%d}", n)
	}
	return ""
}
