package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"connected to 127.0.0.1:", `got "for your eyes only"`, "or set Config.TLS.ServerName"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
