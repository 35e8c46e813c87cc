package story

import (
	"errors"
	"reflect"
	"syscall"
)

// Class names an error for grouping: the Go type of the deepest error in err's
// chain that says more than its text, for instance "*json.SyntaxError" or
// "*net.OpError". A recovered panic (an error with Panicked() bool) is "panic",
// an error made by errors.New or fmt.Errorf alone is "error", nil is "". An
// error anywhere in the chain may name its class itself by ErrorClass() string.
// In a join, the first error that has a class gives it.
func Class(err error) string {
	if err == nil {
		return ""
	}
	var (
		panicked interface{ Panicked() bool }
		named    interface{ ErrorClass() string }
	)
	if errors.As(err, &panicked) && panicked.Panicked() {
		return "panic"
	}
	if errors.As(err, &named) && named.ErrorClass() != "" {
		return named.ErrorClass()
	}
	if class := deepest(err); class != "" {
		return class
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return "syscall.Errno"
	}
	return "error"
}

// deepest returns "" when there is nothing but plain errors.
func deepest(err error) string {
	name := reflect.TypeOf(err).String()
	if name == "*net.OpError" { // below it: how this system spells a timeout or a refusal
		return name
	}
	for _, below := range unwrap(err) {
		if below == nil {
			continue
		}
		if class := deepest(below); class != "" {
			return class
		}
		if below.Error() == err.Error() {
			return "" // a wrapper that adds no word of its own is a mark, not a kind of failure
		}
	}
	if plain(err, name) {
		return ""
	}
	return name
}

func unwrap(err error) []error {
	switch e := err.(type) { //nolint:errorlint // this is the unwrapping
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

func plain(err error, name string) bool {
	if _, verdict := err.(interface{ DeadReason() string }); verdict {
		return true
	}
	switch name {
	case "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors",
		"*os.SyscallError", "syscall.Errno": // the error around these says what was tried
		return true
	}
	return false
}
