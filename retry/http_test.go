package retry

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/story"
)

func TestFromHTTP(t *testing.T) {
	for status, want := range map[int]string{
		200: "nil", 204: "nil", 302: "nil", 304: "nil", 100: "nil",
		400: "permanent", 401: "permanent", 403: "permanent", 404: "permanent", 409: "permanent", 422: "permanent",
		408: "transient", 425: "transient", 429: "transient",
		500: "transient", 501: "permanent", 502: "transient", 503: "transient", 504: "transient", 505: "permanent", 520: "transient",
		0: "unexpected", 99: "unexpected", 600: "unexpected", -1: "unexpected",
	} {
		err := FromHTTP(status, http.Header{})
		got := "nil"
		if err != nil {
			got = Classify(err).String()
		}
		if got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
		var h *HTTPError
		if err != nil && (!errors.As(err, &h) || h.Status != status || story.Class(err) != fmt.Sprint("HTTP ", status)) {
			t.Errorf("%d: %#v, class %q", status, err, story.Class(err))
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC() // a whole second, in a bubble
		const none = -1
		for _, tc := range []struct {
			value, date string
			want        time.Duration
		}{
			{"120", "", 2 * time.Minute},
			{" 7 ", "", 7 * time.Second},
			{"0", "", 0},
			{"", "", none},
			{"-5", "", none},
			{"+5", "", none},
			{"1.5", "", none},
			{"soon", "", none},
			{"99999999999999999999999", "", math.MaxInt64 / time.Second * time.Second},
			{"9300000000", "", math.MaxInt64 / time.Second * time.Second},
			{now.Add(90 * time.Second).Format(http.TimeFormat), "", 90 * time.Second},
			{now.Add(90 * time.Second).Format("Monday, 02-Jan-06 15:04:05 GMT"), "", 90 * time.Second},
			{now.Add(90 * time.Second).Format(time.ANSIC), "", 90 * time.Second},
			{now.Add(-time.Hour).Format(http.TimeFormat), "", 0},
			// a server whose clock is an hour ahead
			{now.Add(time.Hour + time.Minute).Format(http.TimeFormat), now.Add(time.Hour).Format(http.TimeFormat), time.Minute},
			{now.Add(time.Minute).Format(http.TimeFormat), "nonsense", time.Minute},
		} {
			h := http.Header{}
			if tc.value != "" {
				h.Set("retry-after", tc.value)
			}
			h.Set("Date", tc.date)
			for _, status := range []int{429, 503, 413, 501} {
				err := FromHTTP(status, h)
				got, asked := delayOf(err)
				if !asked {
					got = none
				}
				if got != tc.want {
					t.Errorf("%d, Retry-After %q, Date %q: %v, want %v", status, tc.value, tc.date, got, tc.want)
				}
			}
		}
	})
}

func TestHTTPErrorText(t *testing.T) {
	if got := FromHTTP(404, nil).Error(); got != "HTTP status 404" {
		t.Error(got)
	}
	if got := FromHTTP(429, http.Header{"Retry-After": {"60"}}).Error(); got != "HTTP status 429, to be tried again after 1m0s" {
		t.Error(got)
	}
}

// What a server sends must not matter beyond the delay: no panic, none that is
// negative, and no other reading of a date than net/http's.
func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"120", "", "-1", "Mon, 23 Nov 2026 12:00:00 GMT", "Monday, 23-Nov-26 12:00:00 GMT", "Mon Nov 23 12:00:00 2026", "99999999999999999999", "1e9", "٣", "Mon, 23 Nov 2026 12:00:00 UTC"} {
		f.Add(v, "Mon, 23 Nov 2026 11:00:00 GMT")
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, v, date string) {
		d, ok := retryAfter(map[string][]string{"Retry-After": {v}, "Date": {date}}, now)
		if d < 0 || !ok && d != 0 {
			t.Fatalf("%v, %v", d, ok)
		}
		if _, err := http.ParseTime(strings.TrimSpace(v)); err == nil && !ok {
			t.Errorf("%q is a date to net/http", v)
		} else if err != nil && ok && strings.Trim(strings.TrimSpace(v), "0123456789") != "" {
			t.Errorf("%q is a date only here: %v", v, err)
		}
		if err := FromHTTP(503, map[string][]string{"Retry-After": {v}}); err == nil || Classify(err) != VerdictTransient {
			t.Errorf("%v", err)
		}
	})
}

// Other clients than net/http leave names as they came, or in lower case.
func TestFromHTTPWithNamesInLowerCase(t *testing.T) {
	date := now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	later := now.UTC().Add(time.Minute).Format("Mon, 02 Jan 2006 15:04:05 GMT")
	for _, h := range []map[string][]string{{"retry-after": {"60"}}, {"retry-after": {later}, "date": {date}}} {
		var answer *HTTPError
		if err := FromHTTP(429, h); !errors.As(err, &answer) || answer.RetryAfter != time.Minute {
			t.Errorf("%v: %v", h, err)
		}
	}
}
