package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestFailover(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, nil); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "publishing: disconnected") || strings.Count(got, "publishing: connected") != 2 || !strings.HasSuffix(got, "confirmed 100 of 100\n") {
		t.Error(got)
	}
}
