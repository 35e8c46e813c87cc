package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// One message, one tree: each line with its place in it, whatever the times.
func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, "", &out); err != nil {
		t.Fatalf("%v after\n%s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if !strings.HasPrefix(lines[0], "trace ") {
		t.Fatalf("no trace in\n%s", &out)
	}
	at := strings.Index(lines[1], "send ") // the root's column
	var got []string
	for _, line := range lines[1:] {
		got = append(got, strings.Join(strings.Fields(line[at:]), " "))
		depth := len(line[at:]) - len(strings.TrimLeft(line[at:], " "))
		got[len(got)-1] = strings.Repeat(" ", depth/2) + got[len(got)-1]
	}
	want := []string{
		"send tracing.orders confirmed",
		" process tracing.orders attempt 1, parked, the warehouse does not answer",
		"  park tracing.orders attempt 1, confirmed",
		"   delay tracing.orders",
		"  ack tracing.orders",
		"   process tracing.orders attempt 2, buried, the warehouse does not answer",
		"    bury tracing.orders.dlq attempt 2, confirmed, because exhausted",
		"    ack tracing.orders",
		"     receive tracing.orders.dlq",
		"      replay tracing.orders confirmed, replay 1",
		"       process tracing.orders attempt 1, handled, replay 1",
		"        ack tracing.orders",
	}
	slices.Sort(got) // spans of one parent may begin in the same millisecond
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nof\n%s", strings.Join(got, "\n"), &out)
	}
}
