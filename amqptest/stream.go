package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// streamReader is where a consumer of a stream is. What it was sent and has not
// settled is counted in consumer.unacked, against its prefetch.
type streamReader struct {
	next   uint64 // offset of the next message to look at
	filter *streamFilter
	// granted is credit beyond the prefetch: that of an earlier consumer of the
	// same tag, whose deliveries were settled after it was cancelled.
	granted int
}

// hasCredit says whether the consumer may be sent one more.
func (r *streamReader) hasCredit(c *consumer) bool {
	return !c.cancelled && c.unacked < c.prefetch+r.granted
}

// appendStream puts a message at the end of the stream. accepted is false for a
// message that a stream cannot hold: one with a decimal among its headers, at
// which RabbitMQ's channel process crashes.
func (q *queue) appendStream(m *message) (accepted bool) {
	kept, ok := streamMessage(q.version(), m)
	if !ok {
		return false
	}
	q.log.append(q.now(), kept, int64(len(kept.body)+len(kept.header)))
	q.stats.published++
	q.wake()
	return true
}

// attachStream checks a new consumer and has it read from where its arguments
// say. The consumer is not among the queue's yet.
func (q *queue) attachStream(c *consumer, args wire.Table) *amqpError {
	next, err := q.streamStart(args)
	if err != nil {
		return err
	}
	v := q.version()
	switch {
	case c.prefetch == 0 && !v.atLeast40():
		return softError(codePreconditionFailed, "consumer prefetch count is not set for '%s'", q.resource())
	case c.prefetch == 0:
		return softError(codePreconditionFailed, "consumer prefetch count is not set for stream %s", q.resource())
	case c.noAck && !v.atLeast40():
		return hardError(codeNotImplemented, "automatic acknowledgement not supported by stream queues %s", q.resource())
	case c.noAck:
		return hardError(codeNotImplemented, "automatic acknowledgement not supported by stream %s", q.resource())
	case c.ch.limit > 0 && !v.atLeast43():
		return hardError(codeNotImplemented, "%s does not support global qos", q.resource())
	}
	r := &streamReader{next: next}
	if v.atLeast40() {
		r.filter = newStreamFilter(args)
	}
	q.log.readers[c] = r
	c.offset = next
	q.wake()
	return nil
}

// detachStream forgets a consumer that was cancelled, or whose channel ended.
func (q *queue) detachStream(c *consumer) { delete(q.log.readers, c) }

// deliverStream sends each consumer what it may still be sent.
func (q *queue) deliverStream() {
	for _, c := range slices.Clone(q.consumers) {
		if r := q.log.readers[c]; r != nil {
			q.readStream(c, r)
		}
	}
}

func (q *queue) readStream(c *consumer, r *streamReader) {
	r.next = max(r.next, q.log.first()) // what retention took is passed over
	for r.hasCredit(c) && c.ch.conn.writable() {
		one, ok := q.log.at(r.next)
		if !ok {
			break
		}
		if r.filter.wants(one.message) {
			e := &entry{
				msg: withOffset(q.version(), one.message, r.next), queue: q, seq: r.next + 1, arrived: one.at,
			}
			q.serveStream(c, e)
		}
		r.next++
	}
	c.offset = r.next
}

// serveStream sends one message to a consumer.
func (q *queue) serveStream(c *consumer, e *entry) {
	ch := c.ch
	ch.nextTag++
	ch.conn.sendContent(ch.id, q.deliverMethod(c, e), e.header(false), e.msg.body)
	if q.broker().tracer.on {
		q.trace(Event{Kind: EventDelivered, Consumer: c.tag, Tag: ch.nextTag}, ch, e)
	}
	q.stats.delivered++
	ch.counts.deliver++
	c.unacked++
	ch.outstanding++
	q.hold(ch, c, e)
	if q.broker().faults.on {
		q.broker().faultDelivered(ch, e)
	}
}

// settleStream is called when a delivery is settled, however: the consumer may
// be sent one more. RabbitMQ knows it by its tag only.
func (q *queue) settleStream(d *delivery) {
	if c := d.consumer; c != nil && c.cancelled {
		if r := q.log.readers[c.ch.consumers[c.tag]]; r != nil {
			r.granted++
		}
	}
	q.wake()
}
