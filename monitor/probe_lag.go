package monitor

import (
	"fmt"
	"time"

	"github.com/hareline/hareline/topology"
)

// LadderLag is what a [Probe] knows of its ladder at one moment.
type LadderLag struct {
	Ladder topology.Ladder
	// Delay is what the probe waits on the ladder: ProbeConfig.Delay, rounded up.
	Delay time.Duration
	// Lag is how much later than due the last probe came back; while one is overdue, or
	// later already than the last one was, how late that one is so far. It counts from
	// the publish, so that it holds the broker's confirm, but no time under an alarm.
	Lag time.Duration
	// At is when the last probe came back; zero: none has.
	At time.Time
	// OverdueSince is when the oldest overdue probe should have come back; zero: none is
	// overdue. It stays until that one or a later one comes back.
	OverdueSince time.Time
	// Err is a *ProbeError for as long as nothing is measured, or a probe is overdue. While
	// it is not nil, Lag tells of the time until At alone, unless a probe is overdue.
	Err error
	// Since is when Err became what it is, or, with no Err, when it ended.
	Since time.Time
}

// Known tells whether Lag is that of now: a probe has come back and nothing has failed
// since, or one is overdue, and Lag grows.
func (l LadderLag) Known() bool { return !l.OverdueSince.IsZero() || l.Err == nil && !l.At.IsZero() }

// ProbeReason says why a probe measured nothing.
type ProbeReason string

// The reasons. Overdue alone says that the ladder stands; Missing, that it does not let
// messages through as it should.
const (
	ProbeOverdue      ProbeReason = "overdue"      // later than ProbeConfig.Limit
	ProbeMissing      ProbeReason = "missing"      // a level's queue is missing or down: nothing was sent
	ProbeRefused      ProbeReason = "refused"      // the broker returned or nacked the message, or refused its queue
	ProbeUnanswered   ProbeReason = "unanswered"   // no answer of the broker within the limit
	ProbeBlocked      ProbeReason = "blocked"      // an alarm blocks publishers
	ProbeDisconnected ProbeReason = "disconnected" // no connection, or it was lost under the probe
	ProbeStopped      ProbeReason = "stopped"      // Run does not run
)

// ProbeError tells why a probe measured nothing.
type ProbeError struct {
	Ladder topology.Ladder
	Delay  time.Duration
	Reason ProbeReason
	Doing  string
	Err    error
}

func (e *ProbeError) Error() string {
	return fmt.Sprintf("monitor: probe of the ladder of %s, delay %s: %s: %s: %v", e.Ladder.Due(), e.Delay, e.Doing, e.Reason, e.Err)
}

// Unwrap returns the cause, an *amqp.Error where the broker gave one.
func (e *ProbeError) Unwrap() error { return e.Err }
