package topologyfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a topology file.
type Problem struct {
	File string // as it was given to Read or Parse
	// Line and Column count from 1, Column in characters. Column is 0 where only the line
	// is known, Line where it concerns the whole file.
	Line, Column int
	Path         string // the field: queues[1].ttl; "" for the whole file
	What         string // what is wrong, and what would come of it
	Fix          string // what to change
}

// Error is the problem in one line, which begins like a compiler's, so that editors
// can jump to it.
func (p Problem) Error() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d", at, p.Line)
	}
	if p.Column > 0 {
		at = fmt.Sprintf("%s:%d", at, p.Column)
	}
	if p.Path != "" {
		at += ": " + p.Path
	}
	return fmt.Sprintf("%s: %s; fix: %s", at, p.What, p.Fix)
}

// Error is all that is wrong with a topology file. Each Problem is in its tree as an
// error.
type Error struct {
	File     string
	Problems []Problem // at least one, in the order of the file
	// Err is the *topology.ValidationError that the problems come from, or nil when the
	// file cannot be read as one.
	Err error
}

func newError(file string, problems []Problem, cause error) *Error {
	for i := range problems {
		problems[i].File = file
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{File: file, Problems: problems, Err: cause}
}

// Error lists all problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, fmt.Sprintf("topologyfile: %d problem(s) in %s", len(e.Problems), e.File))
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n  ")
}

// Unwrap gives each problem as an error, and Err.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		errs = append(errs, p)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
