package retry

import (
	"fmt"
	"time"
)

// Verdict is what an error means for the message that met it.
type Verdict uint8

// The verdicts. The zero value is what an error means that nobody classified.
const (
	VerdictUnexpected Verdict = iota // a bug or a surprise: buried at once
	VerdictMalformed                 // the message is broken: buried at once
	VerdictTransient                 // time may mend it: parked and tried again
	VerdictPermanent                 // the handler says no retry helps: buried at once
)

// String returns the verdict's word, as it stands in logs.
func (v Verdict) String() string {
	switch v {
	case VerdictUnexpected:
		return "unexpected"
	case VerdictMalformed:
		return "malformed"
	case VerdictTransient:
		return "transient"
	case VerdictPermanent:
		return "permanent"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Transient marks err: time may mend it, try again after the policy's delay.
// Nil stays nil. Where marks are nested, the outermost wins.
func Transient(err error) error { return marked(err, mark{verdict: VerdictTransient}) }

// After is [Transient] with a delay in place of the policy's, for instance from
// a Retry-After header. It counts as an attempt like any other. The delay is
// rounded up to the ladder's steps, a longer one than the ladder's is cut to it
// and logged. Nil stays nil.
func After(err error, d time.Duration) error {
	return marked(err, mark{verdict: VerdictTransient, delay: d, hasDelay: true})
}

// Permanent marks err: no retry helps, bury the message at once. Nil stays nil.
// backoff.Permanent of github.com/cenkalti/backoff/v4 means the same.
func Permanent(err error) error { return marked(err, mark{verdict: VerdictPermanent}) }

// mark is a verdict around an error. It adds nothing to the text.
type mark struct {
	err      error
	verdict  Verdict
	delay    time.Duration
	hasDelay bool
}

func marked(err error, m mark) error {
	if err == nil {
		return nil
	}
	m.err = err
	return &m
}

func (m *mark) Error() string { return m.err.Error() }

func (m *mark) Unwrap() error { return m.err }
