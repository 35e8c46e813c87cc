package confirm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// HeaderLater is the one header of a message that waits for its time: a table
// of where it goes then and with what. Its name does not start with "hareline-",
// for retries and burials strip such headers from their copies.
const HeaderLater = "hareline.later"

const (
	// laterVersion is that of HeaderLater's table.
	laterVersion = 1
	// laterTolerance is how late a message may come because its last wait was
	// rounded up.
	laterTolerance = time.Second
	// maxLaterHeaders keeps the copies of retry and dlq clear of their own limit.
	maxLaterHeaders = 64 << 10
	// laterRoom is for what HeaderLater has beside the message's own headers:
	// short strings, mostly, of which five may be as long as AMQP allows.
	laterRoom = 2 << 10
)

var errNoLater = "Config.Later is not set: set it to the work queue (topology.WorkQueue) in which messages for later come out"

// PublishLater is Publish for a message that is to be published after delay: it
// waits until the broker has the message, not for the delay. The message lies
// on the delay ladder of Config.Later until its time, survives every restart
// there, and comes out in that queue, whose consumer's handler, Forward,
// publishes it to exchange and key.
//
// It is published never before its time, by the clock of whoever forwards it, and
// at most a second after, together with the time it waits for Forward; the time
// of a day when no consumer ran is made good as far as some of the delay is left.
// Delays over what the ladder reaches are waited out in parts. A delay of 0 or
// less publishes at once.
//
// Headers, priority, expiration (which starts at its time), CC and all other
// properties are those that it was given. user-id is, too: the consumer's link must
// then belong to that user. Messages with the same delay keep no order.
//
// Errors and OnOutcome name exchange and key, also where it is the ladder that
// does not take the message. What can be wrong with the message is refused now.
// Whether a queue is bound at its time nobody can tell before: then, Forward's
// outcome is an error, and retry's and dlq's middleware around Forward retry the
// message, or bury it with the reason.
func (p *Publisher) PublishLater(ctx context.Context, delay time.Duration, exchange, key string, msg amqp.Publishing) error {
	if delay <= 0 {
		return p.Publish(ctx, exchange, key, msg)
	}
	return p.await(ctx, p.enqueueLater(ctx, Message{Exchange: exchange, Key: key, Delay: delay, Publishing: msg}))
}

// enqueueLater is enqueue for a message that has a delay.
func (p *Publisher) enqueueLater(ctx context.Context, m Message) *Receipt {
	r := &Receipt{exchange: m.Exchange, key: m.Key, done: make(chan struct{}), began: p.now()}
	msg := m.Publishing
	if reason := p.own(verdict.WithAbout(ctx, verdict.About{Kind: verdict.Later, Delay: m.Delay}), r, &msg); reason != "" {
		return p.abort(r, r.refused(reason))
	}
	if p.cfg.Later == nil {
		return p.abort(r, r.refused(errNoLater))
	}
	lim := p.limits()
	lim.headers = min(lim.headers, maxLaterHeaders)
	if p.cfg.Tracer != nil {
		lim.headers += tracerRoom
	}
	msg, _, reason := prepare(m.Exchange, m.Key, msg, 0, lim)
	if reason != "" {
		return p.abort(r, r.refused(reason))
	}
	l := later{
		exchange: m.Exchange, key: m.Key, at: time.Now().Add(m.Delay),
		priority: msg.Priority, expiration: msg.Expiration, userID: msg.UserId, headers: msg.Headers,
	}
	lim.headers += laterRoom
	return p.park(ctx, r, l, msg, m.Delay, lim)
}

// park puts a message on the ladder for as much of wait as that takes at once.
func (p *Publisher) park(ctx context.Context, r *Receipt, l later, msg amqp.Publishing, wait time.Duration, lim limits) *Receipt {
	exchange, key, rest := part(p.cfg.Later, wait)
	return p.enqueueTo(ctx, r, address{exchange, key}, l.wait(msg, rest), lim)
}

// parkAgain puts a message that came out too early on the ladder again.
func (p *Publisher) parkAgain(ctx context.Context, l later, msg amqp.Publishing, wait time.Duration, lim limits) *Receipt {
	r := &Receipt{exchange: l.exchange, key: l.key, done: make(chan struct{}), began: p.now()}
	msg.Headers = l.headers
	if reason := p.own(verdict.WithAbout(ctx, verdict.About{Kind: verdict.Later, Delay: wait}), r, &msg); reason != "" {
		return p.abort(r, r.refused(reason))
	}
	l.headers = msg.Headers
	return p.park(ctx, r, l, msg, wait, lim)
}

