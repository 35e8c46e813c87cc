package monitor

import (
	"cmp"
	"time"
)

// Kind is what an [Alarm] is about.
type Kind string

// The kinds of alarms of a queue.
const (
	Pending            Kind = "pending"              // more than Queue.Pending messages
	NoConsumers        Kind = "no-consumers"         // fewer than Queue.MinConsumers
	BackingUp          Kind = "backing-up"           // published faster than Queue.BackingUp allows
	Unacked            Kind = "unacked"              // more than Queue.Unacked messages
	OldestMessage      Kind = "oldest-message"       // one waits longer than Queue.OldestMessage
	DeadLetters        Kind = "dead-letters"         // more than Queue.Letters
	DeadLettersGrowing Kind = "dead-letters-growing" // by more than Queue.Growth a round
	QuorumMembers      Kind = "quorum-members"       // a replica's node is down
	QuorumLost         Kind = "quorum-lost"          // no majority of the replicas is up: the queue stands
	QueueMissing       Kind = "queue-missing"        // the broker has no such queue
	NumbersMissing     Kind = "numbers-missing"      // the API tells no Messages or no Consumers, for 15 s and more
)

// The kinds of alarms of a delay ladder. QueueMissing, NumbersMissing, QuorumMembers and
// QuorumLost are told of its queues as well, once for all of them.
const (
	LadderMessages Kind = "ladder-messages" // more than Config.LadderMessages wait
	LadderStuck    Kind = "ladder-stuck"    // more than Config.LadderHeld cannot go on
	Unclaimed      Kind = "unclaimed"       // the queue of messages that came back to no queue is not empty
)

// The kinds of alarms of the broker and its API.
const (
	MemoryAlarm     Kind = "memory-alarm"     // the broker blocks its publishers
	DiskAlarm       Kind = "disk-alarm"       // the same
	ResourceAlarm   Kind = "resource-alarm"   // of another resource
	APIUnavailable  Kind = "api-unavailable"  // no answer, or an answer of 500 and above
	APISlow         Kind = "api-slow"         // no answer within Config.Timeout
	APIUnauthorised Kind = "api-unauthorised" // 401 or 403
	APINonsense     Kind = "api-nonsense"     // an answer that RabbitMQ does not give
)

// Severity is how much an [Alarm] matters.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"  // look at it today
	Critical Severity = "critical" // nothing moves, or nothing can be seen
)

// Severity is that of every alarm of this kind.
func (k Kind) Severity() Severity {
	switch k {
	case Pending, BackingUp, Unacked, OldestMessage, DeadLetters, QuorumMembers, NumbersMissing, LadderMessages, Unclaimed:
		return Warning
	}
	return Critical
}

// Alarm is one thing that is not as it should be, or that is so again.
type Alarm struct {
	Kind   Kind
	Queue  string // "" where the alarm is of no one queue
	Ladder string // of alarms of a ladder: what the names of its queues begin with
	// Severity follows from the kind.
	Severity Severity
	// Raised is false where the alarm was cleared.
	Raised bool
	// Since is when it was first seen in the rounds that raised it, At the round that this
	// alarm was told of, or, of one that stands, seen in last.
	Since, At time.Time
	// Value is what was measured, Limit the threshold, both in messages, consumers,
	// messages per second, seconds or nodes. Both are 0 where nothing is counted.
	Value, Limit float64
	// Text says it in one sentence, with names and numbers, and what to do.
	Text string
}

// subject is what tells alarms apart.
type subject struct {
	kind          Kind
	queue, ladder string
}

func (s subject) compare(other subject) int {
	return cmp.Or(cmp.Compare(s.queue, other.queue), cmp.Compare(s.ladder, other.ladder), cmp.Compare(s.kind, other.kind))
}
