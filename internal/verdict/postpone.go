package verdict

import "time"

// Postponed is an error that says: nothing was done with this delivery yet, for
// a reason that is none of its own; hand it to the chain again after Postpone.
// It is not settled, and no attempt counts. To retry and dlq it looks like an
// [Again] error, which they hand on untouched.
type Postponed interface {
	Again
	Postpone() time.Duration
}

// AsPostponed finds a [Postponed] in err's chain, by the rule of [AsPending].
func AsPostponed(err error) (Postponed, bool) { return find[Postponed](err) }
