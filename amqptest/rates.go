package amqptest

import "time"

const (
	// rateInterval is the time between two samples, and the least that a rate
	// is taken over: RabbitMQ's collect_statistics_interval.
	rateInterval = 5 * time.Second
	// rateKept is how many samples are kept.
	rateKept = 3
	// rateWatched is how long samples are taken after the last request.
	rateWatched = 605 * time.Second
)

// rates tells how fast counters grow, for the management API. Samples are taken
// by the broker's clock as long as somebody asks for them.
type rates struct {
	samples []*sample // oldest first
	now     time.Time // of the request in hand
	asked   time.Time // when rates were asked for last
	timer   *timer    // of the next sample; nil: none is taken
}

// sample is what the counters were at one moment.
type sample struct {
	at        time.Time
	depths    map[*vhost]depth
	counts    map[*vhost]messageCounts
	octets    map[*vhost]octets
	queues    map[*queue]queueSample
	exchanges map[*exchange]exchangeCounts
	channels  map[*channel]messageCounts
	conns     map[*conn]octets
}

type queueSample struct {
	depth depth
	stats queueStats
}

type (
	octets         struct{ received, sent uint64 }
	exchangeCounts struct{ in, out uint64 }
)

// depth is how much is in a queue, or in several. RabbitMQ's sum of messages has those, too,
// that at-least-once dead-lettering holds.
type depth struct{ ready, unacked, held int }

func (d depth) total() int { return d.ready + d.unacked + d.held }

func (d *depth) add(other depth) {
	d.ready += other.ready
	d.unacked += other.unacked
	d.held += other.held
}

func (q *queue) depth() depth {
	held, _ := q.dead.held()
	return depth{ready: q.len(), unacked: q.unacked, held: held}
}

// messageCounts counts what happened to messages on a channel, or on several.
type messageCounts struct {
	publish, confirm, returned, unroutable                          uint64
	deliver, deliverNoAck, get, getNoAck, getEmpty, ack, redelivery uint64
}

func (m *messageCounts) add(n messageCounts) {
	m.publish += n.publish
	m.confirm += n.confirm
	m.returned += n.returned
	m.unroutable += n.unroutable
	m.deliver += n.deliver
	m.deliverNoAck += n.deliverNoAck
	m.get += n.get
	m.getNoAck += n.getNoAck
	m.getEmpty += n.getEmpty
	m.ack += n.ack
	m.redelivery += n.redelivery
}

// counted is what happened to messages in the virtual host: on channels that
// are gone, and on those that are open.
func (vh *vhost) counted() messageCounts {
	all := vh.past
	for _, c := range vh.broker.conns {
		if c.vhost != vh {
			continue
		}
		for _, ch := range c.channels {
			if !ch.gone && !ch.closing {
				all.add(ch.counts)
			}
		}
	}
	return all
}

// watch notes that somebody asks for rates. Samples are taken from now on.
func (r *rates) watch(b *Broker) {
	r.now = b.clock.now()
	r.asked = r.now
	if r.timer != nil || b.closed {
		return
	}
	r.take(b)
	r.next(b)
}

func (r *rates) next(b *Broker) {
	r.timer = b.clock.after(rateInterval, func() {
		r.timer = nil
		r.take(b)
		if b.clock.now().Sub(r.asked) < rateWatched {
			r.next(b)
		}
	})
}

func (r *rates) stop() {
	r.timer.stop()
	r.timer, r.samples = nil, nil
}

// take takes a sample.
func (r *rates) take(b *Broker) {
	s := &sample{
		at: b.clock.now(), depths: make(map[*vhost]depth), counts: make(map[*vhost]messageCounts), octets: make(map[*vhost]octets),
		queues: make(map[*queue]queueSample), exchanges: make(map[*exchange]exchangeCounts),
		channels: make(map[*channel]messageCounts), conns: make(map[*conn]octets),
	}
	for _, vh := range b.vhosts {
		var all depth
		for _, q := range vh.queues {
			all.add(q.depth())
			s.queues[q] = queueSample{depth: q.depth(), stats: q.stats}
		}
		s.depths[vh] = all
		s.counts[vh] = vh.counted()
		for _, x := range vh.exchanges {
			s.exchanges[x] = exchangeCounts{in: x.in, out: x.out}
		}
	}
	for _, c := range b.conns {
		o := c.octets()
		s.conns[c] = o
		if c.vhost != nil {
			sum := s.octets[c.vhost]
			s.octets[c.vhost] = octets{received: sum.received + o.received, sent: sum.sent + o.sent}
		}
		for _, ch := range c.channels {
			s.channels[ch] = ch.counts
		}
	}
	if len(r.samples) == rateKept {
		copy(r.samples, r.samples[1:])
		r.samples = r.samples[:rateKept-1]
	}
	r.samples = append(r.samples, s)
}