// Forward is the handler of the queue of Config.Later: it publishes a message
// that has come out to where PublishLater sent it, or parks it for the rest of
// its time. Like Start it returns a *PendingError or a final error, never nil:
// package consumer acks the delivery when the message is confirmed. Unlike
// Start's, its ctx ends only the wait for a place in the window: consumer.Timeout
// ends the ctx of a handler that has returned, and so would make every message
// unknown, and published again. A delivery that PublishLater did not publish is
// an error with Malformed() bool. Whoever may write to that queue publishes with
// the rights of this link.
func (p *Publisher) Forward(ctx context.Context, d amqp.Delivery) error {
	l, err := readLater(d.Headers)
	if err != nil {
		return err
	}
	msg := amqp.Publishing{
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp,
		Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
	lim := limits{headers: maxCopyHeaders}
	// The clock makes good what was lost while nothing consumed; the rest bounds
	// the wait when this clock is behind that of the publisher.
	if left := min(l.rest, time.Until(l.at)); left > 0 {
		if p.cfg.Later == nil {
			return &RefusedError{Reason: errNoLater, Exchange: l.exchange, Key: l.key, MessageID: d.MessageId}
		}
		return started(p.parkAgain(ctx, l, msg, left, lim))
	}
	msg.Headers, msg.Priority, msg.Expiration, msg.UserId = l.headers, l.priority, l.expiration, l.userID
	return started(p.enqueue(ctx, l.exchange, l.key, msg, lim))
}

// part parks a message for as much of wait as the ladder takes at once, and
// says how much is left. The ladder rounds up, by an eighth at most: where that
// is too much, a ninth less is not rounded over it.
func part(ladder Parker, wait time.Duration) (exchange, key string, rest time.Duration) {
	exchange, key, actual := ladder.Park(wait)
	if actual-wait > laterTolerance {
		exchange, key, actual = ladder.Park(wait - wait/9)
	}
	return exchange, key, max(0, wait-actual)
}

// later is what a waiting message carries in HeaderLater.
type later struct {
	exchange, key string
	at            time.Time     // when it is to be published
	rest          time.Duration // what is left when it comes out
	priority      uint8
	expiration    string
	userID        string
	headers       amqp.Table
}

// wait gives the message that lies on the ladder: no expiration, which would
// end the wait; no priority, which would hold up others (R 4); no header that
// the ladder's exchanges would route by.
func (l later) wait(msg amqp.Publishing, rest time.Duration) amqp.Publishing {
	msg.Priority, msg.Expiration = 0, ""
	msg.Headers = amqp.Table{HeaderLater: amqp.Table{
		"version":    int64(laterVersion),
		"exchange":   l.exchange,
		"key":        l.key,
		"at":         l.at.Add(time.Millisecond - 1).UnixMilli(), // rounded up: never before its time
		"rest":       int64((rest + time.Millisecond - 1) / time.Millisecond),
		"priority":   int64(l.priority),
		"expiration": l.expiration,
		"user-id":    l.userID,
		"headers":    l.headers,
	}}
	return msg
}

// readLater reads what wait wrote. It is strict: this queue has no other writers.
func readLater(h amqp.Table) (later, error) {
	t, ok := h[HeaderLater].(amqp.Table)
	if !ok {
		return later{}, &notLaterError{fmt.Sprintf("header %s is %T, not a table", HeaderLater, h[HeaderLater])}
	}
	if v := t["version"]; v != int64(laterVersion) {
		return later{}, &notLaterError{fmt.Sprintf("version %v, this release knows %d", v, laterVersion)}
	}
	var l later
	at, errAt := field[int64](t, "at")
	rest, errRest := field[int64](t, "rest")
	priority, errPriority := field[int64](t, "priority")
	var errs [5]error
	l.exchange, errs[0] = field[string](t, "exchange")
	l.key, errs[1] = field[string](t, "key")
	l.expiration, errs[2] = field[string](t, "expiration")
	l.userID, errs[3] = field[string](t, "user-id")
	l.headers, errs[4] = field[amqp.Table](t, "headers")
	if err := errors.Join(append(errs[:], errAt, errRest, errPriority)...); err != nil {
		return later{}, &notLaterError{err.Error()}
	}
	if priority < 0 || priority > math.MaxUint8 || rest < 0 || rest > maxRest {
		return later{}, &notLaterError{fmt.Sprintf("priority %d or rest %d out of range", priority, rest)}
	}
	l.at, l.rest, l.priority = time.UnixMilli(at), time.Duration(rest)*time.Millisecond, uint8(priority)
	return l, nil
}

// maxRest is the longest time.Duration, in milliseconds.
const maxRest = math.MaxInt64 / int64(time.Millisecond)

func field[T any](t amqp.Table, name string) (T, error) {
	v, ok := t[name].(T)
	if !ok {
		return v, fmt.Errorf("%s is %T", name, t[name])
	}
	return v, nil
}

// notLaterError is a delivery that PublishLater did not publish.
type notLaterError struct{ problem string }

func (e *notLaterError) Error() string {
	return "confirm: no message of PublishLater: " + e.problem + "; publish to its queue by PublishLater alone"
}

// Malformed marks it for whoever classifies errors.
func (e *notLaterError) Malformed() bool { return true }
