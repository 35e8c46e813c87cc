package amqptest

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/hareline/hareline/internal/wire"
)

// settleOp is what a client does with what was delivered to it.
type settleOp struct {
	kind settleKind
	// failed: the delivery counts as failed.
	failed bool
	// why is for the trace: ack, nack, reject, recover, channel.
	why string
}

type settleKind uint8

const (
	settleAck settleKind = iota
	settleRequeue
	settleDiscard
)

// settlement is one settleOp of an open transaction.
type settlement struct {
	op         settleOp
	deliveries []*delivery // by tag
}

func (ch *channel) basicAck(m *wire.BasicAck) *amqpError {
	return ch.settleTags(settleOp{kind: settleAck, why: "ack"}, m.DeliveryTag, m.Multiple)
}

func (ch *channel) basicNack(m *wire.BasicNack) *amqpError {
	op := settleOp{kind: settleRequeue, why: "nack"}
	if !m.Requeue {
		// Since 4.3 basic.nack says that nothing is wrong with the message
		// as such.
		op.kind, op.failed = settleDiscard, !ch.version().atLeast43()
	}
	return ch.settleTags(op, m.DeliveryTag, m.Multiple)
}

func (ch *channel) basicReject(m *wire.BasicReject) *amqpError {
	op := settleOp{kind: settleDiscard, failed: true, why: "reject"}
	if m.Requeue {
		op.kind, op.failed = settleRequeue, ch.version().atLeast43()
	}
	return ch.settleTags(op, m.DeliveryTag, false)
}

func (ch *channel) basicRecover(m *wire.BasicRecover) *amqpError {
	return ch.recoverAll(m.Requeue, func() { ch.reply(false, &wire.BasicRecoverOk{}) })
}

func (ch *channel) basicRecoverAsync(m *wire.BasicRecoverAsync) *amqpError {
	return ch.recoverAll(m.Requeue, func() {})
}

// recoverAll gives back what is unacked. It answers first: no delivery that
// follows comes before the answer.
func (ch *channel) recoverAll(requeue bool, answer func()) *amqpError {
	if !requeue {
		return hardError(codeNotImplemented, "requeue=false")
	}
	all := ch.unacked.all()
	if !ch.version().atLeast40() && slices.ContainsFunc(all, func(d *delivery) bool { return d.entry.queue.kind == stream }) {
		return crashError()
	}
	for _, d := range all {
		ch.unacked.remove(d)
	}
	answer()
	ch.settleAll(settleOp{kind: settleRequeue, why: "recover"}, all)
	return nil
}

func (ch *channel) version() Version { return ch.conn.broker.cfg.Version }

// settleTags settles what tag and multiple mean.
func (ch *channel) settleTags(op settleOp, tag uint64, multiple bool) *amqpError {
	if !multiple {
		d := ch.unacked.get(tag)
		if d == nil {
			return unknownTag(tag)
		}
		ch.unacked.remove(d)
		one := &ch.conn.scratch.settled
		one[0] = d
		err := ch.settleOrHold(op, one[:])
		one[0] = nil
		return err
	}
	var ds []*delivery
	switch {
	case tag == 0:
		ds = ch.unacked.all()
	case ch.unacked.get(tag) == nil:
		// Even if there are older ones: the tag of a multiple ack must be
		// one that is waiting for it.
		return unknownTag(tag)
	default:
		ds = ch.unacked.upTo(tag)
	}
	for _, d := range ds {
		ch.unacked.remove(d)
	}
	return ch.settleOrHold(op, ds)
}

func unknownTag(tag uint64) *amqpError {
	return softError(codePreconditionFailed, "unknown delivery tag %d", tag)
}

// settleOrHold settles deliveries, at once or with the transaction.
func (ch *channel) settleOrHold(op settleOp, ds []*delivery) *amqpError {
	if ch.tx != nil {
		ch.holdSettle(op, ds)
		return nil
	}
	if op.kind != settleAck {
		for _, d := range ds {
			if q := d.entry.queue; q.kind == stream && !ch.version().atLeast40() {
				for _, d := range ds {
					ch.unacked.add(d) // and goes back with its channel
				}
				return hardError(codeNotImplemented, "basic.nack and basic.reject not supported by stream queues %s", q.resource())
			}
		}
	}
	ch.settleAll(op, ds)
	return nil
}

