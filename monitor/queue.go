package monitor

import (
	"cmp"
	"time"

	"github.com/hareline/hareline/topology"
)

// The defaults of [Queue].
const (
	defaultPending       = 1000
	defaultMinConsumers  = 1
	defaultBackingUp     = 2.0
	defaultBacklog       = 10
	defaultUnacked       = 5000
	defaultOldestMessage = 10 * time.Minute
)

// Queue is one queue to watch, and the thresholds of its alarms. Each is the default where
// it is zero, and off where it is negative.
//
// Of a queue with DeadLetterQueue, Pending, MinConsumers, BackingUp, Unacked and
// OldestMessage are off unless they are positive. Of a stream, which keeps what was
// consumed, MinConsumers alone is looked at.
//
// Missing queues, withheld numbers and absent replicas are told of every queue.
type Queue struct {
	Name string
	// DeadLetterQueue tells that this queue should be empty, and has no consumer.
	DeadLetterQueue bool

	// Pending is how many messages may be in the queue: ready, unacked, and those that
	// at-least-once dead-lettering holds. Default 1000.
	Pending int
	// MinConsumers is how many consumers there must be. Default 1.
	MinConsumers int
	// BackingUp is how many times the rate of consuming the rate of publishing may be,
	// both over a round (see [QueueReport]). Default 2. It is told of while at least
	// Backlog messages are in the queue: below that a rate of publishing is noise. Where
	// the broker does not count (management.rates_mode none) no alarm comes of it; the
	// monitor logs a warning.
	BackingUp float64
	// Backlog belongs to BackingUp. Default 10; negative is none.
	Backlog int
	// Unacked is how many messages may be with consumers. Default 5000.
	Unacked int
	// OldestMessage is how long a message may wait. Default 10 min. RabbitMQ tells it of
	// classic queues alone, and only where publishers set the property timestamp, as
	// package confirm does; on others it is unknown, and no alarm comes of it.
	OldestMessage time.Duration

	// Letters is how many messages may be in a DeadLetterQueue. Default 0: the first one
	// is told of.
	Letters int
	// Growth is by how many messages a DeadLetterQueue may grow in a round. Default 0.
	Growth int
}

func (q Queue) withDefaults() Queue {
	if q.DeadLetterQueue {
		q.Pending = cmp.Or(q.Pending, -1)
		q.MinConsumers = cmp.Or(q.MinConsumers, -1)
		q.BackingUp = cmp.Or(q.BackingUp, -1)
		q.Unacked = cmp.Or(q.Unacked, -1)
		q.OldestMessage = cmp.Or(q.OldestMessage, -1)
	}
	q.Pending = cmp.Or(q.Pending, defaultPending)
	q.MinConsumers = cmp.Or(q.MinConsumers, defaultMinConsumers)
	q.BackingUp = cmp.Or(q.BackingUp, defaultBackingUp)
	q.Backlog = cmp.Or(q.Backlog, defaultBacklog)
	q.Unacked = cmp.Or(q.Unacked, defaultUnacked)
	q.OldestMessage = cmp.Or(q.OldestMessage, defaultOldestMessage)
	return q
}

// Watch is the work queues and their dead-letter queues, each once, with the default
// thresholds.
func Watch(works ...topology.Work) []Queue {
	var all []Queue
	seen := map[string]bool{}
	add := func(q Queue) {
		if q.Name != "" && !seen[q.Name] {
			seen[q.Name] = true
			all = append(all, q)
		}
	}
	for _, w := range works {
		add(Queue{Name: w.Queue})
		add(Queue{Name: w.DeadLetterQueue, DeadLetterQueue: true})
	}
	return all
}

// Ladders are the delay ladders of the work queues, each once.
func Ladders(works ...topology.Work) []topology.Ladder {
	var all []topology.Ladder
	seen := map[string]bool{}
	for _, w := range works {
		if due := w.Ladder.Due(); !seen[due] {
			seen[due] = true
			all = append(all, w.Ladder)
		}
	}
	return all
}
