package dlq

import (
	"fmt"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Filter selects letters by what is known of them. Every field that is set must
// hold; the zero value selects all letters.
//
//	report, err := q.Replay(ctx, pub, dlq.ReplayConfig{
//		Select: dlq.Filter{Class: "*net.OpError", OlderThan: time.Hour}.At(time.Now()),
//	})
type Filter struct {
	IDs         []string // it is one of these letter IDs or message-ids
	Queue       string   // it failed in this queue
	Reason      string   // it has this Reason
	Class       string   // it has this ErrorClass
	Fingerprint string   // it has this fingerprint: it is of this [Group]
	Text        string   // LastError contains this, in upper or lower case

	// Headers are the message's, as text: the value that it must have, or "" for
	// any. Numbers, booleans and times (RFC 3339, UTC) match as they are written; a
	// table or an array matches only "".
	Headers map[string]string

	// OlderThan and YoungerThan compare the time since DeadAt. A letter of which
	// that is not known matches neither.
	OlderThan   time.Duration
	YoungerThan time.Duration
}

// At is the filter as of now, for [Queue.Replay], [Queue.Discard],
// [Queue.Groups] and [Queue.Export].
func (f Filter) At(now time.Time) func(Letter) bool {
	ids := make(map[string]bool, len(f.IDs))
	for _, id := range f.IDs {
		ids[id] = true
	}
	rest := f
	rest.IDs = nil
	return func(l Letter) bool {
		return (len(ids) == 0 || ids[l.ID] || ids[l.Delivery.MessageId]) && rest.Match(l, now)
	}
}

// Match reports whether the filter, as of now, selects l.
func (f Filter) Match(l Letter, now time.Time) bool {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, l.ID) && !slices.Contains(f.IDs, l.Delivery.MessageId),
		f.Queue != "" && f.Queue != l.Queue,
		f.Reason != "" && f.Reason != l.Reason,
		f.Class != "" && f.Class != l.ErrorClass,
		f.Text != "" && !strings.Contains(strings.ToLower(l.LastError), strings.ToLower(f.Text)),
		f.Fingerprint != "" && f.Fingerprint != l.Fingerprint():
		return false
	}
	return f.matchHeaders(l.Delivery.Headers) && f.matchAge(l.DeadAt, now)
}

func (f Filter) matchHeaders(h amqp.Table) bool {
	for name, want := range f.Headers {
		v, ok := h[name]
		if !ok || want != "" && headerText(v) != want {
			return false
		}
	}
	return true
}

func (f Filter) matchAge(died, now time.Time) bool {
	if f.OlderThan == 0 && f.YoungerThan == 0 {
		return true
	}
	age := now.Sub(died)
	return !died.IsZero() && (f.OlderThan == 0 || age > f.OlderThan) && (f.YoungerThan == 0 || age < f.YoungerThan)
}

func headerText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case nil, amqp.Table, []any:
		return ""
	}
	return fmt.Sprint(v)
}
