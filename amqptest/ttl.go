package amqptest

import (
	"math"
	"strconv"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// expiresAt is when a message that arrives now will be too old for the queue:
// the smaller of its own time to live and the queue's. Zero: never.
func (q *queue) expiresAt(m *message, now time.Time) time.Time {
	ttl, has := q.opts.ttl, q.opts.hasTTL
	if m.props.Has(wire.FlagExpiration) {
		if own, ok := expiration(m.props.Expiration); ok && (!has || own < ttl) {
			ttl, has = own, true
		}
	}
	if !has {
		return time.Time{}
	}
	if ttl == 0 && q.kind == quorum {
		// Not RabbitMQ's "now or never" of classic queues: it lives for the
		// rest of the millisecond.
		ttl = time.Millisecond
	}
	return now.Add(ttl)
}

// expiration reads the property: milliseconds. ok is false if it says nothing,
// or a time that nobody lives to see. The channel has refused what is no number.
func expiration(s string) (ttl time.Duration, ok bool) {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// dropExpired takes out what is too old, as far as the queue looks: at its
// head only, and in 4.3's quorum queues, once that has expired, at the head of
// each priority.
func (q *queue) dropExpired() {
	head := q.ready.peek()
	if head == nil || head.expires.IsZero() {
		return
	}
	now := q.now()
	expired := func(e *entry) bool { return !e.expires.IsZero() && !now.Before(e.expires) }
	if q.quorum43() {
		if expired(head) {
			q.dropAllExpired(expired)
		}
		return
	}
	for e := head; e != nil && expired(e); e = q.ready.peek() {
		q.deadLetter(q.ready.take(), reasonExpired)
	}
}

func (q *queue) dropAllExpired(expired func(*entry) bool) {
	for _, e := range q.ready.takeExpired(expired) {
		q.deadLetter(e, reasonExpired)
	}
}

// watchTTL sees to it that expire is called when something falls due.
func (q *queue) watchTTL() {
	due := q.nextDue()
	if due.IsZero() {
		return
	}
	if q.ttl != nil {
		if !q.ttl.at.After(due) {
			return // early enough
		}
		q.ttl.stop()
	}
	q.ttl = q.broker().clock.at(due, q.expire)
}

// nextDue is when the first of what the queue looks at will be too old, or
// ready again; zero: never.
func (q *queue) nextDue() time.Time {
	var due time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if !q.quorum43() {
		if head := q.ready.peek(); head != nil {
			sooner(head.expires)
		}
		return due
	}
	q.ready.heads(func(e *entry) { sooner(e.expires) })
	if e := q.delayed.peek(); e != nil {
		sooner(e.ready)
	}
	return due
}

// expire is what the ttl timer does.
func (q *queue) expire() {
	q.ttl = nil
	if q.deleted {
		return
	}
	if q.quorum43() {
		q.endDelays()
		now := q.now()
		q.dropAllExpired(func(e *entry) bool { return !e.expires.IsZero() && !now.Before(e.expires) })
	}
	q.dropExpired()
	q.deliver()
}
