package telemetry_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tree is the text of all spans, each below its parent, in the order in which they
// began: its number, name and kind, when it began and how long it took, what tells
// attempts apart, status, links, events.
func tree(spans tracetest.SpanStubs) string {
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.Name, b.Name), cmp.Compare(value(a, "messaging.message.id"), value(b, "messaging.message.id")))
	})
	there := map[trace.SpanID]bool{}
	for _, s := range spans {
		there[s.SpanContext.SpanID()] = true
	}
	below := map[trace.SpanID][]tracetest.SpanStub{}
	for _, s := range spans {
		parent := s.Parent.SpanID()
		if !there[parent] {
			parent = trace.SpanID{}
		}
		below[parent] = append(below[parent], s)
	}
	number := map[trace.SpanID]int{}
	var walk func(at trace.SpanID, indent string, visit func(s tracetest.SpanStub, indent string))
	walk = func(at trace.SpanID, indent string, visit func(s tracetest.SpanStub, indent string)) {
		for _, s := range below[at] {
			visit(s, indent)
			walk(s.SpanContext.SpanID(), indent+"  ", visit)
		}
	}
	walk(trace.SpanID{}, "", func(s tracetest.SpanStub, _ string) { number[s.SpanContext.SpanID()] = len(number) + 1 })
	var out strings.Builder
	walk(trace.SpanID{}, "", func(s tracetest.SpanStub, indent string) {
		fmt.Fprintf(&out, "%s%d %s\n", indent, number[s.SpanContext.SpanID()], line(s, spans[0].StartTime, number))
	})
	return out.String()
}

func line(s tracetest.SpanStub, began time.Time, number map[trace.SpanID]int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s [%s]", s.Name, s.SpanKind)
	fmt.Fprintf(&out, " +%v", s.StartTime.Sub(began).Round(100*time.Millisecond))
	if took := s.EndTime.Sub(s.StartTime).Round(100 * time.Millisecond); took != 0 {
		fmt.Fprintf(&out, " %v", took)
	}
	for _, a := range s.Attributes {
		name := string(a.Key)
		if strings.HasPrefix(name, "hareline.") && !strings.HasSuffix(name, ".id") || name == "messaging.destination.name" || name == "error.type" || name == "messaging.batch.message_count" {
			fmt.Fprintf(&out, " %s=%v", strings.TrimPrefix(strings.TrimPrefix(name, "hareline."), "messaging."), a.Value.AsInterface())
		}
	}
	if s.Status.Code != codes.Unset {
		fmt.Fprintf(&out, " %s: %s", s.Status.Code, s.Status.Description)
	}
	for _, l := range s.Links {
		fmt.Fprintf(&out, " ~> %d", number[l.SpanContext.SpanID()])
	}
	for _, e := range s.Events {
		fmt.Fprintf(&out, " !%s", e.Name)
	}
	return out.String()
}

// golden compares the tree with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// connected checks that all spans are of one trace, which has one root, or, by links,
// that each is reached from the first.
func connected(t *testing.T, spans tracetest.SpanStubs, byLinks bool) {
	t.Helper()
	known := map[trace.SpanID]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
	}
	roots := 0
	next := map[trace.SpanID][]trace.SpanID{}
	join := func(a, b trace.SpanID) { next[a], next[b] = append(next[a], b), append(next[b], a) }
	for _, s := range spans {
		id := s.SpanContext.SpanID()
		if s.Parent.IsValid() {
			if !known[s.Parent.SpanID()] {
				t.Errorf("%s has a parent that is not there", s.Name)
			}
			join(id, s.Parent.SpanID())
		} else {
			roots++
		}
		if byLinks {
			for _, l := range s.Links {
				join(id, l.SpanContext.SpanID())
			}
		} else if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			t.Errorf("%s is of another trace", s.Name)
		}
	}
	if !byLinks && roots != 1 {
		t.Errorf("%d roots", roots)
	}
	reached := map[trace.SpanID]bool{}
	var walk func(trace.SpanID)
	walk = func(id trace.SpanID) {
		if reached[id] {
			return
		}
		reached[id] = true
		for _, n := range next[id] {
			walk(n)
		}
	}
	walk(spans[0].SpanContext.SpanID())
	for _, s := range spans {
		if !reached[s.SpanContext.SpanID()] {
			t.Errorf("%s is not reached from the first publish", s.Name)
		}
	}
}

// value is an attribute of a span as text, "" for none.
func value(s tracetest.SpanStub, name string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == name {
			return fmt.Sprint(a.Value.AsInterface())
		}
	}
	return ""
}
