package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// confirmSet holds the verdicts of publishes that are not sent yet.
type confirmSet struct {
	acks, nacks []uint64
	// open are the publishes without a verdict: those whose confirm a fault
	// keeps back.
	open map[uint64]struct{}
	// listed: the channel is in conn.confirming.
	listed bool
}

// confirmsAtOnce is how many verdicts are sent without waiting for more.
const confirmsAtOnce = 64

func (ch *channel) confirmSelect(m *wire.ConfirmSelect) *amqpError {
	if ch.tx != nil {
		return softError(codePreconditionFailed, "cannot switch from tx to confirm mode")
	}
	ch.confirming = true
	ch.reply(m.NoWait, &wire.ConfirmSelectOk{})
	return nil
}

// conclude gives a publication its verdict, or a fault the means to.
func (ch *channel) conclude(p *publication, accepted bool, effect *faultEffect) {
	if ch.tx != nil {
		ch.tx.failed = ch.tx.failed || !accepted
		return
	}
	if p.seq == 0 {
		return
	}
	if effect.confirm == nil {
		ch.verdict(p.seq, accepted)
		return
	}
	if ch.confirms.open == nil {
		ch.confirms.open = make(map[uint64]struct{})
	}
	ch.confirms.open[p.seq] = struct{}{}
	seq := p.seq
	effect.confirm(func() {
		if _, ok := ch.confirms.open[seq]; !ok {
			return
		}
		delete(ch.confirms.open, seq)
		ch.flushConfirms()
		ch.verdict(seq, accepted)
		ch.flushConfirms()
	})
}

// verdict notes what became of a publish. It is sent with others when the
// reader has nothing more at hand.
func (ch *channel) verdict(seq uint64, accepted bool) {
	set := &ch.confirms
	ch.counts.confirm++
	if accepted {
		set.acks = append(set.acks, seq)
	} else {
		set.nacks = append(set.nacks, seq)
	}
	if !set.listed {
		set.listed = true
		ch.conn.confirming = append(ch.conn.confirming, ch)
		ch.conn.mark()
	}
	if len(set.acks)+len(set.nacks) >= confirmsAtOnce {
		ch.flushConfirms()
	}
}

// sendConfirms sends what verdicts there are on all channels.
func (c *conn) sendConfirms() {
	for i, ch := range c.confirming {
		ch.confirms.listed = false
		ch.flushConfirms()
		c.confirming[i] = nil
	}
	c.confirming = c.confirming[:0]
}

// confirmBefore sends the verdicts so far, unless m is one that RabbitMQ's
// verdicts seldom come before.
func (ch *channel) confirmBefore(m wire.Method) {
	if _, ok := m.(*wire.ChannelClose); !ok {
		ch.flushConfirms()
	}
}

// flushConfirms sends the verdicts of the channel: acks, then nacks, each as
// one with multiple as far as none between is open or of the other kind.
func (ch *channel) flushConfirms() {
	set := &ch.confirms
	if len(set.acks)+len(set.nacks) == 0 || ch.gone || ch.closing {
		return
	}
	slices.Sort(set.acks)
	slices.Sort(set.nacks)
	ch.sendVerdicts(set.acks, set.nacks, func(seq uint64, multiple bool) wire.Method {
		return &wire.BasicAck{DeliveryTag: seq, Multiple: multiple}
	})
	ch.sendVerdicts(set.nacks, set.acks, func(seq uint64, multiple bool) wire.Method {
		return &wire.BasicNack{DeliveryTag: seq, Multiple: multiple}
	})
	if ch.conn.broker.tracer.on {
		ch.traceVerdicts(EventConfirmed, set.acks)
		ch.traceVerdicts(EventNacked, set.nacks)
	}
	set.acks, set.nacks = set.acks[:0], set.nacks[:0]
}

func (ch *channel) sendVerdicts(seqs, others []uint64, method func(uint64, bool) wire.Method) {
	if len(seqs) == 0 {
		return
	}
	below := 0 // of seqs can go as one
	if len(seqs) > 1 {
		cutoff := ch.cutoff(seqs[len(seqs)-1]+1, others)
		for below < len(seqs) && seqs[below] < cutoff {
			below++
		}
	}
	if below > 0 {
		ch.conn.send(ch.id, method(seqs[below-1], true))
	}
	for _, seq := range seqs[below:] {
		ch.conn.send(ch.id, method(seq, false))
	}
}

// cutoff is the first publish that a multiple verdict must not take in.
func (ch *channel) cutoff(most uint64, others []uint64) uint64 {
	for seq := range ch.confirms.open {
		most = min(most, seq)
	}
	if len(others) > 0 {
		most = min(most, others[0])
	}
	return most
}

func (ch *channel) traceVerdicts(kind EventKind, seqs []uint64) {
	for _, seq := range seqs {
		ch.conn.broker.trace(Event{Kind: kind, Connection: ch.conn.id, Channel: ch.id, VHost: ch.conn.vhost.name, Tag: seq})
	}
}
