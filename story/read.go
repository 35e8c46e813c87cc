package story

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// MalformedError says that a header of the story cannot be what this project
// wrote: forged, or broken on its way. The message that carries it is malformed:
// its attempts cannot be counted, so it is buried before it is handled (H 4.4).
type MalformedError struct {
	Header  string
	Value   any
	Problem string
}

func (e *MalformedError) Error() string {
	value := fmt.Sprintf("%v", e.Value)
	if len(value) > 64 {
		value = value[:64] + "..."
	}
	return fmt.Sprintf("story: header %s (%T %q) %s: remove the header or give it what this release writes", e.Header, e.Value, value, e.Problem)
}

// Malformed is always true; classifiers look for it.
func (e *MalformedError) Malformed() bool { return true }

// Read reads the story from a message's headers, tolerantly: counts may be of
// any integer type or a decimal string, strings may be bytes, times may be RFC
// 3339 text, an AMQP timestamp or Unix milliseconds. Absent is zero.
//
// Nonsense (negative, huge, of the wrong type, written by a newer version) is a
// *MalformedError naming the first such header; the Story then holds what the
// other headers tell.
func Read(h amqp.Table) (Story, error) {
	r := reader{h: h}
	version := r.count(HeaderVersion)
	if r.err == nil && version > Version {
		r.fail(HeaderVersion, fmt.Sprintf("is of a newer version, this release knows up to %d", Version))
	}
	s := Story{
		RetryCount:     r.count(HeaderRetryCount),
		RetryMax:       r.count(HeaderRetryMax),
		FirstFailedAt:  r.time(HeaderFirstFailedAt),
		LastError:      r.text(HeaderLastError),
		ErrorClass:     r.text(HeaderErrorClass),
		OriginExchange: r.name(HeaderOriginExchange),
		OriginKey:      r.name(HeaderOriginKey),
		OriginQueue:    r.name(HeaderOriginQueue),
		OriginPriority: uint8(r.number(HeaderOriginPriority, math.MaxUint8)), //nolint:gosec // bounded by the limit
		OriginUserID:   r.name(HeaderOriginUserID),
		ExpiresAt:      r.time(HeaderExpiresAt),
		DeadReason:     r.text(HeaderDeadReason),
		DeadAt:         r.time(HeaderDeadAt),
		ReplayID:       r.text(HeaderReplayID),
		ReplayCount:    r.count(HeaderReplayCount),
		DroppedHeaders: r.list(HeaderDroppedHeaders),
	}
	if r.err != nil {
		return s, r.err
	}
	return s, nil
}

// reader keeps the first fault, so that Read stays one expression.
type reader struct {
	h   amqp.Table
	err *MalformedError
}

func (r *reader) fail(name, problem string) {
	if r.err == nil {
		r.err = &MalformedError{Header: name, Value: r.h[name], Problem: problem}
	}
}

func (r *reader) count(name string) int { return int(r.number(name, MaxCount)) }

func (r *reader) number(name string, limit int64) int64 {
	v, ok := r.h[name]
	if !ok {
		return 0
	}
	n, ok := integer(v)
	switch {
	case !ok:
		r.fail(name, "is not an integer")
	case n < 0:
		r.fail(name, "is negative")
	case n > limit:
		r.fail(name, fmt.Sprintf("is over %d", limit))
	default:
		return n
	}
	return 0
}

func (r *reader) text(name string) string {
	v, ok := r.h[name]
	if !ok {
		return ""
	}
	s, ok := str(v)
	if !ok {
		r.fail(name, "is not a string")
	}
	return s
}

// name is a text that has to fit an AMQP short string.
func (r *reader) name(name string) string {
	s := r.text(name)
	if len(s) > maxShort {
		r.fail(name, fmt.Sprintf("has %d bytes, AMQP allows %d", len(s), maxShort))
		return ""
	}
	return s
}

func (r *reader) time(name string) time.Time {
	v, ok := r.h[name]
	if !ok {
		return time.Time{}
	}
	t, ok := moment(v)
	if !ok {
		r.fail(name, "is not a time between 1970 and 9999: RFC 3339, AMQP timestamp or Unix milliseconds")
		return time.Time{}
	}
	return t
}

func (r *reader) list(name string) []string {
	v, ok := r.h[name]
	if !ok {
		return nil
	}
	items, ok := v.([]any)
	if !ok {
		r.fail(name, "is not an array of strings")
		return nil
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := str(item)
		if !ok {
			r.fail(name, "is not an array of strings")
			return nil
		}
		list = append(list, s)
	}
	return list
}

func str(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// integer reads every integer type that AMQP tables, other clients or a test
// put into a header.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	}
	s, ok := str(v)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}

// lastMoment is the first one that RFC 3339 cannot write.
var lastMoment = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

func moment(v any) (time.Time, bool) {
	t, ok := v.(time.Time)
	if s, text := str(v); text {
		parsed, err := time.Parse(time.RFC3339Nano, s)
		t, ok = parsed, err == nil
	}
	if !ok {
		ms, number := integer(v)
		t, ok = time.UnixMilli(ms), number
	}
	if !ok || t.Before(time.UnixMilli(0)) || !t.Before(lastMoment) {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// expiration reads the property of that name, a decimal number of milliseconds.
// The broker refuses anything else at publish (H 5.3), so what does not parse
// here counts as absent.
func expiration(s string) (time.Duration, bool) {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}
