package retry

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// FromHTTP is the error of a handler whose HTTP request was answered with that
// status and those headers; nil for 100 to 399:
//
//	if err := retry.FromHTTP(resp.StatusCode, resp.Header); err != nil {
//		return err
//	}
//
// The case of the headers' names does not matter. An answer with a valid
// Retry-After header is tried again after that time ([After]); the Date header,
// where there is one, is its clock. Without that header 408, 425, 429 and 5xx are transient, except 501 and 505, which are
// permanent, as all other 4xx are. It does not read the body. What a server asks
// for is not bounded here, but MaxElapsed ends a message that would have to wait
// for longer.
func FromHTTP(status int, header map[string][]string) error {
	if status >= 100 && status < 400 {
		return nil
	}
	e := &HTTPError{Status: status}
	if status < 100 || status > 599 {
		return e // no status at all: a mistake of the caller, to be buried
	}
	if d, ok := retryAfter(header, time.Now()); ok {
		e.RetryAfter = d
		return After(e, d)
	}
	switch status {
	case 408, 425, 429:
		return Transient(e)
	case 501, 505:
		return Permanent(e)
	}
	if status < 500 {
		return Permanent(e)
	}
	return Transient(e)
}

// HTTPError is an HTTP answer that says no. Find it by errors.As, for instance
// in a [Class].
type HTTPError struct {
	Status     int
	RetryAfter time.Duration // what the answer asked for; 0 where it did not, or asked for no delay
}

func (e *HTTPError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("HTTP status %d, to be tried again after %v", e.Status, e.RetryAfter)
	}
	return fmt.Sprintf("HTTP status %d", e.Status)
}

// ErrorClass groups letters by status.
func (e *HTTPError) ErrorClass() string { return "HTTP " + strconv.Itoa(e.Status) }

// retryAfter reads the header of that name: whole seconds, or a date. False:
// there is none, or it is nonsense.
func retryAfter(header map[string][]string, now time.Time) (time.Duration, bool) {
	v := value(header, "Retry-After")
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		const most = int64(math.MaxInt64 / time.Second)
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil { // so many digits
			n = most
		}
		return time.Duration(min(n, most)) * time.Second, true
	}
	at, ok := httpDate(v)
	if !ok {
		return 0, false
	}
	if sent, ok := httpDate(value(header, "Date")); ok {
		now = sent
	}
	return max(at.Sub(now), 0), true
}

func value(header map[string][]string, name string) string {
	if all := header[name]; len(all) > 0 { // as net/http writes it
		return strings.TrimSpace(all[0])
	}
	for other, all := range header {
		if len(all) > 0 && strings.EqualFold(other, name) {
			return strings.TrimSpace(all[0])
		}
	}
	return ""
}

// httpDate reads the three forms of a date that HTTP has, as http.ParseTime
// does. net/http is large, and a program that consumes may have no other use for
// it.
func httpDate(v string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
