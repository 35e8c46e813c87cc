package telemetry

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/settlement"
	"github.com/hareline/hareline/internal/verdict"
)

// Operation names, with which spans' names begin.
const (
	opSend    = "send"
	opCreate  = "create" // one message of a batch
	opReply   = "reply"  // to a queue of the caller's
	opLater   = "publish-later"
	opPark    = "park"
	opBury    = "bury"
	opReplay  = "replay"
	opMove    = "move"    // a letter, to another queue of letters
	opReceive = "receive" // a letter, for its replay
	opDelay   = "delay"
	opProcess = "process"
	opAck     = "ack"
	opNack    = "nack"
	opReject  = "reject"
	opLost    = "unsettled" // the session ended first
)

// operation names a publish by what it is for. A message to a queue by its name that
// answers another one and wants no answer itself is a reply.
func operation(a verdict.About, exchange string, msg *amqp.Publishing) string {
	switch a.Kind {
	case verdict.Parked:
		return opPark
	case verdict.Buried:
		return opBury
	case verdict.Replayed:
		return opReplay
	case verdict.Moved:
		return opMove
	case verdict.Later:
		return opLater
	case verdict.None:
	}
	if exchange == "" && msg.CorrelationId != "" && msg.ReplyTo == "" {
		return opReply
	}
	return opSend
}

// Outcomes of a publish.
const (
	outcomeConfirmed = "confirmed"
	outcomeReturned  = "returned"
	outcomeNacked    = "nacked"
	outcomeRefused   = "refused"
	outcomeUnsent    = "unsent"
	outcomeUnknown   = "unknown"
)

// outcomeOf names a publish's outcome. unsent: the broker never had the message.
func outcomeOf(err error) (outcome string, unsent bool) {
	if err == nil {
		return outcomeConfirmed, false
	}
	var named interface{ Outcome() string }
	if !errors.As(err, &named) {
		return outcomeUnknown, false
	}
	outcome = named.Outcome()
	var refused interface {
		Refused() (code int, reason string)
	}
	if outcome == outcomeRefused && errors.As(err, &refused) {
		code, _ := refused.Refused()
		return outcome, code == 0
	}
	return outcome, outcome == outcomeUnsent
}

// Verdicts on an attempt: what is done with the delivery when its handler chain has
// returned.
const (
	verdictHandled   = "handled"
	verdictForwarded = "forwarded"  // handled once what the handler published is confirmed
	verdictAnswered  = "answered"   // failed, and its caller is told
	verdictParked    = "parked"     // for another attempt after a delay
	verdictBuried    = "buried"     // a letter now
	verdictFailed    = "failed"     // kept, for another attempt here or burial
	verdictPostponed = "postponed"  // not handled yet
	verdictPaused    = "paused"     // its copy cannot be stored for now
	verdictRejected  = "rejected"   // its copy cannot be stored ever; the broker dead-letters it
	verdictHeldAside = "held-aside" // its copy cannot be stored ever; an operator is needed
	verdictGivenBack = "given-back" // to be delivered again
	verdictPanicked  = "panicked"   // outside of consumer.Recover; given back
)

// judged is what the end of a handler chain means.
type judged struct {
	verdict string
	about   verdict.About // of the copy
	err     error         // why the attempt failed; nil: it did not
}

// judge reads the error of a handler chain. ctx is the handlers'.
func judge(ctx context.Context, err error) judged {
	if err == nil {
		return judged{verdict: verdictHandled}
	}
	cause := verdict.Cause(err)
	if _, ok := verdict.AsPending(err); ok {
		return underWay(verdict.AboutErr(err), cause)
	}
	if verdict.IsShutdown(ctx) {
		return judged{verdict: verdictGivenBack} // that is no failure
	}
	if _, ok := verdict.AsPostponed(err); ok {
		return judged{verdict: verdictPostponed}
	}
	j := judged{verdict: verdictGivenBack, about: verdict.AboutErr(err), err: err}
	if cause != nil {
		j.err = cause
	}
	_, again := verdict.AsAgain(err)
	reject, hopeless := verdict.AsReject(err)
	switch {
	case again:
		j.verdict = verdictPaused
	case hopeless && reject.Reject():
		j.verdict = verdictRejected
	case hopeless:
		j.verdict = verdictHeldAside
	case settlement.IsKept(ctx):
		j.verdict = verdictFailed
	}
	return j
}

// underWay judges an attempt by the copy that it led to.
func underWay(a verdict.About, cause error) judged {
	j := judged{about: a, err: cause}
	switch {
	case a.Kind == verdict.Parked:
		j.verdict = verdictParked
	case a.Kind == verdict.Buried:
		j.verdict = verdictBuried
	case cause != nil:
		j.verdict = verdictAnswered
	default:
		j.verdict = verdictForwarded
	}
	return j
}
