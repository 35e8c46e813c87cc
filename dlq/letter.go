package dlq

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// ReasonUnclaimed is the reason of a letter that came off a ladder and had no
// queue to go to. Other reasons are those of package story, and RabbitMQ's:
// "rejected", "expired", "maxlen", "delivery_limit". A letter with the last one
// may never have been handled: deliveries that a lost connection gave back
// unhandled count, too (R 6).
const ReasonUnclaimed = "unclaimed"

// Letter is a message in a dead-letter queue, with what is known of its past.
type Letter struct {
	// Delivery is the message as it lies in the queue. It cannot be settled:
	// its Acknowledger is nil.
	Delivery amqp.Delivery

	// ID is the same at every look, and another for every letter that has a
	// message-id. Equal messages without one that died in the same second
	// share it.
	ID string

	Story story.Story // what our own headers tell; zero for a foreign letter

	Queue      string    // the queue it failed in; "" when nothing tells
	Reason     string    // why it is here; "" when nothing tells
	ErrorClass string    // story.Class of the last error, for grouping
	LastError  string    // the last error's text
	Attempts   int       // how many attempts are known to have failed
	DeadAt     time.Time // when it died; the broker's own time has whole seconds

	// Problems says what in the headers made no sense. A letter is shown with
	// its problems rather than not at all.
	Problems []string

	exchange, key string // how it came to Queue, where the story does not tell
}

// Parse makes a Letter of a message in a dead-letter queue. It takes any
// message: what it cannot read stays zero and is named in Problems.
//
// The queue a letter failed in is the one that its story names if we buried it;
// else the newest entry of x-death that is no ladder's queue (R 13); else again
// the story's; else the one that a ladder's routing key names.
func Parse(d amqp.Delivery) Letter {
	d.Acknowledger = nil
	l := Letter{Delivery: d}
	var err error
	if l.Story, err = story.Read(d.Headers); err != nil {
		l.Problems = append(l.Problems, err.Error())
	}
	last, problems := lastDeath(d.Headers)
	l.Problems = append(l.Problems, problems...)

	s := l.Story
	l.LastError, l.ErrorClass, l.Attempts = s.LastError, s.ErrorClass, s.RetryCount
	target, onLadder := topology.TargetOf(d.RoutingKey)
	switch {
	case s.DeadReason != "" && s.OriginQueue != "": // we buried it; what the broker did came after
		l.Queue, l.Reason, l.DeadAt = s.OriginQueue, s.DeadReason, s.DeadAt
		l.Attempts++
	case last.queue != "":
		l.Queue, l.Reason, l.DeadAt = last.queue, last.reason, last.at
		l.exchange, l.key = last.exchange, last.key
	case s.OriginQueue != "":
		l.Queue = s.OriginQueue
	case onLadder:
		l.Queue = target
	}
	if l.Reason == "" && onLadder {
		l.Reason = ReasonUnclaimed
	}
	l.ID = identify(&l)
	return l
}

// identify hashes what no look changes: not the routing of the delivery, nor the
// broker's counters. With a message-id it is that and the death, without one the
// whole content.
func identify(l *Letter) string {
	d := &l.Delivery
	fields := []string{d.MessageId, l.Queue, l.Reason, instant(l.DeadAt), fmt.Sprint(l.Story.RetryCount, l.Story.ReplayCount)}
	if d.MessageId == "" {
		fields = append(fields, d.Type, d.CorrelationId, instant(d.Timestamp), l.exchange, l.key, string(d.Body))
	}
	return digest(fields...)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// digest is a short hash of the fields, each with its length, so that no two
// lists of fields run together.
func digest(fields ...string) string {
	h := sha256.New()
	for _, f := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
