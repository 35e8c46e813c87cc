package amqptest

import (
	"cmp"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// queueKind is a queue's x-queue-type.
type queueKind string

const (
	classic queueKind = "classic"
	quorum  queueKind = "quorum"
	stream  queueKind = "stream"
)

// queue is one queue of any type. A stream keeps its messages in log, the
// others in ready.
type queue struct {
	vhost               *vhost
	name                string
	kind                queueKind
	durable, autoDelete bool
	owner               *conn // of an exclusive queue, else nil
	args                wire.Table
	opts                queueOptions
	// into are the bindings that lead here, in the order they were made.
	into []*binding
	// routed is the number of the route that came here last.
	routed uint64

	ready   readyList
	delayed delayedSet // 4.3: given back, and not yet ready again
	unacked int        // entries that are out at consumers
	nextSeq uint64
	// limit is how often a message may come back; see deliveryLimit.
	limit deliveryLimit

	consumers []*consumer
	nextAge   uint64 // of consumers
	// lingering are consumers of a quorum queue that were cancelled with
	// deliveries unacked.
	lingering []*consumer
	// service are the consumers that may have something, in the order in which
	// they get it.
	service consumerQueue
	// stalled are those that were passed over because their connections had
	// too much to write, or because of the limits of their channels.
	stalled []*consumer
	// gets are what basic.get fetched and was not yet acked; kept where the
	// queue watches the time they take. getsOut counts them everywhere.
	gets    holding
	getsOut int
	// hadConsumer: an auto-delete queue goes with its last consumer, not before its first.
	hadConsumer bool
	exclusive   *consumer // who consumes exclusively
	active      *consumer // of a single-active-consumer queue

	created  time.Time
	started  time.Time // it was created, or the broker was restarted
	lastUsed time.Time // for x-expires
	expiry   *timer    // x-expires
	ttl      *timer    // of what falls due next; it may be too early
	timeout  *timer    // 4.3: of the delivery that times out next; it may be too early
	// scheduled: deliver is deferred already.
	scheduled bool
	// refusing: a quorum queue with reject-publish is over its bound, or was
	// and has not yet gone below four fifths of it.
	refusing bool
	deleted  bool
	work     func() // deliver, made once

	dead *deadLetterWorker // at-least-once dead-lettering; nil: none
	log  *streamLog        // of a stream; else nil

	stats queueStats
}

// queueOptions are a queue's arguments, read and checked.
type queueOptions struct {
	ttl             time.Duration // x-message-ttl
	hasTTL          bool
	expires         time.Duration // x-expires; 0: none
	dlx             string        // x-dead-letter-exchange
	hasDLX          bool
	dlk             string // x-dead-letter-routing-key
	hasDLK          bool
	atLeastOnce     bool   // x-dead-letter-strategy, as effective (needs reject-publish)
	maxLength       int64  // x-max-length; -1: none
	maxBytes        int64  // x-max-length-bytes; -1: none
	overflow        string // drop-head, reject-publish or reject-publish-dlx, as effective
	deliveryLimit   int64  // as effective; -1: none
	maxPriority     int    // x-max-priority; 0: none
	singleActive    bool
	consumerTimeout time.Duration // x-consumer-timeout (4.3); 0: the broker's
	// 4.3's x-delayed-retry-type ("", all, failed, returned), -min and -max
	delayedRetry                     string
	delayedRetryMin, delayedRetryMax time.Duration
	// streams
	maxAge       time.Duration
	segmentBytes int64
}

// Values of x-overflow.
const (
	dropHead         = "drop-head"
	rejectPublish    = "reject-publish"
	rejectPublishDLX = "reject-publish-dlx"
)

// queueStats counts since the queue was declared, as the management API's
// message_stats do.
type queueStats struct {
	published, delivered, deliveredNoAck, got, gotNoAck, gotEmpty, acked, redelivered, dropped uint64
}

// Reasons of dead letters.
const (
	reasonExpired       = "expired"
	reasonRejected      = "rejected"
	reasonMaxLen        = "maxlen"
	reasonDeliveryLimit = "delivery_limit"
)

// newQueue makes a queue; the caller puts it into the virtual host.
func newQueue(vh *vhost, name string, kind queueKind, durable, autoDelete bool, owner *conn, args wire.Table, opts queueOptions) *queue {
	q := &queue{
		vhost: vh, name: name, kind: kind, durable: durable, autoDelete: autoDelete,
		owner: owner, args: args, opts: opts,
	}
	v := q.version()
	q.ready = newReadyList(v, kind, opts.maxPriority)
	q.delayed = newDelayedSet()
	q.limit = newDeliveryLimit(q)
	q.created = q.now()
	q.started, q.lastUsed = q.created, q.created
	q.work = q.deliver
	if kind == stream {
		q.log = newStreamLog(opts)
	}
	q.watchExpiry()
	return q
}

func (q *queue) broker() *Broker  { return q.vhost.broker }
func (q *queue) version() Version { return q.vhost.broker.cfg.Version }
func (q *queue) now() time.Time   { return q.vhost.broker.clock.now() }

// quorum43 says whether this is a quorum queue as 4.3 has them.
func (q *queue) quorum43() bool { return q.kind == quorum && q.version().atLeast43() }

// len is how many messages are ready, as queue.declare-ok tells it.
func (q *queue) len() int {
	if q.log != nil {
		return q.log.len()
	}
	return q.ready.len()
}

// consumerCount is the number of consumers that queue.declare-ok tells. A
// quorum queue leaves out those that wait for a single active one to go, and
// counts cancelled ones that still hold deliveries, and each unsettled
// basic.get. A stream tells none.
func (q *queue) consumerCount() int {
	switch {
	case q.kind == stream:
		return 0
	case q.kind != quorum:
		return len(q.consumers)
	case !q.opts.singleActive:
		return len(q.consumers) + len(q.lingering) + q.getsOut
	case q.active != nil:
		return 1 + len(q.lingering)
	default:
		return len(q.lingering)
	}
}

// deliverScheduled delivers now what would be delivered soon.
func (q *queue) deliverScheduled() {
	if q.scheduled {
		q.deliver()
	}
}

// wake has the queue deliver, soon and once, what it can.
func (q *queue) wake() {
	if q.scheduled || q.deleted {
		return
	}
	q.scheduled = true
	q.broker().later(q.work)
}

// enqueue puts a message into the queue. accepted is false if the queue's
// bound refuses it; then the publisher is to be nacked.
func (q *queue) enqueue(m *message) (accepted bool) {
	switch {
	case q.deleted:
		return true
	case q.log != nil:
		return q.appendStream(m)
	case q.refuses(m):
		q.refused(m)
		return false
	}
	q.store(m)
	return true
}

// enqueueUntracked is enqueue for what nobody waits to hear of, as dead letters
// of at-most-once: a quorum queue never refuses it.
func (q *queue) enqueueUntracked(m *message) (accepted bool) {
	if q.kind == quorum && !q.deleted {
		q.store(m)
		return true
	}
	return q.enqueue(m)
}

func (q *queue) store(m *message) {
	e := q.newEntry(m)
	if e.redelivered && q.kind == classic && q.takenAtOnce() {
		e.redelivered = false
	}
	q.ready.push(e)
	q.stats.published++
	q.wake()
	if !e.expires.IsZero() && q.kind == classic && !e.expires.After(e.arrived) {
		// A time to live of 0 is a message for consumers that are ready now:
		// the next one must not be at hand by then.
		q.deliver()
	}
}

func (q *queue) newEntry(m *message) *entry {
	q.nextSeq++
	e := &entry{msg: m, queue: q, seq: q.nextSeq, arrived: q.now(), deliveries: m.deliveries}
	e.bytes = q.sizeOf(m)
	e.priority = q.priorityOf(m)
	e.expires = q.expiresAt(m, e.arrived)
	switch {
	case m.deliveries == 0:
	case q.kind == quorum:
		e.redelivered = q.version().atLeast40()
	default:
		e.redelivered = q.version().atLeast43()
	}
	e.failed = q.limit.counted(e)
	return e
}

// sizeOf is what max-length-bytes counts: the body, and in 4.3's quorum queues
// the properties too.
func (q *queue) sizeOf(m *message) int64 {
	n := len(m.body)
	if q.quorum43() {
		n += m.metaSize()
	}
	return int64(n)
}

// priorityOf is a message's priority in this queue.
func (q *queue) priorityOf(m *message) uint8 {
	has := m.props.Has(wire.FlagPriority)
	switch {
	case q.kind == quorum && !has:
		return quorumDefaultPriority
	case q.kind == quorum:
		return min(m.props.Priority, quorumMaxPriority)
	case !has:
		return 0
	default:
		return uint8(min(int(m.props.Priority), q.opts.maxPriority))
	}
}

// purge drops what is ready and tells how many that were. What is out at
// consumers stays.
func (q *queue) purge() int {
	n := q.ready.clear() + q.delayed.clear()
	if q.quorum43() {
		n += q.dead.purge()
	}
	q.checkBounds()
	return n
}

// shut ends the queue: consumers are told, messages dropped, timers stopped.
// What is out at consumers may be acked later, to no effect. The caller has
// taken the queue out of the virtual host.
func (q *queue) shut() {
	if q.deleted {
		return
	}
	q.deleted = true
	slices.SortStableFunc(q.consumers, func(a, b *consumer) int {
		return cmp.Or(cmp.Compare(a.ch.conn.id, b.ch.conn.id), cmp.Compare(a.ch.id, b.ch.id), cmp.Compare(a.tag, b.tag))
	})
	for _, c := range q.consumers {
		q.cancelByBroker(c)
	}
	q.consumers, q.lingering, q.stalled = nil, nil, nil
	q.service = consumerQueue{}
	q.active, q.exclusive = nil, nil
	q.ready.clear()
	q.delayed.clear()
	q.dead.stop()
	for _, t := range []*timer{q.expiry, q.ttl, q.timeout} {
		t.stop()
	}
}

// restart is what a restart of the broker does to a durable queue: classic
// ones lose what is not persistent. Connections were closed before.
func (q *queue) restart() {
	q.dead.restart()
	q.restartExpiry()
	if q.kind != classic {
		return
	}
	var kept []*entry
	q.ready.each(func(e *entry) bool {
		if e.msg.props.DeliveryMode == persistent {
			kept = append(kept, e)
		}
		return true
	})
	q.ready.clear()
	for _, e := range kept {
		q.ready.giveBack(e)
	}
}

const persistent = 2 // of the property delivery-mode
