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
	const want = `film.seen.v2: Alien on unknown, source "", subject ""
film.seen.v2: Heat on tv, source "/films", subject "films/7"
film.seen.v2: Solaris on phone, source "/films", subject "films/8"
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
