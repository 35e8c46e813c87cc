package dlq

import (
	"fmt"
	"strings"
)

// Bounds of the lists in a Report: a million letters can fail for one reason.
const (
	maxFailures   = 1000
	maxDuplicates = 10_000
)

// Report says what a replay or discard did. It is good also beside an error.
type Report struct {
	Total     int // letters in the queue at the start
	Seen      int // letters looked at
	Selected  int // of these, by a replay
	Replayed  int // confirmed by the target queue, and surely removed here
	Parked    int // confirmed by the parking lot, and surely removed here
	Resumed   int // surely removed here without publishing: the journal has the confirm of an earlier replay
	Discarded int // surely removed here
	Kept      int // seen and not selected
	Failed    int // selected, but still here, or not surely removed

	// Failures says why, for the first 1000 of the failed.
	Failures []Failure

	// Duplicates are the letters, at most 10,000, of which there may be two copies,
	// with the same replay-id: those published now of which an earlier replay may
	// have published one, by the journal; and those still here of which one was or
	// may have been published, when they are replayed again.
	Duplicates []Duplicate
}

// Failure is a letter that was selected and not replayed.
type Failure struct {
	ID  string // of the letter
	Err error
}

// Duplicate is a letter of which there may be two copies.
type Duplicate struct {
	ID        string // of the letter
	MessageID string
	ReplayID  string // in the story of each copy; "" for a letter without a message-id
}

func (r *Report) fail(d Duplicate, err error, duplicate bool) {
	r.Failed++
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{ID: d.ID, Err: err})
	}
	if duplicate {
		r.doubt(d)
	}
}

func (r *Report) doubt(d Duplicate) {
	if len(r.Duplicates) < maxDuplicates {
		r.Duplicates = append(r.Duplicates, d)
	}
}

// String is one line for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d letters seen, %d replayed, %d discarded, %d kept, %d failed", r.Seen, r.Total, r.Replayed, r.Discarded, r.Kept, r.Failed)
	if r.Parked > 0 {
		fmt.Fprintf(&b, ", %d parked", r.Parked)
	}
	if r.Resumed > 0 {
		fmt.Fprintf(&b, ", %d removed that were replayed before", r.Resumed)
	}
	if n := len(r.Duplicates); n > 0 {
		fmt.Fprintf(&b, ", %d possibly published twice", n)
	}
	return b.String()
}
