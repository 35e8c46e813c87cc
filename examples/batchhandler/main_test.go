package main

import (
	"context"
	"testing"
	"time"
)

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, t.Output(), ""); err != nil {
		t.Fatal(err)
	}
}
