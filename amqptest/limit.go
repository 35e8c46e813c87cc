package amqptest

import "github.com/hareline/hareline/internal/wire"

// deliveryLimit is how often a message may come back to a quorum queue before
// it leaves dead. What counts as coming back differs:
//
//   - 3.10 counts every time;
//   - 4.0, too, but anew in each queue, while x-delivery-count goes along
//     through dead-letter queues;
//   - 4.3 counts what failed: basic.reject, and channels that end, but not
//     basic.nack.
type deliveryLimit struct {
	has     bool
	most    int64
	version Version
}

func newDeliveryLimit(q *queue) deliveryLimit {
	l := deliveryLimit{has: q.kind == quorum && q.opts.deliveryLimit >= 0, most: q.opts.deliveryLimit, version: q.version()}
	if q.kind == quorum && !l.version.atLeast40() {
		// 3.10 knows no "none": with a negative limit, the first return is
		// one too many.
		if v, ok := q.args.Get("x-delivery-limit"); ok {
			l.most, l.has = wire.Int(v)
		}
	}
	return l
}

// counted is how much of the limit the entry has used up.
func (l deliveryLimit) counted(e *entry) int64 {
	if l.version.atLeast40() && !l.version.atLeast43() {
		return e.acquired
	}
	return e.deliveries
}

// reached says whether the entry came back once too often.
func (l deliveryLimit) reached(e *entry) bool { return l.has && e.failed > l.most }

// cameBack counts that an entry was out and was not acked; failed says whether
// its delivery counts as failed.
func (q *queue) cameBack(e *entry, failed bool) {
	v := q.version()
	switch {
	case q.kind == classic:
		if failed && v.atLeast43() {
			e.deliveries++
		}
	case !v.atLeast40():
		e.deliveries++
	default:
		e.acquired++
		if failed {
			e.deliveries++
		}
	}
	e.failed = q.limit.counted(e)
}
