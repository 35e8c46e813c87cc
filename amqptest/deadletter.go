package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// deadLetter is called for each entry that leaves the queue unacknowledged. It
// goes to the dead-letter exchange, if there is one, soon after; else it is
// gone. The entry is the queue's no more.
func (q *queue) deadLetter(e *entry, reason string) {
	switch {
	case !q.opts.hasDLX:
		q.drop(e.msg, reason)
	case q.opts.atLeastOnce && reason != reasonMaxLen:
		if q.dead == nil {
			q.dead = &deadLetterWorker{queue: q}
		}
		q.dead.take(e, reason)
	default:
		q.broker().later(func() { q.sendDeadLetter(e, reason) })
	}
}

// sendDeadLetter is dead-lettering at most once: what does not arrive is gone.
func (q *queue) sendDeadLetter(e *entry, reason string) {
	x := q.vhost.exchanges[q.opts.dlx]
	if x == nil {
		q.drop(e.msg, "unroutable")
		return
	}
	m, ok := q.deadMessage(e, reason)
	if !ok {
		q.drop(e.msg, reason)
		return
	}
	targets, cycle := q.deadLetterTargets(x, m, reason)
	var took []string
	for _, t := range targets {
		// 3.10 forgot streams where a sender keeps no state.
		if t.kind == stream && !q.version().atLeast40() {
			continue
		}
		if t.enqueueUntracked(m) {
			took = append(took, t.name)
		}
		if t.kind == classic {
			t.deliverScheduled() // before the next one comes
		}
	}
	if v := q.version(); !v.atLeast40() || v.atLeast43() { // 4.0 forgets them
		took = append(took, q.broker().answer(m)...)
	}
	switch {
	case len(took) > 0:
		q.traceDeadLetter(m, reason, took)
	case cycle && len(targets) == 0:
		q.drop(e.msg, "cycle")
	default:
		q.drop(e.msg, "unroutable")
	}
}

// deadLetterTargets are the queues that a dead letter is for. cycle says that
// there would be more, were it not for a cycle of deaths.
func (q *queue) deadLetterTargets(x *exchange, m *message, reason string) (targets []*queue, cycle bool) {
	for _, t := range q.vhost.route(x, m) {
		if reason != reasonRejected && q.cycles(m, t.name) {
			cycle = true
			continue
		}
		targets = append(targets, t)
	}
	return targets, cycle
}

func (q *queue) cycles(m *message, target string) bool {
	if q.version().atLeast40() {
		return isDeathCycle(m.deaths, target)
	}
	return isHeaderCycle(m.props.Headers, target)
}

// deadMessage is what becomes of an entry that dies now. ok is false if its
// headers make that impossible (3.10).
func (q *queue) deadMessage(e *entry, reason string) (_ *message, ok bool) {
	old := e.msg
	m := &message{exchange: q.opts.dlx, key: old.key, extra: old.extra, props: old.props, body: old.body, deliveries: e.deliveries}
	if q.opts.hasDLK {
		m.key, m.extra = q.opts.dlk, nil
	}
	d := death{queue: q.name, reason: reason, exchange: old.exchange, count: 1, first: q.now()}
	if old.props.Has(wire.FlagExpiration) {
		d.expiration = old.props.Expiration
	}
	m.meta = old.metaSize() // with the expiration, too
	m.props.Clear(wire.FlagExpiration)
	m.props.Expiration = ""
	if q.version().atLeast40() {
		q.bury(m, old, d)
		m.header = wire.AppendProperties(nil, &m.props)
		return m, true
	}
	m.deliveries = 0
	d.keys = append([]string{old.key}, headerKeys(old.props.Headers, "CC")...)
	headers, ok := headerDeath(old.props.Headers, d)
	if q.opts.hasDLK {
		headers = headers.Without("CC")
	}
	m.props.SetHeaders(headers)
	m.header = wire.AppendProperties(nil, &m.props)
	return m, ok
}

// bury writes the death into m as 4.0 and later do.
func (q *queue) bury(m, old *message, d death) {
	d.expiration = milliseconds(d.expiration)
	m.bcc = old.bcc
	if cc := headerKeys(old.props.Headers, "CC"); m.bcc == nil && len(old.deaths) == 0 && len(old.extra) > len(cc) {
		// The publisher's keys are the one it gave, then CC, then BCC.
		m.bcc = old.extra[len(cc):]
	}
	d.keys = withoutEach(append([]string{old.key}, old.extra...), m.bcc)
	m.deaths = recordDeath(old.deaths, d)
	m.props.SetHeaders(deathHeaders(old.props.Headers, m.deaths, d))
}

// takenAtOnce says whether a consumer takes a message that arrives now. 4.3's
// classic queues do not look then whether a dead letter was delivered before.
func (q *queue) takenAtOnce() bool {
	return q.ready.len() == 0 && slices.ContainsFunc(q.consumers, func(c *consumer) bool {
		return (!q.opts.singleActive || c == q.active) && c.hasCredit() && c.ch.conn.writable()
	})
}

// headerKeys are the routing keys in a header such as CC.
func headerKeys(headers wire.Table, name string) []string {
	value, _ := headers.Get(name)
	array, _ := value.([]any)
	var keys []string
	for _, v := range array {
		if key, ok := v.(string); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// drop notes that a message is gone for good.
func (q *queue) drop(m *message, reason string) {
	q.stats.dropped++
	b := q.broker()
	if b.tracer.on {
		b.trace(Event{Kind: EventDropped, VHost: q.vhost.name, Queue: q.name, MessageID: m.props.MessageID, Reason: reason})
	}
}

func (q *queue) traceDeadLetter(m *message, reason string, took []string) {
	b := q.broker()
	if b.tracer.on {
		b.trace(Event{
			Kind: EventDeadLettered, VHost: q.vhost.name, Queue: q.name, Exchange: m.exchange, Key: m.key,
			MessageID: m.props.MessageID, Reason: reason, Queues: took,
		})
	}
}