// holdSettle keeps a settlement until the transaction ends. ds is copied.
func (ch *channel) holdSettle(op settleOp, ds []*delivery) {
	if n := len(ch.settling); n > 0 && ch.settling[n-1].op == op {
		ch.settling[n-1].deliveries = append(ch.settling[n-1].deliveries, ds...)
		return
	}
	ch.settling = append(ch.settling, settlement{op, slices.Clone(ds)})
}

// commitSettles does what the transaction settled.
func (ch *channel) commitSettles() {
	all := ch.settling
	ch.settling = nil
	for _, s := range all {
		slices.SortFunc(s.deliveries, byTag)
		ch.settleAll(s.op, s.deliveries)
		for _, d := range s.deliveries {
			d.entry.queue.deliverScheduled() // before what comes next is settled
		}
	}
}

// rollbackSettles takes back what the transaction settled: it is unacked again.
func (ch *channel) rollbackSettles() {
	all := ch.settling
	ch.settling = nil
	for _, s := range all {
		for _, d := range s.deliveries {
			ch.unacked.add(d)
		}
	}
}

func byTag(a, b *delivery) int { return cmp.Compare(a.tag, b.tag) }

// settleAll settles deliveries, which are in the order of their tags and no
// longer in ch.unacked: one queue and consumer after the other.
func (ch *channel) settleAll(op settleOp, ds []*delivery) {
	if len(ds) == 0 {
		return
	}
	if len(ds) == 1 {
		ds[0].entry.queue.settle(op, ch, ds)
	} else {
		ch.settleGroups(op, byConsumer(ds))
	}
	if ch.limit > 0 {
		ch.unblock()
	}
}

func (ch *channel) settleGroups(op settleOp, groups [][]*delivery) {
	for i, g := range groups {
		if i > 0 {
			// To the queues these are commands on their own.
			groups[i-1][0].entry.queue.deliver()
		}
		g[0].entry.queue.settle(op, ch, g)
	}
}

// byConsumer splits deliveries by queue and consumer, in RabbitMQ's order: of
// the queues' names, then of consumers' tags, those of basic.get before.
func byConsumer(ds []*delivery) [][]*delivery {
	first := ds[0]
	if !slices.ContainsFunc(ds, func(d *delivery) bool { return !sameHolder(d, first) }) {
		return [][]*delivery{ds}
	}
	sorted := slices.Clone(ds)
	slices.SortStableFunc(sorted, func(a, b *delivery) int {
		return cmp.Or(cmp.Compare(a.entry.queue.name, b.entry.queue.name), compareHolders(a, b))
	})
	var groups [][]*delivery
	for start, i := 0, 1; i <= len(sorted); i++ {
		if i == len(sorted) || !sameHolder(sorted[i], sorted[start]) {
			groups = append(groups, sorted[start:i])
			start = i
		}
	}
	return groups
}

func compareHolders(a, b *delivery) int {
	switch {
	case a.consumer == b.consumer && a.consumer != nil:
		return 0
	case a.consumer == nil && b.consumer == nil:
		return byTag(a, b)
	case a.consumer == nil:
		return -1
	case b.consumer == nil:
		return 1
	default:
		return cmp.Compare(a.consumer.tag, b.consumer.tag)
	}
}

// sameHolder says whether two deliveries are at the same consumer. Each
// basic.get is one of its own to a quorum queue.
func sameHolder(a, b *delivery) bool {
	if a.entry.queue != b.entry.queue || a.consumer != b.consumer {
		return false
	}
	return a == b || a.consumer != nil || a.entry.queue.kind == classic
}

