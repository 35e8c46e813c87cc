package dlq

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/topology"
)

// death is one entry of the broker's x-death header.
type death struct {
	queue, reason string
	exchange, key string // how the message had come to the queue
	at            time.Time
}

// lastDeath finds the newest entry of x-death whose queue is not a ladder's:
// passing through the ladder is a death to the broker, but not to us. The
// entries stand newest first; x-first-death-queue would name a ladder level, and
// x-last-death-* is missing on 3.10 (R 13). The zero death: there is none.
func lastDeath(h amqp.Table) (death, []string) {
	v, ok := h["x-death"]
	if !ok {
		return death{}, nil
	}
	entries, ok := v.([]any)
	if !ok {
		return death{}, []string{fmt.Sprintf("header x-death is a %T, not an array", v)}
	}
	var problems []string
	for i, entry := range entries {
		table, ok := entry.(amqp.Table)
		if !ok {
			problems = append(problems, fmt.Sprintf("entry %d of header x-death is a %T, not a table", i, entry))
			continue
		}
		d := readDeath(table)
		switch {
		case d.queue == "":
			problems = append(problems, fmt.Sprintf("entry %d of header x-death names no queue", i))
		case !topology.IsLadderQueue(d.queue):
			return d, problems
		}
	}
	return death{}, problems
}

func readDeath(t amqp.Table) death {
	var d death
	d.queue, _ = t["queue"].(string)
	d.reason, _ = t["reason"].(string)
	d.exchange, _ = t["exchange"].(string)
	d.at, _ = t["time"].(time.Time)
	if keys, ok := t["routing-keys"].([]any); ok && len(keys) > 0 {
		d.key, _ = keys[0].(string)
	}
	if !d.at.IsZero() {
		d.at = d.at.UTC()
	}
	return d
}
