package topology

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with a topology.
type Fault struct {
	Entity  string // what it is about: `queue "orders"`
	Problem string // what is wrong, and what would come of it
	Fix     string // what to change
}

// Error is the fault in one line.
func (f Fault) Error() string {
	return fmt.Sprintf("%s: %s; fix: %s", f.Entity, f.Problem, f.Fix)
}

// ValidationError is all that is wrong with a topology. Nothing was declared.
// Each Fault is in its tree as an error.
type ValidationError struct {
	Faults []Fault // at least one, in the order of the topology
}

// Error lists all faults, one a line.
func (e *ValidationError) Error() string {
	lines := make([]string, 0, len(e.Faults)+1)
	lines = append(lines, fmt.Sprintf("topology: %d fault(s), nothing was declared", len(e.Faults)))
	for _, f := range e.Faults {
		lines = append(lines, f.Error())
	}
	return strings.Join(lines, "\n  ")
}

// Unwrap gives each fault as an error.
func (e *ValidationError) Unwrap() []error {
	errs := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		errs[i] = f
	}
	return errs
}

// report collects faults.
type report struct {
	faults  []Fault
	ladders map[Ladder]Topology // of ladder
}

// ladder is what l is made of. It is asked for each of a ladder's names.
func (r *report) ladder(l Ladder) Topology {
	t, ok := r.ladders[l]
	if !ok {
		t = l.Topology()
		if r.ladders == nil {
			r.ladders = make(map[Ladder]Topology)
		}
		r.ladders[l] = t
	}
	return t
}

func (r *report) add(entity, problem, fix string) {
	r.faults = append(r.faults, Fault{entity, problem, fix})
}

func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return &ValidationError{Faults: r.faults}
}
