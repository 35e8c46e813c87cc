package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestMonitor(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, "", ""); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`no-consumers raised (critical): queue "example.monitor" has 0 consumers, and needs 1`,
		`pending raised (warning): queue "example.monitor" has 30 messages, its limit is 20`,
		`GET /livez: 200 OK`,
		`GET /readyz: 503 Service Unavailable; consuming is unknown`,
		`no-consumers cleared: queue "example.monitor" has 1 consumers`,
		`pending cleared: queue "example.monitor" has 0 messages`,
		`dead-letters raised (warning): queue "example.monitor.dlq" holds 1 dead letters`,
		`GET /readyz: 200 OK`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
