package dlq

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// source is one channel with its consumer.
type source struct {
	session    *link.Session
	deliveries <-chan amqp.Delivery
	kept       int
	unsure     []string // IDs of letters whose ack the broker may not have read yet
}

func (s *scan) open(ctx context.Context) (*source, error) {
	session, err := s.q.link.Session(ctx, link.Consuming)
	if err != nil {
		return nil, s.failure("open a channel", err)
	}
	src := &source{session: session}
	s.sources = append(s.sources, src)
	err = session.Do(ctx, func(ch *amqp.Channel) error {
		if err := ch.Qos(s.prefetch, 0, false); err != nil {
			return err
		}
		deliveries, err := ch.Consume(s.q.cfg.Queue, consumerTag, false, false, false, false, nil)
		src.deliveries = deliveries
		return err
	})
	if err != nil {
		return nil, s.failure("consume", err)
	}
	return src, nil
}

// ack removes a letter. It is only written: that the broker read it shows when it
// answers something later on the same channel.
func (s *scan) ack(t taken) error {
	if err := t.from.session.Channel().Ack(t.tag, false); err != nil {
		return err
	}
	t.from.unsure = append(t.from.unsure, t.letter.ID)
	return nil
}

// maxUnsure is how many acks may be written before the broker is asked for an
// answer.
const maxUnsure = 500

// sync makes sure that the broker has read the acks of a source, before there
// are too many of which that is not known.
func (s *scan) sync(ctx context.Context, src *source) error {
	if len(src.unsure) < maxUnsure {
		return nil
	}
	if err := s.ask(ctx, src); err != nil {
		return s.failure("have acks read", err)
	}
	src.unsure = src.unsure[:0]
	return nil
}

// acksRead reports whether the broker has read all acks of a source. That a
// channel could be closed does not tell: the client closes a dead one without
// an error, and may learn of the death only then.
func (s *scan) acksRead(ctx context.Context, src *source) bool {
	return len(src.unsure) == 0 || s.ask(ctx, src) == nil
}

// ask is a request that changes nothing.
func (s *scan) ask(ctx context.Context, src *source) error {
	return src.session.Do(ctx, func(ch *amqp.Channel) error { return ch.Qos(s.prefetch, 0, false) })
}

var errUnsure = errors.New("the connection ended before the broker answered: the letter may still be in the queue")

// disown takes back the letters that were acked into nowhere.
func (s *scan) disown(src *source) {
	for _, id := range src.unsure {
		if s.flight.window > 0 {
			s.report.Replayed--
		} else {
			s.report.Discarded--
		}
		s.report.fail(id, errUnsure, s.flight.window > 0)
	}
	src.unsure = nil
}

// gone is why the deliveries of a source ended.
func (src *source) gone() error {
	select {
	case <-src.session.Done(): // the client ends the deliveries a moment earlier
		return src.session.Err()
	case <-time.After(time.Second):
		return errors.New("the broker cancelled the consumer: the queue was deleted, or its leader moved")
	}
}
