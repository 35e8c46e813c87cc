package bus

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/hareline/hareline/consumer"
)

// Versions are the versions of one event type: "order.created" is the first,
// "order.created.v2" the second, and so on. What is published in an older one comes
// to handlers in the newest, made by the steps in turn, and a handler knows one
// struct. See Config.Versions.
//
//	orders := bus.Versions{Type: "order.created", Steps: []bus.Step{
//		bus.Upcast(func(o OrderV1) (OrderV2, error) { return OrderV2{ID: o.ID, Currency: "EUR"}, nil }),
//	}}
//
// A version newer than the newest is a *VersionError.
type Versions struct {
	// Type is the type without its version.
	Type string
	// Steps make a version of the one before: the first makes 2 of 1.
	Steps []Step
}

// Step makes the payload of a version of that of the version before.
type Step struct {
	from, to reflect.Type
	convert  func(json.RawMessage) (json.RawMessage, error)
}

// Upcast makes a step of a function. It must be pure: it is called for each
// attempt. Its error fails the attempt and is classified like a handler's; a payload
// that does not decode into From is malformed.
func Upcast[From, To any](f func(From) (To, error)) Step {
	s := Step{from: reflect.TypeFor[From](), to: reflect.TypeFor[To]()}
	if f == nil {
		return s
	}
	s.convert = func(raw json.RawMessage) (json.RawMessage, error) {
		var from From
		if err := json.Unmarshal(raw, &from); err != nil {
			return nil, &consumer.MalformedError{Problem: fmt.Sprintf("the payload does not decode into %T", from), Err: err}
		}
		to, err := f(from)
		if err != nil {
			return nil, err
		}
		return json.Marshal(to)
	}
	return s
}

// Current is the newest version's type, which publishers write.
func (v Versions) Current() string { return v.typeOf(v.newest()) }

// Pattern matches all versions, and the types below them.
func (v Versions) Pattern() string { return v.Type + ".#" }

func (v Versions) newest() int { return len(v.Steps) + 1 }

func (v Versions) typeOf(n int) string {
	if n == 1 {
		return v.Type
	}
	return fmt.Sprintf("%s.v%d", v.Type, n)
}

// versionOf reads the version of a type; false when it is not this one's. ".v1"
// counts as the first, too.
func (v Versions) versionOf(kind string) (int, bool) {
	rest, ok := strings.CutPrefix(kind, v.Type)
	if !ok || rest == "" {
		return 1, ok
	}
	digits, ok := strings.CutPrefix(rest, ".v")
	if !ok || digits == "" || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil { // more than an int holds: newer than all
		n = math.MaxInt
	}
	return n, true
}

func (v Versions) validate() (problem, fix string) {
	words := strings.Split(v.Type, ".")
	if last := words[len(words)-1]; v.Type == "" || strings.ContainsAny(v.Type, "*#") {
		return fmt.Sprintf("have the Type %q", v.Type), `name the event type without its version, such as "order.created"`
	} else if n, ok := (Versions{Type: ""}).versionOf("." + last); ok && len(words) > 1 {
		return fmt.Sprintf("have the Type %q, with version %d in it", v.Type, n), fmt.Sprintf("write %q", strings.Join(words[:len(words)-1], "."))
	}
	for i, s := range v.Steps {
		if s.convert == nil {
			return fmt.Sprintf("of %q have an empty step to version %d", v.Type, i+2), "make it by bus.Upcast, of a function"
		}
		if i > 0 && v.Steps[i-1].to != s.from {
			return fmt.Sprintf("of %q do not fit: the step to version %d makes a %v, the one to version %d takes a %v", v.Type, i+1, v.Steps[i-1].to, i+2, s.from),
				"give the steps in the order of their versions, each taking what the one before makes"
		}
	}
	return "", ""
}

// upcast brings an event to the newest version of its type.
func (c Config) upcast(r Received) (Received, error) {
	for _, v := range c.Versions {
		n, ours := v.versionOf(r.Type)
		if !ours {
			continue
		}
		if n > v.newest() {
			return r, &VersionError{Type: r.Type, Newest: v.newest()}
		}
		for _, s := range v.Steps[n-1:] {
			if len(r.Payload) == 0 || !isJSON(r.ContentType) {
				return r, r.Decode(nil)
			}
			payload, err := s.convert(r.Payload)
			if err != nil {
				return r, fmt.Errorf("bus: event %q from version %d to %d: %w", v.Type, n, n+1, err)
			}
			r.Payload = payload
			n++
		}
		r.Type = v.Current()
		return r, nil
	}
	return r, nil
}

// VersionError is an event in a version that this program does not know: its
// publisher was updated first. It is transient, for during a rolling deploy the next
// attempt may meet a process that knows it. After the last attempt the event is
// buried, with the error class "unsupported version", and can be replayed when the
// program is updated. A rule in Config.Policy buries it at once.
type VersionError struct {
	Type   string // as published
	Newest int    // the newest version known here
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("bus: event %q is newer than version %d, the newest known here: update this program, then replay", e.Type, e.Newest)
}

// Temporary is true.
func (e *VersionError) Temporary() bool { return true }

// ErrorClass groups letters.
func (e *VersionError) ErrorClass() string { return "unsupported version" }
