package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestDelayed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	rest := out.String()
	for _, want := range []string{
		"reminder.now came by exchange delayed.events with priority 5 and expiration 60000 ms",
		"reminder.first came by exchange delayed.events with priority 5 and expiration 60000 ms",
		`nobody.cares was buried: confirm: message to exchange "delayed.events" with key "nobody.cares" returned: 312 NO_ROUTE`,
		"reminder.last came by exchange delayed.events with priority 5 and expiration 60000 ms",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("%q is not in its place in\n%s", want, out.String())
		}
		rest = after
	}
}
