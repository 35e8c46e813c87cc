package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, ""); err != nil {
		t.Fatalf("%v after\n%s", err, &out)
	}
	const want = `4 letters: dial tcp 10.0.0.7:443: connection refused
2 letters: invoice "invoice-2": net has a decimal comma
exported 6 letters
dry run: 2 selected, 0 would fail
mended and replayed 2
replayed 4, parked 2
0 letters left
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
