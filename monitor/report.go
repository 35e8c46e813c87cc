package monitor

import (
	"slices"
	"strconv"
	"time"
)

// Number is a number that may be unknown. Its zero value is unknown, and not 0.
type Number struct {
	Value float64
	Known bool
}

func known(v float64) Number { return Number{Value: v, Known: true} }

// String is the number, or "unknown".
func (n Number) String() string {
	if !n.Known {
		return "unknown"
	}
	return figure(n.Value)
}

// MarshalJSON writes null where the number is unknown.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Known {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, n.Value, 'f', -1, 64), nil
}

// figure is v with at most two decimals.
func figure(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 2, 64), 64)
	if err != nil {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// Report is what one round saw.
type Report struct {
	At   time.Time // when the round began; zero: there was none
	Took time.Duration
	// Queues are those of Config, in their order.
	Queues []QueueReport
	// Ladders are those of Config, in their order.
	Ladders []LadderReport
	// NodeAlarms are the broker's own; unknown where NodeAlarmsErr is not nil.
	NodeAlarms    []NodeAlarm
	NodeAlarmsErr error
	// Err is the first error of the round, a *topology.ManagementError; nil: everything
	// was answered, also where a queue is missing.
	Err error
}

// QueueReport is one queue as the management API showed it. A queue that is missing, or
// could not be read, has no numbers.
type QueueReport struct {
	Queue           string
	DeadLetterQueue bool
	// Missing tells that the broker has no such queue in the virtual host.
	Missing bool
	// Err is why the queue could not be read, a *topology.ManagementError.
	Err error

	Type, State string // as RabbitMQ calls them

	// UncountedSince is the first of the rounds in a row in which the API told no
	// Messages or no Consumers of the queue; zero: it tells them.
	UncountedSince time.Time

	Messages Number // ready, unacked and held
	Ready    Number // for a consumer to take
	Unacked  Number // with consumers
	// Held are those that at-least-once dead-lettering keeps until its target took them.
	// Quorum queues alone.
	Held      Number
	Consumers Number
	// PublishRate is what clients publish into the queue, messages per second.
	// ConsumeRate is what they take out of it for good: acked, or delivered without the
	// need of an ack; a message that is delivered again and again does not count. What the
	// broker moves by itself, as dead-lettering does, is in neither.
	//
	// Both are a mean since the last round that read the queue and is 10 s ago or more.
	// They are unknown before there is one, for a round after counters were set back, as by
	// a restart of the broker, and where the broker does not count (management.rates_mode
	// none). RabbitMQ's own rates are not used: they can be absurd.
	PublishRate, ConsumeRate Number
	// Growth is by how many messages the queue grew since the same round.
	Growth Number
	// OldestMessage is the age in seconds of the message at the head of a classic queue, by
	// its property timestamp, which the publisher's clock set; 0 of a queue where none
	// waits. See Queue.OldestMessage.
	OldestMessage Number
	// Members are the replicas of a quorum queue or stream, Online those whose node is up.
	Members, Online Number
}

// LadderReport is one delay ladder. A sum is unknown where a part of it is.
type LadderReport struct {
	Ladder   string // what the names of its exchanges and queues begin with
	Messages Number // on all levels
	Held     Number // of those, what at-least-once dead-lettering holds
	// EnterRate is what clients publish onto the ladder, messages per second.
	EnterRate Number
	Unclaimed Number
	// Queues are the levels, from the lowest, and the last one is that of unclaimed messages.
	Queues []QueueReport
}

// NodeAlarm is an alarm of one node, which blocks the publishers of the whole cluster.
type NodeAlarm struct {
	Node     string
	Resource string // "memory", "disk"
}

// clone shares nothing with r that a user might change.
func (r Report) clone() Report {
	r.Queues, r.Ladders, r.NodeAlarms = slices.Clone(r.Queues), slices.Clone(r.Ladders), slices.Clone(r.NodeAlarms)
	for i := range r.Ladders {
		r.Ladders[i].Queues = slices.Clone(r.Ladders[i].Queues)
	}
	return r
}
