package verdict

import (
	"context"
	"time"
)

// Kind is what a message is published for, beside what users publish.
type Kind uint8

// The kinds. What a user publishes has none.
const (
	None     Kind = iota
	Parked        // a copy on the delay ladder, for the next attempt
	Buried        // a letter
	Replayed      // a letter's copy, for a new life
	Moved         // a letter's copy that stays one, in another queue
	Later         // a message that waits for its time
)

// About says what a message is published for. It travels in the ctx of the
// publish, and with the error that stands for a copy: for traces and counts,
// nothing is decided by it.
type About struct {
	Kind  Kind
	Queue string // in which it failed; of a replay, to which it goes
	From  string // the dead-letter queue it is taken from
	Taken time.Time

	Attempt, Of int // the attempt that failed, and how many there are at most
	Delay       time.Duration
	Reason      string // why it is a letter
}

// HeaderParkedAt is when a copy was parked, in microseconds since 1970, for the trace
// of its delay. It begins as a story's headers do, so that the next copy has it not.
const HeaderParkedAt = "hareline-parked-at"

type aboutKey struct{}

// WithAbout returns ctx for a publish that a is about.
func WithAbout(ctx context.Context, a About) context.Context {
	return context.WithValue(ctx, aboutKey{}, a)
}

// AboutOf tells what a publish with ctx is about; the zero About for one of a user.
func AboutOf(ctx context.Context) About {
	a, _ := ctx.Value(aboutKey{}).(About)
	return a
}

// AboutErr tells what the copy is about that err stands for; the zero About
// where there is none.
func AboutErr(err error) About {
	a, ok := find[interface {
		error
		About() About
	}](err)
	if !ok {
		return About{}
	}
	return a.About()
}
