package dlq

import (
	"errors"
	"fmt"
	"time"
)

// ErrStop ends a look without an error when the function given to [Queue.Look]
// returns it.
var ErrStop = errors.New("dlq: stop looking")

// LockedError says that somebody else is looking at the queue or replaying it.
// Two at once would each see a part of it. Try again when the other has ended; a
// lock ends with its owner's connection at the latest.
type LockedError struct {
	Queue string
	Lock  string // the exclusive queue that is the lock
	Err   error
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("dlq: queue %q is being looked at or replayed by somebody else (lock queue %q): try again later: %v", e.Queue, e.Lock, e.Err)
}

// Unwrap returns the broker's answer.
func (e *LockedError) Unwrap() error { return e.Err }

// UnsafeLookError says that the queue could drop letters because they are looked
// at: each look is a delivery that is given back, and a quorum queue drops a
// message after so many of them: after 20 by default on RabbitMQ 4, at the first
// look on 3.10 with a limit of -1. Nothing was looked at. Give the queue a huge
// x-delivery-limit, as topology.WorkQueue does (for an existing queue: by a
// policy, or by moving it), or set QueueConfig.Force.
type UnsafeLookError struct {
	Queue  string
	Reason string
	Err    error // why nothing could be found out; nil when it was
}

func (e *UnsafeLookError) Error() string {
	return fmt.Sprintf("dlq: looking at queue %q could drop letters: %s: declare it with a huge x-delivery-limit, or set QueueConfig.Force", e.Queue, e.Reason)
}

// Unwrap returns the broker's answer.
func (e *UnsafeLookError) Unwrap() error { return e.Err }

// QueueError is a failure to work on the queue: it does not exist, the rights
// are missing, the link is lost. Letters that were taken and not settled are
// back in the queue; after a lost link, perhaps in another order.
type QueueError struct {
	Queue string
	Doing string
	Err   error
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("dlq: queue %q: %s: %v", e.Queue, e.Doing, e.Err)
}

// Unwrap returns the cause.
func (e *QueueError) Unwrap() error { return e.Err }

// IncompleteError says that a look, replay or discard ended before it had seen
// all letters that were there at its start. What it did is done and in the
// report; the rest lies in the queue. Run it again, on fewer letters or with a
// longer QueueConfig.ConsumerTimeout.
type IncompleteError struct {
	Queue  string
	Seen   int
	Total  int
	After  time.Duration
	Reason string
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("dlq: queue %q: ended after %v with %d of %d letters seen: %s", e.Queue, e.After.Round(time.Millisecond), e.Seen, e.Total, e.Reason)
}

// JournalError says that the file of ReplayConfig.Journal could not be used: it
// cannot be written, or it is no journal, or that of another replay. Nothing more
// was published. Give another path, or delete the file: then letters that the
// earlier replay left in doubt are published again without being listed.
type JournalError struct {
	Path string
	Line int // where it makes no sense; 0: it is not about a line
	Err  error
}

func (e *JournalError) Error() string {
	where := e.Path
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.Path, e.Line)
	}
	return fmt.Sprintf("dlq: journal %s: %v: mend it, give another path, or delete it (what it knows is then published again)", where, e.Err)
}

// Unwrap returns the cause.
func (e *JournalError) Unwrap() error { return e.Err }
