package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("queues:\n  - name: q\n    tll: 5m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o          options
		want, fail string
	}{
		"declares":     {options{}, "declared\nshop.orders has \"one tent\" by shop.events order.placed\n", ""},
		"another file": {options{file: "topology.yaml"}, "declared\n", ""},
		"check":        {options{check: true}, "2 work queues", ""},
		"mermaid":      {options{mermaid: true}, "flowchart LR", ""},
		"dot":          {options{dot: true}, "digraph", ""},
		"bad":          {options{file: bad}, "", `bad.yaml:3:5: queues[0].tll: is no field of it, did you mean "ttl"?`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			var out bytes.Buffer
			err := run(ctx, c.o, &out)
			if (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
				t.Errorf("got %v, want %q", err, c.fail)
			}
			if !strings.HasPrefix(out.String(), c.want) {
				t.Errorf("printed %q, want %q", out.String(), c.want)
			}
		})
	}
}
