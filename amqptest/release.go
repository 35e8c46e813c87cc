package amqptest

import (
	"cmp"
	"maps"
	"slices"
)

// release ends what the channel has of queues: its consumers go, and
// auto-delete queues with them; what is unacked goes back. It is called when
// the channel has ended, and may be called again.
func (ch *channel) release() {
	ch.rollbackSettles()
	ch.releaseSome(func(*queue, bool) bool { return true })
}

// releaseSome is release for the queues that which accepts; consumes tells it
// whether the channel consumes from the queue.
func (ch *channel) releaseSome(which func(q *queue, consumes bool) bool) {
	ch.timeout.stop()
	ch.timeout = nil
	gone := make(map[*queue][]*consumer)
	for _, c := range ch.consumers {
		gone[c.queue] = append(gone[c.queue], c)
	}
	byQueue := make(map[*queue][]*delivery)
	for q := range gone {
		if which(q, true) {
			byQueue[q] = nil
		}
	}
	for _, d := range ch.unacked.all() {
		if q := d.entry.queue; which(q, gone[q] != nil) {
			byQueue[q] = append(byQueue[q], d)
			ch.unacked.remove(d)
		}
	}
	maps.DeleteFunc(ch.consumers, func(_ string, c *consumer) bool { return which(c.queue, true) })
	queues := make([]*queue, 0, len(byQueue))
	for q := range byQueue {
		queues = append(queues, q)
	}
	slices.SortFunc(queues, func(a, b *queue) int {
		return cmp.Or(cmp.Compare(a.name, b.name), a.created.Compare(b.created))
	})
	for _, q := range queues {
		q.channelDown(ch, gone[q], byQueue[q])
	}
}

// channelDown takes back what a channel that ended had of the queue.
func (q *queue) channelDown(ch *channel, consumers []*consumer, held []*delivery) {
	if q.deleted {
		for _, d := range held {
			d.takeBack()
		}
		return
	}
	slices.SortFunc(consumers, func(a, b *consumer) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range consumers {
		q.forgetConsumer(c, "channel")
	}
	if len(consumers) > 0 && q.autoDeleteIfUnused() {
		for _, d := range held {
			d.takeBack()
		}
		return
	}
	q.takeBackAll(ch, held)
	q.lingering = slices.DeleteFunc(q.lingering, func(c *consumer) bool { return c.ch == ch })
	if q.log != nil {
		q.wake()
		return
	}
	q.activate()
	if q.kind == classic {
		q.checkBounds()
		q.dropExpired()
	} else if len(held) > 0 {
		q.unused()
	}
	q.wake()
}

// takeBackAll puts back what is out at a channel that ended: for a quorum
// queue consumer by consumer.
func (q *queue) takeBackAll(ch *channel, held []*delivery) {
	if q.kind == quorum {
		slices.SortStableFunc(held, q.compareKeys)
	}
	for _, d := range held {
		if d.takeBack() || q.log != nil {
			continue
		}
		if q.broker().tracer.on {
			q.trace(Event{Kind: EventRequeued, Tag: d.tag, Reason: "channel"}, ch, d.entry)
		}
		q.cameBack(d.entry, true)
		d.entry.redelivered = true
		q.giveBack(d.entry, true)
	}
}

// compareKeys is the order in which a quorum queue takes back from consumers:
// in 3.10 that of their tags, basic.get's delivery tags being taken for such;
// since 4.0 that of their age, and those of basic.get last.
func (q *queue) compareKeys(a, b *delivery) int {
	if q.version().atLeast40() {
		switch {
		case a.consumer != nil && b.consumer != nil:
			return cmp.Compare(a.consumer.seq, b.consumer.seq)
		case a.consumer != nil:
			return -1
		case b.consumer != nil:
			return 1
		}
	}
	return cmp.Compare(a.holderKey(), b.holderKey())
}

// unackedEntries lists what is out at the channel, by delivery tag.
func (ch *channel) unackedEntries() []*delivery {
	all := ch.unacked.all()
	for _, s := range ch.settling {
		all = append(all, s.deliveries...)
	}
	slices.SortFunc(all, byTag)
	return slices.DeleteFunc(all, func(d *delivery) bool { return d.released })
}
