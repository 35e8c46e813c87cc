package amqptest

import (
	"maps"
	"slices"
)

// shutdownText is what a node that shuts down tells its clients.
const shutdownText = "broker forced connection closure with reason 'shutdown'"

// CloseConnections closes all connections as an operator does: with 320
// (CONNECTION_FORCED) and the reason. It returns how many it closed: those that
// are closing already are not among them.
func (b *Broker) CloseConnections(reason string) int {
	b.lock()
	defer b.unlock()
	return b.forceClose(reason)
}

// CutConnections cuts all connections, as a network does that fails: no word
// goes to the clients but what was under way already. It returns how many it
// cut.
func (b *Broker) CutConnections() int {
	b.lock()
	defer b.unlock()
	all := b.connsInOrder()
	for _, c := range all {
		c.cut()
	}
	return len(all)
}

// forceClose closes all connections. Those whose handshake is not done are
// closed without a word.
func (b *Broker) forceClose(reason string) (closed int) {
	for _, c := range b.connsInOrder() {
		switch c.state {
		case stateClosed:
			continue
		case stateRunning:
			c.fail(hardError(codeConnectionForced, "%s", reason))
		default:
			c.end()
		}
		closed++
	}
	return closed
}

// Restart is an orderly restart of the node: all connections are closed with
// 320 (CONNECTION_FORCED), what is not durable is gone, so are messages that
// are not persistent from classic queues; the rest is as it was. New
// connections are welcome when Restart returns.
func (b *Broker) Restart() {
	b.lock()
	defer b.unlock()
	if b.closed {
		return
	}
	b.forceClose(shutdownText)
	b.work()
	for _, resource := range slices.Sorted(maps.Keys(b.alarms)) {
		b.clearAlarm(resource)
	}
	for _, vh := range b.vhostsInOrder() {
		vh.restart()
	}
	b.work()
	if b.tracer.on {
		b.trace(Event{Kind: EventRestarted})
	}
	b.cfg.Logger.Info("restarted")
}

// restart drops what is not durable.
func (vh *vhost) restart() {
	for _, q := range vh.queuesInOrder() {
		if !q.durable || q.owner != nil {
			q.traceDeleted(nil, "restart")
			vh.deleteQueue(q)
			continue
		}
		q.restart()
	}
	for _, x := range vh.exchangesInOrder() {
		if !x.durable {
			vh.deleteExchange(x)
		}
	}
}
