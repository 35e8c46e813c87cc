package amqptest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// The snapshots of this package are taken at one moment, without consuming,
// and share nothing with the broker. An empty vhost means all of them; what
// is not there gives nothing. Lists are in the order of virtual hosts and
// names, messages in that of their delivery.

// Queues are the queues of a virtual host, or of all if vhost is "".
func (b *Broker) Queues(vhost string) []QueueInfo {
	b.lock()
	defer b.unlock()
	bytes := b.unackedBytes()
	var all []QueueInfo
	for _, vh := range b.vhostsNamed(vhost) {
		for _, q := range vh.queuesInOrder() {
			info := q.info()
			info.UnackedBytes = bytes[q]
			all = append(all, info)
		}
	}
	return all
}

// Queue is one queue; false: there is none of that name.
func (b *Broker) Queue(vhost, name string) (QueueInfo, bool) {
	b.lock()
	defer b.unlock()
	q := b.queueNamed(vhost, name)
	if q == nil {
		return QueueInfo{}, false
	}
	info := q.info()
	info.UnackedBytes = b.unackedBytes()[q]
	return info, true
}

// Messages are a queue's ready messages in the order in which they would be
// delivered, or all of a stream's. They stay where they are.
func (b *Broker) Messages(vhost, queue string) []Message {
	b.lock()
	defer b.unlock()
	q := b.queueNamed(vhost, queue)
	if q == nil {
		return nil
	}
	var all []Message
	if q.log != nil {
		q.log.each(func(offset uint64, at time.Time, m *message) bool {
			all = append(all, q.viewAt(offset, at, m).copied())
			return true
		})
		return all
	}
	q.ready.each(func(e *entry) bool {
		all = append(all, e.view().copied())
		return true
	})
	return all
}

// Unacked are a queue's messages that were delivered and wait for an ack, in
// the order of connections, channels and delivery tags.
func (b *Broker) Unacked(vhost, queue string) []Message {
	b.lock()
	defer b.unlock()
	q := b.queueNamed(vhost, queue)
	if q == nil {
		return nil
	}
	var all []Message
	b.eachUnacked(func(ch *channel, d *delivery) {
		if d.entry.queue != q {
			return
		}
		all = append(all, d.view(ch).copied())
	})
	return all
}

// Held are messages that left a queue dead and that at-least-once
// dead-lettering has not yet brought to their target.
func (b *Broker) Held(vhost, queue string) []Message {
	b.lock()
	defer b.unlock()
	q := b.queueNamed(vhost, queue)
	if q == nil || q.dead == nil {
		return nil
	}
	var all []Message
	q.dead.each(func(e *entry) bool {
		all = append(all, e.view().copied())
		return true
	})
	return all
}

// Delayed are messages that were given back to a queue that lets them wait
// (4.3's x-delayed-retry-type), in the order in which they become ready.
func (b *Broker) Delayed(vhost, queue string) []Message {
	b.lock()
	defer b.unlock()
	q := b.queueNamed(vhost, queue)
	if q == nil {
		return nil
	}
	var all []Message
	for _, e := range q.delayedInOrder() {
		all = append(all, e.view().copied())
	}
	return all
}

func (q *queue) delayedInOrder() []*entry {
	return slices.SortedFunc(slices.Values(q.delayed.entries), func(x, y *entry) int {
		return cmp.Or(x.ready.Compare(y.ready), cmp.Compare(x.seq, y.seq))
	})
}

// unackedBytes are the sizes of what is out at clients.
func (b *Broker) unackedBytes() map[*queue]int64 {
	sizes := make(map[*queue]int64)
	b.eachUnacked(func(_ *channel, d *delivery) { sizes[d.entry.queue] += d.entry.size() })
	return sizes
}

func (b *Broker) eachUnacked(do func(ch *channel, d *delivery)) {
	for _, id := range slices.Sorted(maps.Keys(b.conns)) {
		for _, ch := range b.conns[id].channelsInOrder() {
			for _, d := range ch.unackedEntries() {
				do(ch, d)
			}
		}
	}
}

func (b *Broker) queueNamed(vhost, name string) *queue {
	if vh := b.vhosts[vhost]; vh != nil {
		return vh.queues[name]
	}
	return nil
}

