package dlq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const consumerTag = "hareline.dlq"

// giveBack closes the channels in the order in which they took, and waits after
// each until its letters are in the queue: the broker answers the close before
// it has put them back, so that those of the next one could overtake them. Nack
// would be no better: 3.10 shuffles what one nack gives back.
//
// The last channel may have room, and would take what the others give back, so
// its consumer is cancelled first.
func (s *scan) giveBack(ctx context.Context) {
	ctx, cancel := graced(ctx, closeGrace)
	defer cancel()
	if n := len(s.sources); n > 0 {
		s.sources[n-1].cancel(ctx)
	}
	wait := true
	for _, src := range s.sources {
		if !s.acksRead(ctx, src) {
			s.disown(src)
		}
		alive := src.session.Err() == nil
		before, err := countOn(ctx, s.lock, s.q.cfg.Queue)
		_ = s.q.closeSession(ctx, src.session)
		src.drain(ctx)
		if wait = wait && alive && err == nil; wait {
			wait = s.returned(ctx, before+src.kept)
		}
	}
}

// Letters are back within milliseconds, unless somebody else consumes them.
const (
	returnPoll = 2 * time.Millisecond
	returnWait = 2 * time.Second
)

// returned waits until the queue has as many letters; false when it had not in
// time.
func (s *scan) returned(ctx context.Context, want int) bool {
	poll := time.NewTicker(returnPoll)
	defer poll.Stop()
	end := time.NewTimer(returnWait)
	defer end.Stop()
	for {
		n, err := countOn(ctx, s.lock, s.q.cfg.Queue)
		if err == nil && n >= want {
			return true
		}
		if err != nil {
			return false
		}
		select {
		case <-poll.C:
		case <-end.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// cancel ends the consumer, and counts the letters that nobody has taken from
// the client's buffer.
func (src *source) cancel(ctx context.Context) {
	err := src.session.Do(ctx, func(ch *amqp.Channel) error { return ch.Cancel(consumerTag, false) })
	if err != nil {
		return // the channel is dead or was never consuming; giveBack closes it all the same
	}
	src.kept += src.drain(ctx)
}

// drain empties the client's buffer of a consumer that has ended, for its
// goroutine waits until somebody does.
func (src *source) drain(ctx context.Context) int {
	if src.deliveries == nil {
		return 0
	}
	for n := 0; ; n++ {
		select {
		case _, ok := <-src.deliveries:
			if !ok {
				return n
			}
		case <-ctx.Done():
			return n
		}
	}
}
