package story

import (
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Limits of what is written, in bytes.
const (
	maxText  = 2 << 10 // a longer error belongs into a log: headers travel with every hop (H 10.4)
	maxClass = 256
	maxShort = 255
)

// timeLayout is RFC 3339 with milliseconds: an AMQP timestamp has whole seconds only.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// Table returns the headers of s.
func (s Story) Table() amqp.Table {
	h := make(amqp.Table, 16)
	s.put(h)
	return h
}

// Write replaces the story in h by s. Other headers stay.
func (s Story) Write(h amqp.Table) {
	Strip(h)
	s.put(h)
}

// Strip removes every header of this project from h: all names that start with
// [Prefix], those of later versions too.
func Strip(h amqp.Table) {
	for name := range h {
		if strings.HasPrefix(name, Prefix) {
			delete(h, name)
		}
	}
}

func (s Story) put(h amqp.Table) {
	h[HeaderVersion] = int64(Version)
	putCount(h, HeaderRetryCount, s.RetryCount)
	putCount(h, HeaderRetryMax, s.RetryMax)
	putTime(h, HeaderFirstFailedAt, s.FirstFailedAt)
	putText(h, HeaderLastError, s.LastError, maxText)
	putText(h, HeaderErrorClass, s.ErrorClass, maxClass)
	putName(h, HeaderOriginExchange, s.OriginExchange)
	putName(h, HeaderOriginKey, s.OriginKey)
	putName(h, HeaderOriginQueue, s.OriginQueue)
	putCount(h, HeaderOriginPriority, int(s.OriginPriority))
	putName(h, HeaderOriginUserID, s.OriginUserID)
	putTime(h, HeaderExpiresAt, s.ExpiresAt)
	putText(h, HeaderDeadReason, s.DeadReason, maxShort)
	putTime(h, HeaderDeadAt, s.DeadAt)
	putText(h, HeaderReplayID, s.ReplayID, maxShort)
	putCount(h, HeaderReplayCount, s.ReplayCount)
	if list := namesList(s.DroppedHeaders); len(list) > 0 {
		h[HeaderDroppedHeaders] = list
	}
}

// putCount never writes what Read would call malformed.
func putCount(h amqp.Table, name string, n int) {
	if n > 0 {
		h[name] = int64(min(n, MaxCount))
	}
}

func putTime(h amqp.Table, name string, t time.Time) {
	if t.IsZero() {
		return
	}
	if t.Before(time.UnixMilli(0)) {
		t = time.UnixMilli(0)
	}
	if !t.Before(lastMoment) {
		t = lastMoment.Add(-time.Second)
	}
	h[name] = t.UTC().Format(timeLayout)
}

func putText(h amqp.Table, name, text string, limit int) {
	if text = clean(text, limit); text != "" {
		h[name] = text
	}
}

// putName writes a name of the broker's as it is: cleaned, it would be another.
func putName(h amqp.Table, name, value string) {
	if value != "" && len(value) <= maxShort {
		h[name] = value
	}
}

// clean makes text fit for headers, logs and terminals that read them: valid
// UTF-8, no NUL, at most limit bytes, cut between characters and marked so.
func clean(text string, limit int) string {
	const mark = "..."
	// Look no further than needed: error texts of megabytes happen.
	long := len(text) > 4*limit
	if long {
		text = text[:4*limit]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	if len(text) <= limit && !long {
		return text
	}
	text = text[:min(len(text), limit-len(mark))]
	for len(text) > 0 && !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + mark
}

// maxNamed bounds the list of dropped headers: thousands of tiny headers would
// need as much room to be named as to be kept.
const maxNamed = 32

const andMore = "(and more)"

func namesList(names []string) []any {
	list := make([]any, 0, min(len(names), maxNamed+1))
	for _, name := range names {
		if name == andMore {
			continue
		}
		if len(list) == maxNamed {
			break
		}
		list = append(list, clean(name, maxShort))
	}
	if len(list) < len(names) {
		list = append(list, andMore)
	}
	return list
}
