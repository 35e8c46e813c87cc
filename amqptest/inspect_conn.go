package amqptest

import (
	"maps"
	"slices"
)

// Connections are the open connections, also those whose handshake is not
// done, in the order in which they were accepted.
func (b *Broker) Connections() []ConnectionInfo {
	b.lock()
	defer b.unlock()
	all := make([]ConnectionInfo, 0, len(b.conns))
	for _, c := range b.connsInOrder() {
		all = append(all, c.info())
	}
	return all
}

// Channels are the open channels, by connection and number.
func (b *Broker) Channels() []ChannelInfo {
	b.lock()
	defer b.unlock()
	var all []ChannelInfo
	for _, c := range b.connsInOrder() {
		for _, ch := range c.channelsInOrder() {
			all = append(all, ch.info())
		}
	}
	return all
}

// Consumers are the consumers of a virtual host, or of all if vhost is "", by
// queue, in the order in which they came.
func (b *Broker) Consumers(vhost string) []ConsumerInfo {
	b.lock()
	defer b.unlock()
	var all []ConsumerInfo
	for _, vh := range b.vhostsNamed(vhost) {
		for _, q := range vh.queuesInOrder() {
			for _, c := range q.consumers {
				all = append(all, c.info())
			}
		}
	}
	return all
}

func (b *Broker) connsInOrder() []*conn {
	all := make([]*conn, 0, len(b.conns))
	for _, id := range slices.Sorted(maps.Keys(b.conns)) {
		all = append(all, b.conns[id])
	}
	return all
}

func (c *conn) info() ConnectionInfo {
	return ConnectionInfo{
		ID: c.id, Name: c.name, ClientName: c.clientName(), User: c.user, VHost: c.vhostName(), State: c.stateName(),
		Channels: len(c.channels), ClientProperties: plainTable(c.properties), FrameMax: c.frameMax, ChannelMax: c.channelMax,
		ConnectedAt: c.connected,
	}
}

func (ch *channel) info() ChannelInfo {
	return ChannelInfo{
		Connection: ch.conn.id, Number: ch.id, VHost: ch.conn.vhostName(), User: ch.conn.user, Consumers: len(ch.consumers),
		Unacked: len(ch.unackedEntries()), Prefetch: ch.prefetch, GlobalLimit: ch.limit, Confirms: ch.confirming,
		Published: ch.published, Transactional: ch.tx != nil, Flow: ch.flow,
	}
}

func (c *consumer) info() ConsumerInfo {
	q := c.queue
	return ConsumerInfo{
		VHost: q.vhost.name, Queue: q.name, Tag: c.tag, Connection: c.ch.conn.id, Channel: c.ch.id, Acks: !c.noAck,
		Exclusive: c.exclusive, Prefetch: c.prefetch, Priority: c.priority, Unacked: c.unacked,
		Active: !q.opts.singleActive || q.active == c, Arguments: plainTable(c.args),
	}
}
