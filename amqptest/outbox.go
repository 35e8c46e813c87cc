package amqptest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

const (
	// outboxLimit is how many octets may wait for a client before queues stop
	// delivering to it.
	outboxLimit = 1 << 20
	// outboxFar is how many may wait before nothing more is read from it:
	// returns and confirms have no other bound.
	outboxFar = 4 << 20
	// outboxKeep is the largest buffer that is kept for later.
	outboxKeep = 256 << 10
	// outboxEarly is how many octets are worth writing before the work in
	// hand is done.
	outboxEarly = 64 << 10
	// lingerTimeout bounds the last write of a connection that ends.
	lingerTimeout = time.Second
)

// outbox holds frames until the writer goroutine has written them.
type outbox struct {
	mu     sync.Mutex
	frames []byte // guarded by mu
	over   bool   // guarded by mu: write what is there, then close the socket
	// pending counts the octets in frames and in the writer's hands.
	pending atomic.Int64
	// full is set by a queue that would not deliver: see conn.writable.
	full atomic.Bool
	wake chan struct{} // of capacity 1
}

func (o *outbox) signal() { poke(o.wake) }

// finish has the writer write what is there, and end.
func (o *outbox) finish() {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	o.signal()
}

// take gives the writer all frames, and an empty buffer to those who send.
func (o *outbox) take(empty []byte) (frames []byte, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames, o.frames = o.frames, empty
	return frames, o.over
}

// writable tells whether queues may deliver to this connection. Once it was
// false, the queues of its consumers are woken when there is room again.
func (c *conn) writable() bool {
	if c.gone {
		return false
	}
	o := &c.out
	if o.pending.Load() < outboxLimit {
		return true
	}
	o.full.Store(true)
	// The writer may have looked at full just before.
	if o.pending.Load() < outboxLimit {
		o.full.Store(false)
		return true
	}
	return false
}

// write is the writer goroutine. It ends when the connection is over and all
// is written, or when the socket fails; it closes the socket.
func (c *conn) write() {
	defer c.lost()
	pulse := pulse{negotiated: c.beats}
	defer pulse.stop()
	var spare []byte
	for {
		frames, over := c.out.take(spare[:0])
		if len(frames) > 0 {
			if !c.writeOut(frames, over) {
				return
			}
			pulse.sent = true
			spare = frames
			if cap(spare) > outboxKeep {
				spare = nil
			}
			continue
		}
		spare = frames
		if over {
			return
		}
		select {
		case <-c.out.wake:
		case every := <-pulse.negotiated:
			pulse.start(every)
		case <-pulse.tick():
			if !pulse.sent && !c.beat() {
				return
			}
			pulse.sent = false
		}
	}
}

// lost ends the connection: the socket failed, or all is written.
func (c *conn) lost() {
	_ = c.socket.Close()
	b := c.broker
	b.lock()
	defer b.unlock()
	c.end()
}

// writeOut writes frames; false: the socket failed.
func (c *conn) writeOut(frames []byte, over bool) bool {
	if over {
		_ = c.socket.SetWriteDeadline(time.Now().Add(lingerTimeout))
	}
	n, err := c.socket.Write(frames)
	c.stats.sent.Add(uint64(max(n, 0)))
	if err != nil {
		return false
	}
	left := c.out.pending.Add(-int64(len(frames)))
	c.wakeReader()
	if left < outboxLimit/2 && c.out.full.Load() {
		c.wakeQueues()
	}
	return true
}

// wakeQueues has the queues of this connection's consumers deliver again.
func (c *conn) wakeQueues() {
	b := c.broker
	b.lock()
	defer b.unlock()
	c.out.full.Store(false)
	for _, ch := range c.channelsInOrder() {
		for _, cons := range ch.consumersInOrder() {
			cons.queue.wake()
		}
	}
}

// poke sends to a channel of capacity 1 unless it is full.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *conn) wakeReader() { poke(c.resume) }

// beat writes a heartbeat.
func (c *conn) beat() bool {
	n, err := c.socket.Write(wire.AppendHeartbeat(nil))
	c.stats.sent.Add(uint64(max(n, 0)))
	return err == nil
}
