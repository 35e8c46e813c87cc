package monitor

import (
	"fmt"

	"github.com/hareline/hareline/internal/management"
)

// apiReadings tell of the API itself. Of an API that fails in one way it is not known
// whether it would fail in the others: so an outage that changes its face clears none of
// its alarms, and they need not see it RaiseAfter times each in a row.
func (l look) apiReadings(c Config) []reading {
	failed := l.failure()
	var all []reading
	for _, kind := range []Kind{APIUnavailable, APISlow, APIUnauthorised, APINonsense} {
		r := fact(false).of(subject{kind: kind}, "the management API answers", "")
		switch {
		case failed == nil:
		case kind != apiKind(failed.Kind):
			r.condition = unknown
		default:
			r = fact(true).of(subject{kind: kind}, fmt.Sprintf("the management API %s, so nothing is known of what it did not tell: %v", apiWords(kind), failed), "")
			if kind == APISlow {
				r.value, r.limit = l.took.Seconds(), c.Timeout.Seconds()
			}
		}
		all = append(all, r)
	}
	return all
}

func apiKind(k management.Kind) Kind {
	switch k {
	case management.Slow:
		return APISlow
	case management.Refused:
		return APIUnauthorised
	case management.Nonsense:
		return APINonsense
	}
	return APIUnavailable
}

func apiWords(k Kind) string {
	switch k {
	case APISlow:
		return "is slow"
	case APIUnauthorised:
		return "refuses this user"
	case APINonsense:
		return "answers nonsense"
	}
	return "cannot be used"
}

// isAPI tells the alarms that hide all others.
func isAPI(k Kind) bool {
	return k == APIUnavailable || k == APISlow || k == APIUnauthorised || k == APINonsense
}
