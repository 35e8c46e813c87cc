package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

const (
	// missingLooks in a row make a consumer forgotten: one may meet a queue whose
	// leader moves, which counts no consumers for a moment.
	missingLooks = 2
	// maxReplaced bounds how often missingLooks doubles, where replacing does not help.
	maxReplaced = 6
	// lookTimeout bounds one look.
	lookTimeout = 10 * time.Second
	// statisticsDelay is how long the management API may not list a new consumer. It
	// gathers statistics every 5 s by default.
	statisticsDelay = 15 * time.Second
)

// look is what one look at the broker told.
type look struct {
	delivered bool // since the look before; the rest may not have been asked then
	asked     bool

	err       error // of the queue's count
	gone      bool  // there is no such queue
	consumers int
	empty     bool // nothing is ready in it either

	lists   bool // there is a list to ask
	listErr error
	listed  bool // this consumer
	young   bool // the consumer, so that the list may not have it yet
}

// sight is whether the broker knows the consumer.
type sight uint8

const (
	unclear sight = iota
	known
	missing
)

// presence is what the looks of one Run have told.
type presence struct {
	counted  bool // the queue's count, which of a stream is always 0, has been more
	listed   bool // the list has had this consumer
	missing  int  // looks in a row
	replaced int  // in a row
}

// sight judges one look.
func (p *presence) sight(l look) sight {
	switch {
	case l.delivered:
		return known
	case !l.asked:
		return unclear
	}
	count := p.ofCount(l)
	if l.gone || !l.lists {
		return count // known, as far as one can see: others may be counted
	}
	switch list := p.ofList(l); {
	case list == unclear && count == known:
		return unclear
	case list == unclear:
		return count
	case list == known && count == missing:
		return unclear // one of the two is out of date
	default:
		return list
	}
}

// ofCount is what the queue tells. A source that has never told of a consumer says
// nothing when it tells of none.
func (p *presence) ofCount(l look) sight {
	switch {
	case l.gone:
		return missing
	case l.err != nil:
		return unclear
	case l.consumers > 0:
		return known
	case p.counted && !l.empty:
		return missing
	}
	return unclear // a quorum queue whose leader does not answer within 250 ms counts as 0 and 0
}

// ofList is what the list tells.
func (p *presence) ofList(l look) sight {
	switch {
	case l.listErr != nil:
		return unclear
	case l.listed:
		return known
	case p.listed && !l.young:
		return missing
	}
	return unclear
}

// note takes in one look, and tells whether the session is to be replaced.
func (p *presence) note(l look) (s sight, replace bool) {
	s = p.sight(l)
	if l.asked {
		p.counted = p.counted || l.err == nil && l.consumers > 0
		p.listed = p.listed || l.listed
	}
	switch s {
	case unclear:
		p.missing = 0
	case known:
		p.missing, p.replaced = 0, 0
	case missing:
		if p.missing++; p.missing >= missingLooks<<p.replaced {
			p.missing, p.replaced = 0, min(p.replaced+1, maxReplaced)
			return s, true
		}
	}
	return s, false
}

// learned tells whether all sources have told of this consumer: where deliveries
// show that the broker knows it, there is nothing to ask then.
func (p *presence) learned(lists bool) bool { return p.counted && (p.listed || !lists) }

// learn asks once the session is new, so that a consumer that the broker forgets
// before the first look is not taken for one whose queue counts nobody.
func (w *watchdog) learn(ctx context.Context) {
	s := w.r.current.Load()
	w.turnTo(s)
	if s == nil || w.presence.counted {
		return
	}
	l := w.ask(ctx, s)
	if l.consumers > 0 && !isClosed(s.sub.stopping) {
		w.knownAt = time.Now()
		w.presence.counted = true
	}
}

// lookAtBroker finds out whether the broker knows the session's consumer.
func (w *watchdog) lookAtBroker(ctx context.Context, s *session, c census) {
	l := look{delivered: c.delivered > w.delivered}
	if !l.delivered || !w.presence.learned(w.cfg.Consumers != nil) {
		delivered := l.delivered
		l = w.ask(ctx, s)
		l.delivered = delivered
	}
	c, ok := w.count(ctx, s)
	if !ok {
		return // what was told is of another time
	}
	l.delivered = c.delivered > w.delivered // what came meanwhile counts, too
	w.delivered = c.delivered
	seen, replace := w.presence.note(l)
	switch {
	case seen == known:
		w.noteKnown()
	case replace:
		w.replace(s, l)
	}
}

func (w *watchdog) noteKnown() {
	now := time.Now()
	if w.forgotten {
		w.forgotten = false
		w.r.cfg.Logger.Info("the broker knows this consumer again", "after", now.Sub(w.knownAt))
		w.tell(WatchdogEvent{Finding: Forgotten, Over: true, For: now.Sub(w.knownAt)})
	}
	w.knownAt = now
}

// replace has the consumer subscribe anew, on a new channel.
func (w *watchdog) replace(s *session, l look) {
	w.forgotten = true
	since := time.Since(w.knownAt)
	w.r.cfg.Logger.Error("the broker does not know this consumer any more, though it told of no end; subscribing anew",
		"consumer_tag", s.tag, "known_before", since, "queue_exists", !l.gone, "consumers", l.consumers)
	w.tell(WatchdogEvent{Finding: Forgotten, For: since})
	s.sub.Replace()
}

// ask asks the queue for its consumers, and the list for this one.
func (w *watchdog) ask(ctx context.Context, s *session) look {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := look{asked: true, lists: w.cfg.Consumers != nil, young: time.Since(s.began) < statisticsDelay}
	l.consumers, l.empty, l.err = w.r.countConsumers(ctx)
	var refused *amqp.Error
	l.gone = errors.As(l.err, &refused) && refused.Server && refused.Code == amqp.NotFound
	if l.lists {
		var tags []string
		tags, l.listErr = w.cfg.Consumers(ctx, w.r.cfg.Queue)
		l.listed = l.listErr == nil && slices.Contains(tags, s.tag)
	}
	w.noteFailure(l)
	return l
}

// noteFailure logs what makes looks useless, once.
func (w *watchdog) noteFailure(l look) {
	err := l.listErr
	if !l.gone {
		err = errors.Join(l.err, l.listErr)
	}
	switch {
	case err == nil:
		w.failing = false
	case !w.failing:
		w.failing = true
		w.r.cfg.Logger.Warn("cannot find out whether the broker knows this consumer", "error", w.r.text(err))
	}
	if l.lists && l.listErr == nil && !l.listed && !l.young && !w.presence.listed && !w.unlisted {
		w.unlisted = true
		w.r.cfg.Logger.Warn("Watchdog.Consumers does not list this consumer: it will not be believed before it does")
	}
}

// countConsumers asks the queue itself, on a channel of its own: a passive declare of
// a queue that is not there closes the channel.
func (r *runner) countConsumers(ctx context.Context) (consumers int, empty bool, err error) {
	sess, err := r.link.Session(ctx, link.Consuming)
	if err != nil {
		return 0, false, err
	}
	var q amqp.Queue
	err = sess.Do(ctx, func(ch *amqp.Channel) (err error) {
		q, err = ch.QueueDeclarePassive(r.cfg.Queue, true, false, false, false, nil)
		return err
	})
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		return 0, false, err // Do closes the channel; the call may still write q
	}
	closeSession(sess)
	return q.Consumers, q.Messages == 0, err
}

// randomTag is like no other process's.
func randomTag(tag string) string { return tag + "-" + rand.Text()[:8] }
