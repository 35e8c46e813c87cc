package confirm

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// lane is one session in confirm mode with the messages written on it.
type lane struct {
	sess    *link.Session
	ch      *amqp.Channel
	returns chan amqp.Return
	wake    chan struct{} // something was written
	retired chan struct{} // nothing more is to be written
	began   time.Time

	// Guarded by the publisher's mutex.
	flight     []*Receipt // in the order written
	lastAnswer time.Duration
	answered   []*Receipt // scratch of settle

	returned map[int64]amqp.Return // drained, their confirms not seen yet
}

// openLane opens a channel in confirm mode. NotifyReturn's buffer holds as
// many as can be unanswered, so that the client never waits to fill it (H 1.3).
func (p *Publisher) openLane(ctx context.Context, places int) (*lane, error) {
	sess, err := p.link.Session(ctx, link.Publishing)
	if err != nil {
		return nil, err
	}
	if err := sess.Do(ctx, func(ch *amqp.Channel) error { return ch.Confirm(false) }); err != nil {
		return nil, err
	}
	ln := &lane{
		sess: sess, ch: sess.Channel(), began: time.Now(),
		returns:  sess.Channel().NotifyReturn(make(chan amqp.Return, places+1)),
		returned: make(map[int64]amqp.Return),
		wake:     make(chan struct{}, 1),
		retired:  make(chan struct{}),
	}
	ln.lastAnswer = ln.clock()
	return ln, nil
}

// reopen is openLane until it works or ctx ends (nil).
func (p *Publisher) reopen(ctx context.Context, places int) *lane {
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	for {
		ln, err := p.openLane(ctx, places)
		switch {
		case err == nil:
			return ln
		case errors.Is(err, link.ErrClosed):
			p.abandon(err)
			return nil
		case ctx.Err() != nil:
			return nil
		}
		pause := wait.NextBackOff()
		p.cfg.Logger.Warn("cannot open a publishing channel; trying again", "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// clock runs while the connection is not blocked: time under an alarm is no
// silence of the broker.
func (ln *lane) clock() time.Duration { return time.Since(ln.began) - ln.sess.BlockedFor() }

func (ln *lane) signal() {
	select {
	case ln.wake <- struct{}{}:
	default:
	}
}

// alive waits until the lane may be written to; false when it has ended.
func (ln *lane) alive(ctx context.Context) bool {
	select {
	case <-ln.sess.Unblocked():
	case <-ln.sess.Done():
	case <-ln.retired:
	case <-ctx.Done():
	}
	select {
	case <-ln.sess.Done():
		return false
	case <-ln.retired:
		return false
	case <-ctx.Done():
		return false
	default:
		return true
	}
}

// writable is what alive waits for, without the wait.
func (ln *lane) writable() bool {
	select {
	case <-ln.sess.Unblocked():
	default:
		return false
	}
	return !isClosed(ln.retired) && !isClosed(ln.sess.Done())
}

// close ends the lane, once. It waits a little for the broker's answer; a
// broker that gives none is waited for in the link, and not written to.
func (ln *lane) close() {
	if isClosed(ln.retired) {
		return
	}
	close(ln.retired)
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = ln.sess.Close(ctx)
}

// drain takes the returns that have come. Whoever has seen a confirm must
// drain before deciding: the client puts a return into the channel before it
// resolves the confirm of the same message, and nothing else orders the two (H 1.2).
func (ln *lane) drain() {
	for {
		select {
		case ret, ok := <-ln.returns:
			if !ok {
				ln.returns = nil
				return
			}
			if id, ok := ret.Headers[HeaderPublishID].(int64); ok {
				ln.returned[id] = ret
			}
		default:
			return
		}
	}
}

// exception gives the broker's reason when it closed this channel, and nothing
// else, because of something written on it; nil when the connection went.
func (ln *lane) exception() *amqp.Error {
	var err *amqp.Error
	var closed *link.ClosedError
	if errors.As(ln.sess.Err(), &closed) && !closed.Connection && errors.As(closed, &err) && err.Server {
		return err
	}
	return nil
}
