package story

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Version is what this release writes into [HeaderVersion].
const Version = 1

// Prefix starts the name of every header of this project.
const Prefix = "hareline-"

// The story's headers. Counts are int64, times are RFC 3339 in UTC with
// milliseconds, dropped-headers is an array of strings, the rest are strings.
const (
	HeaderVersion        = Prefix + "story"
	HeaderRetryCount     = Prefix + "retry-count"
	HeaderRetryMax       = Prefix + "retry-max"
	HeaderFirstFailedAt  = Prefix + "first-failed-at"
	HeaderLastError      = Prefix + "last-error"
	HeaderErrorClass     = Prefix + "error-class"
	HeaderOriginExchange = Prefix + "origin-exchange"
	HeaderOriginKey      = Prefix + "origin-key"
	HeaderOriginQueue    = Prefix + "origin-queue"
	HeaderOriginPriority = Prefix + "origin-priority"
	HeaderOriginUserID   = Prefix + "origin-user-id"
	HeaderExpiresAt      = Prefix + "expires-at"
	HeaderDeadReason     = Prefix + "dead-reason"
	HeaderDeadAt         = Prefix + "dead-at"
	HeaderReplayID       = Prefix + "replay-id"
	HeaderReplayCount    = Prefix + "replay-count"
	HeaderDroppedHeaders = Prefix + "dropped-headers"
)

// Reasons why a message was buried, as written into dead-reason.
const (
	ReasonMalformed  = "malformed"  // the message itself is broken
	ReasonPermanent  = "permanent"  // the handler said that no retry helps
	ReasonUnexpected = "unexpected" // a panic, or an error nobody classified
	ReasonExhausted  = "exhausted"  // the last attempt failed
	ReasonElapsed    = "elapsed"    // the time for retries is over
	ReasonExpired    = "expired"    // the message would be past its life before the next attempt
	ReasonBudget     = "budget"     // too large a share of the work was retries already
)

// MaxCount is the largest retry or replay count that is believed; a larger one
// is nonsense, and the message that carries it malformed.
const MaxCount = 1_000_000

// Story is what the headers tell. The zero value is a message to which nothing
// has happened; zero fields are not written.
type Story struct {
	RetryCount    int       // copies parked so far; 0 during the first attempt
	RetryMax      int       // the policy's limit when the last copy was parked
	FirstFailedAt time.Time // when the first attempt failed
	LastError     string    // at most 2 KiB of the last failure's text
	ErrorClass    string    // what [Class] says of the last failure

	// Where the message was first delivered. The story belongs to OriginQueue
	// alone: see [Story.For].
	OriginExchange string
	OriginKey      string
	OriginQueue    string
	OriginPriority uint8
	OriginUserID   string

	ExpiresAt time.Time // the end of its life, from the property expiration

	DeadReason string // why it was buried; one of the Reason constants, or the broker's word
	DeadAt     time.Time

	ReplayID    string // the same for every copy of one replay of one letter
	ReplayCount int

	DroppedHeaders []string // foreign headers that did not fit, see [Copy]
}

// Of is the story of a delivery from queue, ready for a copy: what d's headers
// tell of this queue, or else a new one that starts at d. now is the start of
// the life that d's property expiration gives. A letter that somebody moved back
// from a dead-letter queue by other means than a replay starts a new life.
//
// When d's headers are broken, Of returns a new story along with the
// *MalformedError, so that the delivery can be buried with a story all the same.
func Of(d amqp.Delivery, queue string, now time.Time) (Story, error) {
	read, err := Read(d.Headers)
	if err != nil {
		read = Story{}
	}
	s := read.For(queue)
	if s.DeadReason != "" {
		s = s.Alive()
	}
	if read.OriginQueue != queue {
		s.OriginExchange, s.OriginKey = d.Exchange, d.RoutingKey
		s.OriginPriority, s.OriginUserID = d.Priority, d.UserId
	}
	if life, ok := expiration(d.Expiration); ok && s.ExpiresAt.IsZero() {
		s.ExpiresAt = now.Add(life)
	}
	return s, err
}

// For returns s if it tells of queue, else a new story of queue. Headers that a
// handler forwarded to another queue tell of the queue they come from; nobody
// there has tried the message yet.
func (s Story) For(queue string) Story {
	if s.OriginQueue == queue {
		return s
	}
	return Story{OriginQueue: queue}
}

// Restore puts exchange, routing key and priority of the first delivery back
// into d, if the story tells of queue. A copy that comes back from the ladder
// has others, and a handler that switches on the routing key would not know the
// message again (R 13). It reports whether it did.
func (s Story) Restore(d *amqp.Delivery, queue string) bool {
	if queue == "" || s.OriginQueue != queue {
		return false
	}
	d.Exchange, d.RoutingKey, d.Priority = s.OriginExchange, s.OriginKey, s.OriginPriority
	return true
}

// Alive returns the story for a new life: attempts, death and expiry are
// forgotten, origin and replays are kept. For replays.
func (s Story) Alive() Story {
	return Story{
		OriginExchange: s.OriginExchange,
		OriginKey:      s.OriginKey,
		OriginQueue:    s.OriginQueue,
		OriginPriority: s.OriginPriority,
		OriginUserID:   s.OriginUserID,
		ReplayID:       s.ReplayID,
		ReplayCount:    s.ReplayCount,
		DroppedHeaders: s.DroppedHeaders,
	}
}
