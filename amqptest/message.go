package amqptest

import (
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// message is what was published, or what dead-lettering made of it. It is
// shared by the queues it was routed to, and never changed.
type message struct {
	exchange string
	key      string   // the routing key
	extra    []string // further routing keys: CC and BCC
	props    wire.Properties
	// header is props as encoded by the publisher; nil: encode props.
	header []byte
	body   []byte
	// meta is how long the publisher's properties are, encoded; 0: header
	// tells. Unlike header, it is without what dead-lettering added.
	meta int
	// deaths is the history that x-death in props.Headers tells (4.0 and
	// later; 3.10 goes by the header alone).
	deaths []death
	// deliveries is what a dead letter brings along: how many deliveries failed
	// in the queues that it died in, as RabbitMQ's delivery_count (4.0 and
	// later; 0 on 3.10).
	deliveries int64
	// bcc are the keys among key and extra that came from BCC: x-death does
	// not name them (4.0 and later).
	bcc []string
}

// entry is one message in one queue.
type entry struct {
	msg      *message
	queue    *queue
	seq      uint64 // place in the queue: order of arrival
	priority uint8  // effective in this queue
	arrived  time.Time
	expires  time.Time // zero: never
	// redelivered is basic.deliver's field.
	redelivered bool
	// deliveries is x-delivery-count, acquired x-acquired-count; failed counts
	// what the delivery limit counts. Which one moves when depends on type
	// and version.
	deliveries, acquired, failed int64
	// bytes is size: the body, and in 4.3's quorum queues the properties too.
	bytes int64
	// ready is when a delayed retry ends (4.3); zero: it is not delayed.
	ready time.Time
}

// metaSize is how much max-length-bytes counts for the properties, where it
// counts them.
func (m *message) metaSize() int {
	if m.meta > 0 {
		return m.meta
	}
	return len(m.encoded())
}

// size is what max-length-bytes counts.
func (e *entry) size() int64 { return e.bytes }
