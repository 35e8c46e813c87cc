package dlq

import (
	"fmt"
	"strings"
)

// maxListed bounds the lists in a Report: a million letters can fail for one
// reason.
const maxListed = 1000

// Report says what a replay or discard did. It is good also beside an error.
type Report struct {
	Total     int // letters in the queue at the start
	Seen      int // letters looked at
	Replayed  int // confirmed by the target queue, and surely removed here
	Discarded int // surely removed here
	Kept      int // seen and not selected
	Failed    int // selected, but still here, or not surely removed

	// Failures says why, for the first 1000 of the failed.
	Failures []Failure

	// Duplicates are the IDs of letters, at most 1000, of which a copy was or
	// may have been published though the letter is still here: its next replay
	// is a second copy, with the same replay-id.
	Duplicates []string
}

// Failure is a letter that was selected and not replayed.
type Failure struct {
	ID  string // of the letter
	Err error
}

func (r *Report) fail(id string, err error, duplicate bool) {
	r.Failed++
	if len(r.Failures) < maxListed {
		r.Failures = append(r.Failures, Failure{ID: id, Err: err})
	}
	if duplicate && len(r.Duplicates) < maxListed {
		r.Duplicates = append(r.Duplicates, id)
	}
}

// String is one line for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d letters seen, %d replayed, %d discarded, %d kept, %d failed", r.Seen, r.Total, r.Replayed, r.Discarded, r.Kept, r.Failed)
	if n := len(r.Duplicates); n > 0 {
		fmt.Fprintf(&b, ", %d possibly published twice", n)
	}
	return b.String()
}
