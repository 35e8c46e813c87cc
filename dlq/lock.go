package dlq

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

const lockPrefix = "hareline.lock."

// lockName fits the 255 bytes of a queue's name for any queue.
func lockName(queue string) string {
	if len(lockPrefix)+len(queue) <= 255 {
		return lockPrefix + queue
	}
	sum := sha256.Sum256([]byte(queue))
	return lockPrefix + "~" + hex.EncodeToString(sum[:])
}

// lock takes the queue's lock: an exclusive queue keeps other connections out
// (405), its exclusive consumer the rest of this one (403). It is held until the
// session ends; the queue is deleted with its consumer.
func (q *Queue) lock(ctx context.Context) (*link.Session, error) {
	name := lockName(q.cfg.Queue)
	s, err := q.link.Session(ctx, link.Consuming)
	if err != nil {
		return nil, &QueueError{Queue: q.cfg.Queue, Doing: "take the lock", Err: err}
	}
	err = s.Do(ctx, func(ch *amqp.Channel) error {
		const durable, autoDelete, exclusive, noWait, autoAck, noLocal = false, true, true, false, true, false
		if _, err := ch.QueueDeclare(name, durable, autoDelete, exclusive, noWait, nil); err != nil {
			return err
		}
		_, err := ch.Consume(name, "", autoAck, exclusive, noLocal, noWait, nil)
		return err
	})
	if err == nil {
		return s, nil
	}
	q.release(ctx, s)
	if held(err) {
		return nil, &LockedError{Queue: q.cfg.Queue, Lock: name, Err: err}
	}
	return nil, &QueueError{Queue: q.cfg.Queue, Doing: "take the lock (queue " + name + ")", Err: err}
}

// unlock gives the lock back. The queue is deleted by a request of its own: its
// end with its consumer comes a moment after the broker's answer to the close,
// and whoever came next would be refused.
func (q *Queue) unlock(ctx context.Context, s *link.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	err := s.Do(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(lockName(q.cfg.Queue), false, false, false)
		return err
	})
	if err != nil && s.Err() == nil {
		q.cfg.Logger.WarnContext(ctx, "dlq: the lock could not be given back; it ends with its channel",
			slog.String("queue", q.cfg.Queue), slog.Any("error", err))
	}
	_ = q.closeSession(ctx, s)
}

// held tells the broker's "somebody has it" from missing rights, which have the
// code 403 as well.
func held(err error) bool {
	var e *amqp.Error
	if !errors.As(err, &e) {
		return false
	}
	if e.Code == amqp.NotFound { // declared while its owner was just letting it go
		return true
	}
	return e.Code == amqp.ResourceLocked || e.Code == amqp.AccessRefused && strings.Contains(e.Reason, "exclusive use")
}
