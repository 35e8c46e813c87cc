package confirm

import (
	"errors"
	"fmt"
)

// ErrClosed is the cause in an *UnsentError after Close.
var ErrClosed = errors.New("confirm: publisher closed by Close; open a new one")

// ErrPending is what Receipt.Outcome gives before Done is closed.
var ErrPending = errors.New("confirm: no outcome yet: wait for Done")

// ReturnedError tells that the broker found no queue for a mandatory message and gave it
// back (basic.return). Repeating does not help before the topology changes.
type ReturnedError struct {
	Code          uint16 // 312 NO_ROUTE
	Text          string
	Exchange, Key string
	MessageID     string
	// MaybeStored is true when the message had been sent before and that copy's
	// fate is unknown: it may have been stored then.
	MaybeStored bool

	via string // the ladder's exchange, for a message that was to wait
}

func (e *ReturnedError) Error() string {
	if e.via != "" {
		return fmt.Sprintf("confirm: %s, for later, returned by the ladder's exchange %q: %d %s: declare the topology of Config.Later first%s",
			target(e.Exchange, e.Key), e.via, e.Code, e.Text, maybe(e.MaybeStored))
	}
	return fmt.Sprintf("confirm: %s returned: %d %s: no queue is bound for it; declare the queue and its binding first%s",
		target(e.Exchange, e.Key), e.Code, e.Text, maybe(e.MaybeStored))
}

// Outcome is "returned".
func (e *ReturnedError) Outcome() string { return "returned" }

// PossiblyStored tells, without importing this package, whether the message
// may be in a queue all the same.
func (e *ReturnedError) PossiblyStored() bool { return e.MaybeStored }

// NackedError tells that a queue did not take the message (basic.nack), most often
// because it is full with overflow reject-publish. Other queues of the same
// routing may have it (H 3.1). Back off and repeat.
type NackedError struct {
	Exchange, Key string
	MessageID     string
	// MaybeStored is as in ReturnedError.
	MaybeStored bool

	via string // as in ReturnedError
}

func (e *NackedError) Error() string {
	if e.via != "" {
		return fmt.Sprintf("confirm: %s, for later, nacked at the ladder's exchange %q: a queue is full or unavailable; back off and publish again%s",
			target(e.Exchange, e.Key), e.via, maybe(e.MaybeStored))
	}
	return fmt.Sprintf("confirm: %s nacked: a queue is full or unavailable; back off and publish again%s",
		target(e.Exchange, e.Key), maybe(e.MaybeStored))
}

// Temporary is true: repeating later is the remedy.
func (e *NackedError) Temporary() bool { return true }

// Outcome is "nacked".
func (e *NackedError) Outcome() string { return "nacked" }

// PossiblyStored is MaybeStored.
func (e *NackedError) PossiblyStored() bool { return e.MaybeStored }

// RefusedError tells that this message can not be published as it is. Code 0 is a
// pre-flight refusal, nothing was sent; any other is the broker's reply code
// with which it closed the channel on this message, and on this one alone.
type RefusedError struct {
	Code          int
	Reason        string
	Exchange, Key string
	MessageID     string
	// MaybeStored is false for a pre-flight refusal. The broker refuses a
	// message that met an exception when it meets another one alone; its first
	// copy may have been stored before the exception that it met.
	MaybeStored bool
}

func (e *RefusedError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("confirm: %s refused before sending: %s", target(e.Exchange, e.Key), e.Reason)
	}
	return fmt.Sprintf("confirm: %s refused by the broker: %d %s%s", target(e.Exchange, e.Key), e.Code, e.Reason, maybe(e.MaybeStored))
}

// Refused gives code and reason, for callers that do not import this package.
func (e *RefusedError) Refused() (code int, reason string) { return e.Code, e.Reason }

// Outcome is "refused".
func (e *RefusedError) Outcome() string { return "refused" }

// PossiblyStored is MaybeStored.
func (e *RefusedError) PossiblyStored() bool { return e.MaybeStored }

// UnsentError tells that the message was never written. Repeating is safe.
type UnsentError struct {
	Exchange, Key string
	MessageID     string
	// Err is the cause: the ctx's, or ErrClosed.
	Err error
}

func (e *UnsentError) Error() string {
	return fmt.Sprintf("confirm: %s not sent: %v", target(e.Exchange, e.Key), e.Err)
}

// Unwrap returns the cause.
func (e *UnsentError) Unwrap() error { return e.Err }

// Temporary is true: nothing was stored, repeat.
func (e *UnsentError) Temporary() bool { return true }

// Outcome is "unsent".
func (e *UnsentError) Outcome() string { return "unsent" }

// PossiblyStored is false.
func (e *UnsentError) PossiblyStored() bool { return false }

// UnknownError tells that the message was written and no answer came. It may be stored.
// Repeat it with the same message-id: a duplicate is possible, a loss is not.
type UnknownError struct {
	Exchange, Key string
	MessageID     string
	// Err is the cause: the ctx's, ErrClosed, a timeout or the link's loss.
	Err error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("confirm: %s sent, outcome unknown: %v", target(e.Exchange, e.Key), e.Err)
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// Temporary is true: repeat, with the same message-id.
func (e *UnknownError) Temporary() bool { return true }

// Outcome is "unknown".
func (e *UnknownError) Outcome() string { return "unknown" }

// PossiblyStored is true.
func (e *UnknownError) PossiblyStored() bool { return true }

// PendingError is what Start returns for a message that is under way: not a
// failure, but not a confirm either. Done and Outcome come from the Receipt.
type PendingError struct{ *Receipt }

func (e *PendingError) Error() string {
	return fmt.Sprintf("confirm: %s under way: wait for Done, then look at Outcome", target(e.exchange, e.key))
}

var errKillsLinks = errors.New("the link was lost each time this message was sent, alone too: it may be what the broker or the client cannot take")

var errNoConfirm = errors.New("the broker did not answer within ConfirmTimeout")

func target(exchange, key string) string {
	return fmt.Sprintf("message to exchange %q with key %q", exchange, key)
}

func maybe(stored bool) string {
	if stored {
		return "; an earlier copy of it may have been stored"
	}
	return ""
}
