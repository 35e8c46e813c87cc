package dlq_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/dlq"
)

// Each field of a filter decides alone, and all of them together.
func TestFilter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := dlq.Letter{
		ID: "abc", Queue: "orders", Reason: "exhausted", ErrorClass: "*net.OpError", LastError: "Dial tcp 10.0.0.1:5432: refused",
		DeadAt: now.Add(-2 * time.Hour),
		Delivery: amqp.Delivery{MessageId: "m1", Headers: amqp.Table{
			"tenant": "acme", "n": int64(7), "ok": true, "at": now, "bytes": []byte("b"), "list": []any{"x"}, "none": nil,
		}},
	}
	undated := l
	undated.DeadAt = time.Time{}
	head := func(name, value string) dlq.Filter { return dlq.Filter{Headers: map[string]string{name: value}} }
	for name, tc := range map[string]struct {
		f    dlq.Filter
		l    dlq.Letter
		want bool
	}{
		"zero":              {dlq.Filter{}, l, true},
		"letter id":         {dlq.Filter{IDs: []string{"x", "abc"}}, l, true},
		"message-id":        {dlq.Filter{IDs: []string{"m1"}}, l, true},
		"other id":          {dlq.Filter{IDs: []string{"m2"}}, l, false},
		"queue":             {dlq.Filter{Queue: "orders"}, l, true},
		"other queue":       {dlq.Filter{Queue: "order"}, l, false},
		"reason":            {dlq.Filter{Reason: "exhausted"}, l, true},
		"other reason":      {dlq.Filter{Reason: "expired"}, l, false},
		"class":             {dlq.Filter{Class: "*net.OpError"}, l, true},
		"other class":       {dlq.Filter{Class: "error"}, l, false},
		"fingerprint":       {dlq.Filter{Fingerprint: l.Fingerprint()}, l, true},
		"other fingerprint": {dlq.Filter{Fingerprint: "x"}, l, false},
		"text":              {dlq.Filter{Text: "dial TCP"}, l, true},
		"other text":        {dlq.Filter{Text: "reset"}, l, false},
		"header":            {head("tenant", "acme"), l, true},
		"header is there":   {head("list", ""), l, true},
		"nil header":        {head("none", ""), l, true},
		"no header":         {head("missing", ""), l, false},
		"other header":      {head("tenant", "acm"), l, false},
		"number":            {head("n", "7"), l, true},
		"boolean":           {head("ok", "true"), l, true},
		"time":              {head("at", "2026-11-23T12:00:00Z"), l, true},
		"bytes":             {head("bytes", "b"), l, true},
		"array":             {head("list", "[x]"), l, false},
		"older":             {dlq.Filter{OlderThan: time.Hour}, l, true},
		"not older":         {dlq.Filter{OlderThan: 3 * time.Hour}, l, false},
		"younger":           {dlq.Filter{YoungerThan: 3 * time.Hour}, l, true},
		"not younger":       {dlq.Filter{YoungerThan: time.Hour}, l, false},
		"older, undated":    {dlq.Filter{OlderThan: time.Hour}, undated, false},
		"younger, undated":  {dlq.Filter{YoungerThan: time.Hour}, undated, false},
		"all":               {dlq.Filter{IDs: []string{"m1"}, Class: "*net.OpError", Text: "refused", OlderThan: time.Hour}, l, true},
		"all but one":       {dlq.Filter{IDs: []string{"m1"}, Class: "*net.OpError", Text: "reset", OlderThan: time.Hour}, l, false},
	} {
		if got, at := tc.f.Match(tc.l, now), tc.f.At(now)(tc.l); got != tc.want || at != tc.want {
			t.Errorf("%s: Match %v, At %v, want %v", name, got, at, tc.want)
		}
	}
}
