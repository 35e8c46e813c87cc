package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out output
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	said := map[string][]string{}
	for line := range strings.Lines(out.b.String()) {
		customer, what, _ := strings.Cut(line, "/")
		number, verb, _ := strings.Cut(what, " ")
		verb, _, _ = strings.Cut(strings.TrimSpace(verb), " ")
		verb = strings.TrimSuffix(verb, ",")
		said[customer] = append(said[customer], number+" "+verb)
	}
	for customer, want := range map[string]string{
		"anna": "1 shipped, 2 failed, 2 failed, 2 shipped, 3 shipped, 4 shipped",
		"ben":  "1 shipped, 2 shipped",
		"carl": "1 can, 2 shipped",
		"dora": "1 shipped",
	} {
		if got := strings.Join(said[customer], ", "); got != want {
			t.Errorf("%s: %s, want %s", customer, got, want)
		}
	}
}
