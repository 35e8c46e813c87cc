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
	const want = `"Alien" costs 500 cents
"Heat" costs 400 cents
"" has no price: a film has a title (permanent)
"Satantango": no reply in time; perhaps it was handled
nobody responds to stock.of
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
