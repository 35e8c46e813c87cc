package amqptest

import (
	"fmt"
	"sync"
	"time"
)

// Broker is a RabbitMQ in this process, in memory. Make it with [New] or
// [Start]; its methods may be called concurrently.
type Broker struct {
	cfg Config

	// mu guards all that follows and all state of virtual hosts, exchanges,
	// queues, channels and consumers. What the broker does is done under it,
	// one method of a client at a time; only reading from and writing to
	// sockets happens outside.
	mu     sync.Mutex
	clock  *clock
	vhosts map[string]*vhost
	conns  map[uint64]*conn              // by id
	nextID uint64                        // of connections
	grants map[string]map[string]*grants // by user and virtual host; none: every right
	alarms map[string]bool               // resource (memory, disk) in alarm
	// alarmEnds are the ends of alarms that end by themselves, by resource.
	alarmEnds map[string]*timer
	faults    faults
	tracer    tracer
	closed    bool
	net       listeners
	mgmt      management

	// deferred is work that RabbitMQ's processes would do on their own soon
	// after: deliveries of queues that have something new, dead letters under
	// way. It is done, first in, first out, before mu is released.
	deferred []func()
	working  bool

	// replies are the consumers of direct reply-to by routing key.
	replies   map[string]*replyConsumer
	nextReply uint64
	// dirty are the connections whose writers are to be told that there is
	// something to write.
	dirty []*conn
	// running are the goroutines of connections and listeners.
	running sync.WaitGroup
}

func (b *Broker) lock() { b.mu.Lock() }

// unlock does what was deferred, then releases the broker.
func (b *Broker) unlock() {
	b.work()
	b.flush()
	b.mu.Unlock()
}

// flush sends what confirms there are, and wakes the writers.
func (b *Broker) flush() {
	for i := 0; i < len(b.dirty); i++ {
		c := b.dirty[i]
		b.dirty[i] = nil
		c.sendConfirms()
		c.dirty = false
		c.out.signal()
	}
	b.dirty = b.dirty[:0]
}

// later defers work to the end of the method in hand.
func (b *Broker) later(do func()) { b.deferred = append(b.deferred, do) }

// work does what was deferred until nothing is left.
func (b *Broker) work() {
	if b.working {
		return
	}
	b.working = true
	for i := 0; i < len(b.deferred); i++ {
		do := b.deferred[i]
		b.deferred[i] = nil
		do()
	}
	b.deferred = b.deferred[:0]
	b.working = false
}

// Now is the broker's time.
func (b *Broker) Now() time.Time {
	b.lock()
	defer b.unlock()
	return b.clock.now()
}

// Advance moves the broker's time by d: messages and queues expire, delays
// end, timeouts happen, each at its own moment and in their order, before
// Advance returns. What the broker then sends to clients may still be under
// way to them. Heartbeats do not follow this time but the machine's.
//
// Time does not go back: a negative d changes nothing, is logged as an error,
// and ends the test of a broker of New.
func (b *Broker) Advance(d time.Duration) {
	b.lock()
	defer b.unlock()
	if d < 0 {
		b.misused(fmt.Errorf("amqptest: Advance(%s): time does not go back: give 0 or more", d))
		return
	}
	if b.tracer.on {
		b.trace(Event{Kind: EventAdvanced, Text: d.String()})
	}
	b.clock.advance(d)
}

// misused logs the error of a method that returns none, and ends the test of a
// broker of New. That test is over once the broker is closed.
func (b *Broker) misused(err error) {
	b.cfg.Logger.Error("misused", "error", err)
	if b.net.fail != nil && !b.closed {
		b.net.fail("%v", err)
	}
}
