package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestEachFailureMeetsItsPolicy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	const want = `deadlock: booked by call 3
limited: booked by call 2
maintenance: booked by call 4
invalid: buried after attempt 1, permanent: HTTP status 422
outage: exhausted: 4
outage: budget: 16
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
