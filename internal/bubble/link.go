package bubble

import (
	"context"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
)

// Fill completes the configuration of a link to the broker.
func Fill(b *amqptest.Broker, cfg link.Config) link.Config {
	if cfg.URLs == nil {
		cfg.URLs = []string{b.PipeURL()}
	}
	if cfg.Dial == nil {
		cfg.Dial = b.Dial
	}
	if cfg.Logger == nil {
		cfg.Logger = Quiet
	}
	return cfg
}

// Open opens a link to the broker. It is closed with the test.
func Open(t TB, b *amqptest.Broker, cfg link.Config) *link.Link {
	t.Helper()
	l, err := link.Open(Soon(t), Fill(b, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("Link.Close: %v", err)
		}
	})
	return l
}

// Publisher opens a publisher. It is closed with the test, whatever it still holds.
func Publisher(t TB, l *link.Link, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Quiet
	}
	p, err := confirm.Open(Soon(t), l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}
