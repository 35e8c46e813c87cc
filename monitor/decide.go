package monitor

import (
	"maps"
	"slices"
	"time"
)

// policy is in how many rounds in a row something must be seen.
type policy struct{ raiseAfter, clearAfter int }

// state is what is known of one possible alarm after a round. The zero value is that of one
// that nothing is known of.
type state struct {
	alarm Alarm // as it stands, or as it would
	bad   int   // rounds in a row, leaving out those that did not see it
	well  int   // rounds in a row
}

// states are those of all possible alarms. They are values: next leaves its receiver as
// it was.
type states map[subject]state

// next takes the readings of a round, in any order, one a subject. It returns the states
// after it and what has to be told, in an order that depends on the subjects alone.
//
// An alarm is raised when it was seen raiseAfter times, with no round in between that saw
// the opposite or the band; and cleared after clearAfter rounds in a row that saw it well.
// Nothing is cleared while an alarm stands that says it cannot be seen well: what the API
// hides while it fails, what a queue or a ladder hides while it is missing, uncounted, or
// without its majority.
func (ss states) next(readings []reading, p policy, at time.Time) (states, []Alarm) {
	after := maps.Clone(ss)
	if after == nil {
		after = states{}
	}
	var told []Alarm
	take := func(which func(Kind) bool) {
		for _, r := range readings {
			if !which(r.kind) {
				continue
			}
			s, tell := after[r.subject].next(r, p, after.hides(r.subject), at)
			after[r.subject] = s
			if tell {
				told = append(told, s.alarm)
			}
		}
	}
	// What hides others is decided before them.
	take(isAPI)
	take(hidesQueue)
	take(func(k Kind) bool { return !isAPI(k) && !hidesQueue(k) })
	slices.SortFunc(told, func(a, b Alarm) int { return a.subject().compare(b.subject()) })
	return after, told
}

func (a Alarm) subject() subject { return subject{kind: a.Kind, queue: a.Queue, ladder: a.Ladder} }

// hidesQueue tells the alarms that hide the others of their queue.
func hidesQueue(k Kind) bool { return k == QueueMissing || k == NumbersMissing || k == QuorumLost }

// hides tells whether an alarm stands that hides the subject.
func (ss states) hides(s subject) bool {
	stands := func(k Kind, of subject) bool {
		of.kind = k
		return ss[of].alarm.Raised
	}
	if isAPI(s.kind) {
		return false
	}
	for _, k := range []Kind{APIUnavailable, APISlow, APIUnauthorised, APINonsense} {
		if stands(k, subject{}) {
			return true
		}
	}
	if s.queue == "" && s.ladder == "" || hidesQueue(s.kind) {
		return false
	}
	if s.ladder != "" { // those of its queues are told of as one
		s.queue = ""
	}
	return stands(QueueMissing, s) || stands(NumbersMissing, s) || stands(QuorumLost, s)
}

// next is the state after one reading, and whether that is to be told.
func (s state) next(r reading, p policy, hidden bool, at time.Time) (state, bool) {
	s.alarm.Kind, s.alarm.Queue, s.alarm.Ladder = r.kind, r.queue, r.ladder
	s.alarm.Severity = r.kind.Severity()
	if r.condition == unknown {
		s.well = 0
		return s, false
	}
	s.alarm.At, s.alarm.Value, s.alarm.Limit, s.alarm.Text = at, r.value, r.limit, r.text
	switch r.condition {
	case bad:
		if s.bad++; s.bad == 1 && !s.alarm.Raised {
			s.alarm.Since = at
		}
		s.well = 0
		if !s.alarm.Raised && s.bad >= p.raiseAfter {
			s.alarm.Raised = true
			return s, true
		}
	case well:
		s.well++
		s.bad = 0
		if s.alarm.Raised && s.well >= p.clearAfter && !hidden {
			s.alarm.Raised = false
			return s, true
		}
	default: // between
		s.bad, s.well = 0, 0
	}
	return s, false
}

// standing are the alarms that were raised and not cleared, in the order of next.
func (ss states) standing() []Alarm {
	var all []Alarm
	for _, s := range ss {
		if s.alarm.Raised {
			all = append(all, s.alarm)
		}
	}
	slices.SortFunc(all, func(a, b Alarm) int { return a.subject().compare(b.subject()) })
	return all
}
