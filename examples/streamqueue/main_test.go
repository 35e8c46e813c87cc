package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestStreamQueue(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	const all = "  event 0\n  event 1\n"
	const tail = "  event 2\n  event 3\n  event 4\n"
	if want := "what was written since the start:\n" + all + tail + "again, from the third:\n" + tail; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
