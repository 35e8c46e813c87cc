package bubble

import (
	"context"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// Consumer is a consumer in the background.
type Consumer struct {
	Stop   context.CancelFunc
	Result chan error // of consumer.Run
	Health chan consumer.Health
}

// Consume starts a consumer. It is stopped with the test.
func Consume(t TB, l *link.Link, cfg consumer.Config) *Consumer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Quiet
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Consumer{Stop: cancel, Result: make(chan error, 1), Health: make(chan consumer.Health, 10_000)}
	cfg.OnHealth = func(h consumer.Health) { c.Health <- h }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Result <- consumer.Run(ctx, l, cfg)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

// Wait waits for the end of consumer.Run.
func (c *Consumer) Wait(t TB) error {
	t.Helper()
	return Wait(t, c.Result, "the end of Run")
}

// Stopped stops the consumer, which must drain in good order.
func (c *Consumer) Stopped(t TB) {
	t.Helper()
	c.Stop()
	if err := c.Wait(t); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// Becomes waits until the consumer tells that state.
func (c *Consumer) Becomes(t TB, status consumer.Status) consumer.Health {
	t.Helper()
	for end := time.After(Patience); ; {
		select {
		case h := <-c.Health:
			if h.Status == status {
				return h
			}
		case <-end:
			t.Fatalf("the consumer was never %s", status)
		}
	}
}

// Told counts how often the consumer has told each state since the last call.
func (c *Consumer) Told() map[consumer.Status]int {
	synctest.Wait()
	count := map[consumer.Status]int{}
	for len(c.Health) > 0 {
		count[(<-c.Health).Status]++
	}
	return count
}
