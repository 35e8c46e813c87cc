package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestBatch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`message 3: confirm: message to exchange "" with key "batch.nowhere" returned: 312 NO_ROUTE`,
		`message 7: confirm: message to exchange "" with key "batch.orders" refused before sending: headers.weight is a uint64`,
		"18 of 20 orders arrived",
		"the hook was told of 18 confirmed, and of ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