// settle settles deliveries of one consumer, or of one basic.get.
func (q *queue) settle(op settleOp, ch *channel, ds []*delivery) {
	switch {
	case q.deleted:
		for _, d := range ds {
			d.takeBack()
		}
		return
	case q.log != nil:
		for _, d := range ds {
			d.takeBack()
			if q.broker().tracer.on {
				q.trace(Event{Kind: EventAcked, Tag: d.tag}, ch, d.entry)
			}
			q.settleStream(d)
		}
	case op.kind == settleRequeue && q.requeuesToTail():
		for i, d := range ds {
			if i > 0 {
				// One by one, as if published anew.
				q.deliver()
			}
			q.settleOne(op, ch, d)
		}
	default:
		for _, d := range ds {
			q.settleOne(op, ch, d)
		}
	}
	if op.kind == settleRequeue && q.kind == classic {
		q.checkBounds()
		q.dropExpired()
	}
	q.settled(ds[0].consumer, op)
}

// settleOne does what op says to one delivery.
func (q *queue) settleOne(op settleOp, ch *channel, d *delivery) {
	if d.takeBack() {
		return // timed out: it is elsewhere already
	}
	e := d.entry
	traced := q.broker().tracer.on
	switch op.kind {
	case settleAck:
		q.stats.acked++
		ch.counts.ack++
		if traced {
			q.trace(Event{Kind: EventAcked, Tag: d.tag}, ch, e)
		}
	case settleDiscard:
		q.cameBack(e, op.failed)
		if traced {
			q.trace(Event{Kind: EventRejected, Tag: d.tag}, ch, e)
		}
		q.deadLetter(e, reasonRejected)
	case settleRequeue:
		if traced {
			q.trace(Event{Kind: EventRequeued, Tag: d.tag, Reason: op.why}, ch, e)
		}
		if died := q.requeue(e, op); died && d.consumer != nil && !q.version().atLeast40() {
			// 3.10 counts it as settled and as returned, and raises the
			// consumer's credit twice, for good.
			d.consumer.bonus++
		}
	}
	if c := d.consumer; c != nil && !q.opts.singleActive {
		c.enlist()
	}
}

// settled sees to a consumer that has settled something.
func (q *queue) settled(c *consumer, op settleOp) {
	if c != nil && c.unacked == 0 {
		q.emptied(c)
	}
	if q.activatesAfter(op) {
		q.activate()
	}
	if q.kind == classic && q.opts.singleActive && op.kind == settleAck && c != q.active && !q.version().atLeast40() {
		return // as in removeConsumer
	}
	q.wake()
}

// emptied sees to a consumer that has nothing unacked any more.
func (q *queue) emptied(c *consumer) {
	if at := slices.Index(q.lingering, c); c.cancelled && at >= 0 {
		q.lingering = slices.Delete(q.lingering, at, at+1)
		q.unused()
	}
	if !c.quiescing {
		return
	}
	c.quiescing = false
	if q.active == c {
		q.active = nil
	}
}

// activatesAfter says whether the queue sees to its single active consumer when
// something was settled. 4.0 does not when something came back: if that was the
// last, the queue has no active consumer until something else happens.
func (q *queue) activatesAfter(op settleOp) bool {
	v := q.version()
	return q.kind == quorum && (op.kind != settleRequeue || !v.atLeast40() || v.atLeast43())
}

// takeBack counts the delivery as no longer out. released tells that it timed
// out before.
func (d *delivery) takeBack() (released bool) {
	q, c := d.entry.queue, d.consumer
	if d.released {
		if c != nil {
			c.late--
			if c.late == 0 && !q.opts.singleActive && !q.deleted {
				c.enlist()
			}
		}
		return true
	}
	q.unacked--
	if c == nil {
		q.getsOut--
		if q.quorum43() {
			q.gets.remove(d)
		}
		return false
	}
	c.unacked--
	c.ch.outstanding--
	c.out.remove(d)
	return false
}

// holderKey is what RabbitMQ knows the holder of a delivery by, where it sorts
// them: the consumer's tag, or basic.get's delivery tag in decimal.
func (d *delivery) holderKey() string {
	if d.consumer != nil {
		return d.consumer.tag
	}
	return strconv.FormatUint(d.tag, 10)
}
