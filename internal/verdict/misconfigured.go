package verdict

import "context"

// Misconfigured is the result of a chain that cannot handle anything because
// it was put together wrongly. It is an [Again] that stays one, so that the
// consumer stops and says why, and nothing is buried for a mistake in the program.
func Misconfigured(err error) error { return &misconfigured{err} }

type misconfigured struct{ err error }

func (m *misconfigured) Error() string { return m.err.Error() }

func (m *misconfigured) Unwrap() error { return m.err }

func (m *misconfigured) Again(context.Context) error { return m }
