package bus

import (
	"context"

	"github.com/hareline/hareline/dlq"
)

// DeadLetters gives the dead-letter queue of a group, to look at, count or
// discard what lies in it. The group need not be subscribed here.
func (b *Bus) DeadLetters(group string) *dlq.Queue {
	return dlq.Open(b.link, dlq.QueueConfig{
		Queue: b.work(group).DeadLetterQueue, ConsumerTimeout: b.cfg.ConsumerTimeout, Logger: b.cfg.Logger,
	})
}

// Replay sends letters of the group back to its queue, those of cfg.Select or
// all: see dlq.Queue.Replay. Other groups do not get the events again.
func (b *Bus) Replay(ctx context.Context, group string, cfg dlq.ReplayConfig) (dlq.Report, error) {
	return b.DeadLetters(group).Replay(ctx, b.events, cfg)
}
