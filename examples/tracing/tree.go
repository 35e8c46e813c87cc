package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// tree prints the spans as the trees that their parents make of them, one after the
// other, each with its time since the first span and how long it took.
func tree(out io.Writer, spans []*tracepb.Span) {
	slices.SortStableFunc(spans, func(a, b *tracepb.Span) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	known := make(map[string]bool, len(spans))
	for _, s := range spans {
		known[string(s.SpanId)] = true
	}
	children := map[string][]*tracepb.Span{}
	for _, s := range spans {
		parent := string(s.ParentSpanId)
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	for _, root := range children[""] {
		fmt.Fprintf(out, "trace %x\n", root.TraceId)
		for _, l := range branch(nil, children, root, root.StartTimeUnixNano, 0) {
			fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%9s %9s  %-42s %s", l.at, l.took, l.name, l.remarks), " "))
		}
	}
}

type line struct{ at, took, name, remarks string }

// branch adds the lines of s and of all below it.
func branch(into []line, children map[string][]*tracepb.Span, s *tracepb.Span, start uint64, depth int) []line {
	into = append(into, line{
		at: milliseconds(s.StartTimeUnixNano - start), took: milliseconds(s.EndTimeUnixNano - s.StartTimeUnixNano),
		name: strings.Repeat("  ", depth) + s.Name, remarks: remarks(s),
	})
	for _, child := range children[string(s.SpanId)] {
		into = branch(into, children, child, start, depth+1)
	}
	return into
}

func milliseconds(nanoseconds uint64) string {
	return fmt.Sprintf("%.1f ms", float64(nanoseconds)/float64(time.Millisecond))
}

// shown are the attributes that a line has room for; some for one operation alone.
var shown = []struct{ key, text, operation string }{
	{"hareline.attempt", "attempt %s", ""},
	{"hareline.verdict", "%s", ""},
	{"hareline.outcome", "%s", ""},
	{"hareline.reason", "because %s", "bury"},
	{"hareline.replay.count", "replay %s", ""},
}

func remarks(s *tracepb.Span) string {
	values := make(map[string]string, len(s.Attributes))
	for _, a := range s.Attributes {
		switch {
		case a.Value.GetStringValue() != "":
			values[a.Key] = a.Value.GetStringValue()
		default:
			values[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	var all []string
	for _, a := range shown {
		if v := values[a.key]; v != "" && (a.operation == "" || a.operation == values["messaging.operation.name"]) {
			all = append(all, fmt.Sprintf(a.text, v))
		}
	}
	if s.Status != nil && s.Status.Message != "" {
		all = append(all, s.Status.Message)
	}
	return strings.Join(all, ", ")
}
