package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestVerify(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, "", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"x-delivery-limit is 200, not 100",
		`queue "verify.orders": x-delivery-limit is 200, the topology wants 100; fix:`,
		`binding "verify.events" to queue "verify.orders" by key "order.*" is leftover`,
		`DELETE /api/bindings/%2F/e/verify.events/q/verify.orders/order.%252A`,
		`verify\.(audit|events|orders(\.dlq)?)`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
