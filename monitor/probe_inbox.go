package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// inboxLength bounds the probe's own queue, should nobody consume it for a moment. It
// drops its head: a queue that refuses would hold up the ladder. inboxExpires, in
// milliseconds, ends one that never got its consumer: auto-delete does not.
const (
	inboxLength  = 100
	inboxExpires = 60_000
)

// What a probe does with its own queue. Where that alone is refused, the ladder may be well.
const consumesOwn, bindsOwn = "consume its queue", "bind its queue"

var (
	errNoInbox  = errors.New("no connection so far")
	errNoQueue  = errors.New("the probe's queue was deleted, or its channel is gone")
	errReturned = errors.New("the ladder's exchange has no queue for it, and no alternate exchange: declare the ladder again")
	errNacked   = errors.New("the level's queue did not take it (basic.nack)")
	errBlocked  = errors.New("an alarm of the broker blocks publishers")
)

// receive consumes the probe's queue until ctx ends, over every reconnect. It returns
// link.ErrClosed when the link is closed, else nil.
func (p *Probe) receive(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		s, queue, deliveries, err := p.subscribe(ctx)
		if err == nil {
			wait.Reset()
			p.opened(s, queue)
			err = p.consume(ctx, s, deliveries)
			closeSession(s)
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, link.ErrClosed) {
			return err
		}
		p.closed(err)
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil
}

// subscribe declares, binds and consumes a queue of the probe's own, on the consuming
// connection: exclusive, so that it goes with that, and auto-delete, so that it goes with
// the channel. Each has a name of its own: the one before may not be gone yet.
func (p *Probe) subscribe(ctx context.Context) (s *link.Session, queue string, deliveries <-chan amqp.Delivery, err error) {
	if s, err = p.link.Session(ctx, link.Consuming); err != nil {
		return nil, "", nil, err
	}
	bounded, cancel := p.bounded(ctx)
	defer cancel()
	queue = p.way.sink + "." + uuid.NewString()
	var got <-chan amqp.Delivery // a call that is given up may still write it
	err = s.Do(bounded, func(ch *amqp.Channel) error {
		const durable, autoDelete, exclusive, noWait, autoAck, noLocal = false, true, true, false, true, false
		args := amqp.Table{"x-queue-type": "classic", "x-max-length": inboxLength, "x-overflow": "drop-head", "x-expires": inboxExpires}
		if _, err := ch.QueueDeclare(queue, durable, autoDelete, exclusive, noWait, args); err != nil {
			return err
		}
		var err error // consumed first: where the binding is refused, the queue goes with its consumer
		if got, err = ch.Consume(queue, "", autoAck, exclusive, noLocal, noWait, nil); err != nil {
			return err
		}
		return ch.QueueBind(queue, p.way.pattern, p.way.due, noWait, nil)
	})
	if err != nil {
		err = reason(s, err)
		closeSession(s)
		return nil, "", nil, err
	}
	return s, queue, got, nil
}

func (p *Probe) consume(ctx context.Context, s *link.Session, deliveries <-chan amqp.Delivery) error {
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errors.Join(errNoQueue, s.Err())
			}
			p.arrived(d)
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Probe) opened(s *link.Session, queue string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox, p.queue, p.lost = s, queue, nil
	p.signal()
}

// closed notes that the queue is gone, or cannot be had. Whatever is on its way may come
// out with nobody there.
func (p *Probe) closed(err error) {
	now := time.Now()
	p.mu.Lock()
	defer p.unlock()
	p.course.interrupted()
	p.inbox, p.queue, p.lost = nil, "", err
	p.absent = now.Add(p.cfg.Every)
	p.failed(p.failure(reasonOf(err), consumesOwn, err), now)
	p.signal()
}

// bounded is a ctx for the broker's answers.
func (p *Probe) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.cfg.Limit)
}

// closeGrace bounds the end of a channel.
const closeGrace = 2 * time.Second

func closeSession(s *link.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = s.Close(ctx) // nothing on it can get lost
}

// reason is why a call failed: the client may answer "closed" where the broker told the
// session why.
func reason(s *link.Session, err error) error {
	if !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	select {
	case <-s.Done():
		return s.Err()
	case <-time.After(closeGrace):
		return err
	}
}

// reasonOf reads a failure.
func reasonOf(err error) ProbeReason {
	var (
		unavailable *link.UnavailableError
		missing     *topology.MissingError
		denied      *topology.PermissionError
		differs     *topology.MismatchError
		broker      *amqp.Error
	)
	switch {
	case errors.As(err, &unavailable):
		return ProbeDisconnected
	case errors.As(err, &missing):
		return ProbeMissing
	case errors.As(err, &denied), errors.As(err, &differs), errors.Is(err, errReturned), errors.Is(err, errNacked):
		return ProbeRefused
	case errors.Is(err, errBlocked):
		return ProbeBlocked
	case errors.Is(err, context.DeadlineExceeded):
		return ProbeUnanswered
	case errors.As(err, &broker) && broker.Server && broker.Code == amqp.NotFound:
		return ProbeMissing
	case errors.As(err, &broker) && broker.Server && broker.Code != amqp.ConnectionForced:
		return ProbeRefused
	}
	return ProbeDisconnected
}
