package consumer

import (
	"fmt"
	"time"
)

// Status is what a consumer is doing.
type Status string

// The states of a consumer. All but Consuming and Stopped want attention when
// they last.
const (
	Consuming    Status = "consuming"
	Disconnected Status = "disconnected" // no session; resubscribing
	Paused       Status = "paused"       // no handler starts: copies cannot be stored, or a Control says so; Err tells
	HeldAside    Status = "held-aside"   // a message that can be neither copied nor dead-lettered safely stays unacked
	Panicking    Status = "panicking"    // three panics in a row outside Recover
	Stopped      Status = "stopped"
)

// Health is one change of a consumer's state.
type Health struct {
	Queue  string
	Status Status
	// Err is the cause, where there is one.
	Err error
	At  time.Time
}

// SubscribeError tells that the broker refuses the subscription.
type SubscribeError struct {
	Queue string
	Err   error
}

func (e *SubscribeError) Error() string {
	return fmt.Sprintf("consumer: subscribe to queue %q: %v: declare the queue, or mend the rights, before consuming", e.Queue, e.Err)
}

// Unwrap returns the cause, an *amqp.Error where the broker gave one.
func (e *SubscribeError) Unwrap() error { return e.Err }

// DrainError tells that handlers did not return although their ctx had ended. Their
// messages were given back and will be handled again.
type DrainError struct {
	Queue   string
	Running int
}

func (e *DrainError) Error() string {
	return fmt.Sprintf("consumer: queue %q: %d handlers still run after the drain's deadline: let them watch their ctx", e.Queue, e.Running)
}

// shutdown is the cause of the handlers' ctx at the drain's deadline.
type shutdown struct{}

func (shutdown) Error() string { return "consumer is shutting down" }

// Shutdown tells middleware that this end is no verdict on the message.
func (shutdown) Shutdown() bool { return true }
