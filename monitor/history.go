package monitor

import (
	"time"
)

// window is the least time that a change is measured over: RabbitMQ counts every 5 s.
const window = 10 * time.Second

// sample is what was counted of a queue in one round.
type sample struct {
	at                            time.Time
	published, consumed, messages float64
}

// past is what was seen of a queue: in the round before, and in an older one.
type past struct {
	last, older *sample
	uncounted   time.Time // QueueReport.UncountedSince
}

// history is the past of each queue, by name.
type history map[string]past

// fill puts into r what needs an earlier round, and notes what the next one needs. Without
// counts an absent counter is no 0, and rates are unknown.
func (h history) fill(r *QueueReport, a answer, counts bool, at time.Time) {
	if a.err != nil {
		return // the past stays: the next changes are over a longer time
	}
	if !a.found {
		delete(h, r.Queue)
		return
	}
	p := h[r.Queue]
	defer func() { h[r.Queue] = p }()
	switch {
	case r.Messages.Known && r.Consumers.Known:
		p.uncounted = time.Time{}
	case p.uncounted.IsZero():
		p.uncounted = at
	}
	r.UncountedSince = p.uncounted
	if !r.Messages.Known {
		return // where there is no number there are no counters
	}
	s := a.queue.Stats
	now := &sample{at: at, published: s.Publish.N, consumed: s.Ack.N + s.DeliverNoAck.N + s.GetNoAck.N, messages: r.Messages.Value}
	switch base := p.base(now); {
	case p.last != nil && now.setBack(p.last):
	case base != nil:
		r.Growth = known(now.messages - base.messages)
		if counts {
			seconds := at.Sub(base.at).Seconds()
			r.PublishRate = known((now.published - base.published) / seconds)
			r.ConsumeRate = known((now.consumed - base.consumed) / seconds)
		}
	}
	p.last, p.older = p.and(now)
}

// base is the sample that changes are measured from: the newest that is old enough.
func (p past) base(now *sample) *sample {
	for _, s := range []*sample{p.last, p.older} {
		if s != nil && now.at.Sub(s.at) >= window {
			return s
		}
	}
	return nil
}

// setBack tells that counters were, since the other sample: by a restart of the broker,
// or because this is another queue of that name.
func (s *sample) setBack(other *sample) bool {
	return s.published < other.published || s.consumed < other.consumed
}

// and is the past once now is a part of it.
func (p past) and(now *sample) (last, older *sample) {
	switch {
	case p.last == nil || now.setBack(p.last):
		return now, nil
	case now.at.Sub(p.last.at) >= window:
		return now, p.last
	}
	return p.last, p.older
}
