package amqptest

import (
	"maps"
	"slices"
)

// hit counts and tells that the fault happens.
func (n *Injected) hit(p faultPoint) {
	b := n.broker
	n.hits++
	n.tell()
	e := Event{
		Kind: EventFault, Reason: string(n.fault.Do), Exchange: p.exchange, Key: p.key, Queue: p.queueName(), Text: p.name(),
	}
	if n.fault.Name != e.Reason {
		e.Text += ": " + n.fault.Name
	}
	if p.conn != nil {
		e.Connection = p.conn.id
		if p.conn.vhost != nil {
			e.VHost = p.conn.vhost.name
		}
	}
	if p.channel != nil {
		e.Channel = p.channel.id
	}
	b.cfg.Logger.Info("fault", "name", n.fault.Name, "do", n.fault.Do, "on", n.fault.On, "connection", e.Connection,
		"channel", e.Channel, "queue", e.Queue)
	if b.tracer.on {
		b.trace(e)
	}
}

// apply does what the fault does at a point, or adds to e what its caller has
// to do.
func (n *Injected) apply(p faultPoint, e *faultEffect) {
	f := n.fault
	switch f.Do {
	case Nack:
		e.nack = true
	case DropBefore, RefuseConnection:
		e.cutBefore = true
	case DropAfter:
		e.cutAfter = true
	case CloseChannel, CloseConnection:
		e.err = n.err(p)
	case RefuseLogin:
		e.refuse = true
	case DelayConfirm, HoldConfirm, ReorderConfirms:
		e.addConfirm(n.keepConfirm)
	case Stall:
		n.stall(p.conn)
	case RaiseAlarm:
		n.broker.later(n.raise)
	case DeleteQueue, CancelConsumers, ForgetConsumers:
		queues := slices.Clone(p.theQueues())
		n.broker.later(func() { n.onQueues(queues) })
	}
}

func (n *Injected) err(p faultPoint) *amqpError {
	e := &amqpError{code: n.fault.Code, text: n.fault.Text, hard: n.fault.Do == CloseConnection}
	if !p.isDelivery() {
		e.class, e.method = p.class, p.method
	}
	return e
}

// addConfirm has keep come between what was there and the confirm.
func (e *faultEffect) addConfirm(keep func(send func())) {
	if first := e.confirm; first != nil {
		e.confirm = func(send func()) { first(func() { keep(send) }) }
		return
	}
	e.confirm = keep
}

// keepConfirm decides when the confirm is sent.
func (n *Injected) keepConfirm(send func()) {
	switch {
	case n.removed:
		send()
	case n.fault.Do == DelayConfirm:
		n.held = append(n.held, send)
		n.broker.clock.after(n.fault.Delay, n.releaseFirst)
	case n.fault.Do == HoldConfirm:
		n.held = append(n.held, send)
	default:
		n.held = append(n.held, send)
		last := n.fault.Times > 0 && n.hits >= n.fault.Times
		if len(n.held) >= n.fault.Count || last {
			n.release(true)
		}
	}
}

// release sends the confirms that are held.
func (n *Injected) release(reverse bool) {
	held := n.held
	n.held = nil
	if reverse {
		slices.Reverse(held)
	}
	for _, send := range held {
		send()
	}
}

// releaseFirst sends the confirm that is held longest, unless all were sent when
// the fault was removed.
func (n *Injected) releaseFirst() {
	if len(n.held) == 0 {
		return
	}
	send := n.held[0]
	n.held[0] = nil
	n.held = n.held[1:]
	send()
}

func (n *Injected) raise() {
	if n.fault.Delay > 0 {
		n.broker.raiseAlarmFor(n.fault.Resource, n.fault.Delay)
		return
	}
	n.broker.raiseAlarm(n.fault.Resource)
}

func (n *Injected) onQueues(queues []*queue) {
	for _, q := range queues {
		if q.deleted {
			continue
		}
		switch n.fault.Do {
		case DeleteQueue:
			q.traceDeleted(nil, "fault")
			q.vhost.deleteQueue(q)
		case ForgetConsumers:
			q.forgetConsumers()
		default:
			q.cancelConsumers()
		}
	}
}

// doNow does what the fault does, on all that it matches.
func (n *Injected) doNow() {
	b, f := n.broker, n.fault
	switch f.Do {
	case RaiseAlarm:
		n.raise()
		return
	case DeleteQueue, CancelConsumers, ForgetConsumers:
		n.onQueues(n.matchingQueues())
		return
	}
	for _, id := range slices.Sorted(maps.Keys(b.conns)) {
		c := b.conns[id]
		if c.gone || f.Connection != "" && !n.matchesConnection(c) ||
			f.VHost != "" && (c.vhost == nil || !glob(f.VHost, c.vhost.name)) {
			continue
		}
		n.toConnection(c)
	}
}

func (n *Injected) matchingQueues() []*queue {
	var found []*queue
	for _, vh := range n.broker.vhostsInOrder() {
		if n.fault.VHost != "" && !glob(n.fault.VHost, vh.name) {
			continue
		}
		for _, q := range vh.queuesInOrder() {
			if glob(n.fault.Queue, q.name) {
				found = append(found, q)
			}
		}
	}
	return found
}

// toConnection does what the fault does to one connection, if it or one of its
// channels consumes from the fault's queue.
func (n *Injected) toConnection(c *conn) {
	var channels []*channel
	for _, id := range slices.Sorted(maps.Keys(c.channels)) {
		if ch := c.channels[id]; n.fault.Queue == "" || ch.consumesFrom(n.fault.Queue) {
			channels = append(channels, ch)
		}
	}
	if n.fault.Queue != "" && len(channels) == 0 {
		return
	}
	switch n.fault.Do {
	case DropBefore:
		c.cut()
	case CloseConnection:
		c.fail(n.err(faultPoint{conn: c}))
	case Stall:
		n.stall(c)
	case CloseChannel:
		for _, ch := range channels {
			ch.fail(n.err(faultPoint{conn: c, channel: ch}))
		}
	}
}

func (ch *channel) consumesFrom(pattern string) bool {
	for _, c := range ch.consumers {
		if glob(pattern, c.queue.name) {
			return true
		}
	}
	return false
}