func (b *Broker) vhostsInOrder() []*vhost {
	all := make([]*vhost, 0, len(b.vhosts))
	for _, name := range slices.Sorted(maps.Keys(b.vhosts)) {
		all = append(all, b.vhosts[name])
	}
	return all
}

func (b *Broker) vhostsNamed(name string) []*vhost {
	if name == "" {
		return b.vhostsInOrder()
	}
	if vh := b.vhosts[name]; vh != nil {
		return []*vhost{vh}
	}
	return nil
}

func (vh *vhost) queuesInOrder() []*queue {
	all := make([]*queue, 0, len(vh.queues))
	for _, name := range slices.Sorted(maps.Keys(vh.queues)) {
		all = append(all, vh.queues[name])
	}
	return all
}

func (vh *vhost) exchangesInOrder() []*exchange {
	all := make([]*exchange, 0, len(vh.exchanges))
	for _, name := range slices.Sorted(maps.Keys(vh.exchanges)) {
		all = append(all, vh.exchanges[name])
	}
	return all
}

func (q *queue) info() QueueInfo {
	info := QueueInfo{
		VHost: q.vhost.name, Name: q.name, Type: string(q.kind), Durable: q.durable, AutoDelete: q.autoDelete,
		Exclusive: q.owner != nil, Arguments: plainTable(q.args), Ready: q.len(), Unacked: q.unacked,
		Consumers: len(q.consumers), LastUsed: q.lastUsed, Stats: q.stats.info(),
	}
	if q.owner != nil {
		info.Owner = q.owner.id
	}
	switch {
	case q.active != nil:
		info.ActiveConsumer = q.active.tag
	case q.exclusive != nil:
		info.ActiveConsumer = q.exclusive.tag
	}
	if q.log != nil {
		q.log.each(func(_ uint64, _ time.Time, m *message) bool {
			info.ReadyBytes += int64(len(m.body))
			return true
		})
		return info
	}
	info.ReadyBytes, info.Delayed = q.ready.bytes, len(q.delayed.entries)
	if q.dead != nil {
		info.Held, _ = q.dead.held()
	}
	return info
}

func (s queueStats) info() QueueStats {
	return QueueStats{
		Published: s.published, Delivered: s.delivered, DeliveredNoAck: s.deliveredNoAck, Got: s.got, GotNoAck: s.gotNoAck,
		GotEmpty: s.gotEmpty, Acked: s.acked, Redelivered: s.redelivered, Dropped: s.dropped,
	}
}

// copied shares nothing with the broker.
func (m Message) copied() Message {
	m.Body = slices.Clone(m.Body)
	return m
}

// view is the message as it is told of. Its body is the broker's own.
func (e *entry) view() Message {
	m := e.msg.view(e.queue, e)
	m.Arrived, m.Expires, m.Redelivered, m.Deliveries = e.arrived, e.expires, e.redelivered, e.failed
	return m
}

// view is a message that is out at a client, see entry.view.
func (d *delivery) view(ch *channel) Message {
	m := d.entry.view()
	m.Connection, m.Channel, m.DeliveryTag, m.DeliveredAt = ch.conn.id, ch.id, d.tag, d.at
	if d.consumer != nil {
		m.Consumer = d.consumer.tag
	}
	return m
}

// viewAt is a stream's message, see entry.view.
func (q *queue) viewAt(offset uint64, at time.Time, m *message) Message {
	view := m.view(q, nil)
	view.Offset, view.Arrived = offset, at
	return view
}

// view is the message in q; e is nil in a stream.
func (m *message) view(q *queue, e *entry) Message {
	p := m.props
	if e != nil {
		if seen, err := wire.DecodeProperties(e.header(false)); err == nil {
			p = seen
		}
	}
	info := Message{
		VHost: q.vhost.name, Queue: q.name, Exchange: m.exchange, RoutingKey: m.key, Body: m.body,
		ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, DeliveryMode: p.DeliveryMode, Priority: p.Priority,
		CorrelationID: p.CorrelationID, ReplyTo: p.ReplyTo, Expiration: p.Expiration, MessageID: p.MessageID,
		Timestamp: p.Timestamp, Type: p.Type, UserID: p.UserID, AppID: p.AppID,
	}
	if p.Has(wire.FlagHeaders) {
		info.Headers = plainTable(p.Headers)
	}
	return info
}
