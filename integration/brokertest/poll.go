package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"
)

const pollEvery = 50 * time.Millisecond

// Eventually calls cond every 50 ms until it returns nil, and fails the test with its last error when that has not
// happened within the time. cond runs in the test's goroutine. Use it for states of the broker that no event tells.
func Eventually(t testing.TB, within time.Duration, cond func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %v", within, err)
		case <-time.After(pollEvery):
		}
	}
}

// Depth is the number of messages ready in the queue, by a passive declare: exact, with no delay of statistics. Unacked
// messages are not counted.
func (b *Broker) Depth(t testing.TB, queue string) int {
	t.Helper()
	n, err := b.depth(queue)
	if err != nil {
		t.Fatalf("brokertest: depth of %q: %v", queue, err)
	}
	return n
}

// AwaitDepth waits until the queue has exactly that many ready messages. A queue that is not there yet counts as waiting.
func (b *Broker) AwaitDepth(t testing.TB, queue string, want int, within time.Duration) {
	t.Helper()
	Eventually(t, within, func() error {
		n, err := b.depth(queue)
		if err != nil {
			return fmt.Errorf("depth of %q: %w", queue, err)
		}
		if n != want {
			return fmt.Errorf("queue %q has %d messages ready, want %d", queue, n, want)
		}
		return nil
	})
}

// depth takes a connection of its own: a 404 closes the channel, and the broker may have been restarted meanwhile.
func (b *Broker) depth(queue string) (int, error) {
	conn, err := dial(b.URL, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(5 * time.Second)) }()
	ch, err := conn.Channel()
	if err != nil {
		return 0, err
	}
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return 0, err
	}
	return q.Messages, nil
}
