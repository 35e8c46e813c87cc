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
	prefetch   int
	kept       int
	unsure     []acked // letters whose ack the broker may not have read yet
}

// acked is a letter of which an ack was written.
type acked struct {
	mark Duplicate
	key  string // in the journal
	done *int   // what of the report it counts in
}

func (s *scan) open(ctx context.Context) (*source, error) {
	session, err := s.q.link.Session(ctx, link.Consuming)
	if err != nil {
		return nil, s.failure("open a channel", err)
	}
	src := &source{session: session, prefetch: s.prefetch()}
	s.sources = append(s.sources, src)
	err = session.Do(ctx, func(ch *amqp.Channel) error {
		if err := ch.Qos(src.prefetch, 0, false); err != nil {
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

// Without a word of the user's, a channel holds as many letters as have about
// memory bytes, by those seen so far, at least minPrefetch, and so many that the
// channels do not run out: RabbitMQ allows a connection 2047.
const (
	memory      = 12 << 20
	overhead    = 2 << 10 // of a letter: its headers and the client's account of it
	minPrefetch = 32
	maxSources  = 1500
)

// prefetch of the next source.
func (s *scan) prefetch() int {
	if s.q.cfg.Prefetch > 0 {
		return s.q.cfg.Prefetch
	}
	n := minPrefetch // of the first one: nothing is known of the letters yet
	if s.got > 0 {
		n = int(memory / (overhead + s.bytes/int64(s.got)))
	}
	needed := (s.report.Total - s.got) / max(1, maxSources-len(s.sources))
	return min(max(n, minPrefetch, needed), maxPrefetch)
}

// ack removes a letter, which then counts in done. It is only written: that the
// broker read it shows when it answers something later on the same channel.
func (s *scan) ack(t taken, done *int) error {
	if err := t.from.session.Channel().Ack(t.tag, false); err != nil {
		return err
	}
	*done++
	t.from.unsure = append(t.from.unsure, acked{t.mark, t.key, done})
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
	s.settled(src)
	return nil
}

// settled: the broker has read the acks of a source.
func (s *scan) settled(src *source) {
	for _, a := range src.unsure {
		s.flight.journal.forget(a.key)
	}
	src.unsure = src.unsure[:0]
}

// acksRead reports whether the broker has read all acks of a source. That a
// channel could be closed does not tell: the client closes a dead one without
// an error, and may learn of the death only then.
func (s *scan) acksRead(ctx context.Context, src *source) bool {
	if len(src.unsure) > 0 && s.ask(ctx, src) != nil {
		return false
	}
	s.settled(src)
	return true
}

// ask is a request that changes nothing.
func (s *scan) ask(ctx context.Context, src *source) error {
	return src.session.Do(ctx, func(ch *amqp.Channel) error { return ch.Qos(src.prefetch, 0, false) })
}

var errUnsure = errors.New("the connection ended before the broker answered: the letter may still be in the queue")

// disown takes back the letters that were acked into nowhere.
func (s *scan) disown(src *source) {
	for _, a := range src.unsure {
		*a.done--
		s.report.fail(a.mark, errUnsure, s.flight.window > 0)
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