func (c *conn) octets() octets {
	return octets{received: c.stats.received.Load(), sent: c.stats.sent.Load()}
}

// base is the sample that rates are told from: the latest that is old enough.
func (r *rates) base() *sample {
	for i := len(r.samples) - 1; i >= 0; i-- {
		if s := r.samples[i]; r.now.Sub(s.at) >= rateInterval {
			return s
		}
	}
	return nil
}

// details puts the rate of a counter or a gauge beside it.
func (r *rates) details(o object, name string, value float64, before func(*sample) float64) {
	rate := 0.0
	if s := r.base(); s != nil {
		rate = (value - before(s)) / r.now.Sub(s.at).Seconds()
	}
	o[name+"_details"] = object{"rate": rate}
}

// count puts a counter and its rate into o.
func (r *rates) count(o object, name string, value uint64, before func(*sample) uint64) {
	o[name] = value
	r.details(o, name, float64(value), func(s *sample) float64 { return float64(before(s)) })
}

// messages puts the messages of queues, and how fast they get more, into o.
func (r *rates) messages(o object, d depth, before func(*sample) depth) {
	for name, of := range map[string]func(depth) int{
		"messages":                depth.total,
		"messages_ready":          func(d depth) int { return d.ready },
		"messages_unacknowledged": func(d depth) int { return d.unacked },
	} {
		o[name] = of(d)
		r.details(o, name, float64(of(d)), func(s *sample) float64 { return float64(of(before(s))) })
	}
}

// statistic is one field of message_stats.
type statistic struct {
	name string
	of   func(messageCounts) uint64
}

var (
	publishStatistics = []statistic{
		{"publish", func(m messageCounts) uint64 { return m.publish }},
		{"confirm", func(m messageCounts) uint64 { return m.confirm }},
		{"return_unroutable", func(m messageCounts) uint64 { return m.returned }},
		{"drop_unroutable", func(m messageCounts) uint64 { return m.unroutable }},
	}
	deliverStatistics = []statistic{
		{"deliver", func(m messageCounts) uint64 { return m.deliver }},
		{"deliver_no_ack", func(m messageCounts) uint64 { return m.deliverNoAck }},
		{"deliver_get", func(m messageCounts) uint64 { return m.deliver + m.deliverNoAck + m.get + m.getNoAck }},
		{"get", func(m messageCounts) uint64 { return m.get }},
		{"get_no_ack", func(m messageCounts) uint64 { return m.getNoAck }},
		{"get_empty", func(m messageCounts) uint64 { return m.getEmpty }},
		{"ack", func(m messageCounts) uint64 { return m.ack }},
		{"redeliver", func(m messageCounts) uint64 { return m.redelivery }},
	}
)

// statistics are message_stats. A field is there once one of its sort counts.
func (r *rates) statistics(m messageCounts, before func(*sample) messageCounts) object {
	o := make(object)
	for _, group := range [][]statistic{publishStatistics, deliverStatistics} {
		sum := uint64(0)
		for _, s := range group {
			sum += s.of(m)
		}
		if sum == 0 {
			continue
		}
		for _, s := range group {
			r.count(o, s.name, s.of(m), func(old *sample) uint64 { return s.of(before(old)) })
		}
	}
	return o
}

// queueStatistics are those of a queue, which are the same but for what
// becomes of a publish.
func (r *rates) queueStatistics(q *queue) object {
	before := func(s *sample) queueStats { return s.queues[q].stats }
	o := r.statistics(q.stats.counts(), func(s *sample) messageCounts { return before(s).counts() })
	if q.stats.published > 0 {
		r.count(o, "publish", q.stats.published, func(s *sample) uint64 { return before(s).published })
	}
	return o
}

// counts are the deliveries and what came of them.
func (s queueStats) counts() messageCounts {
	return messageCounts{
		deliver: s.delivered, deliverNoAck: s.deliveredNoAck, get: s.got, getNoAck: s.gotNoAck, getEmpty: s.gotEmpty,
		ack: s.acked, redelivery: s.redelivered,
	}
}
