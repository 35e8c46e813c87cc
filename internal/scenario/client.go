package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// event is one thing that the broker said on a channel: a method, with content where it has some, or the end.
type event struct {
	method     wire.Method // nil: text alone
	properties wire.Properties
	body       []byte
	text       string // of what is no method
	size       uint64 // body size as the header has it
}

// ended is the text of the event of a connection that the broker dropped.
const ended = "(end of the connection)"

// conn is a connection to the broker: a goroutine reads all that comes into a queue for each channel. Nothing is
// answered by itself: the player does it when it takes an event, so that the broker's view of time is the script's.
type conn struct {
	name string
	net  net.Conn
	done chan struct{} // the reader has ended

	mu       sync.Mutex
	queues   map[uint16][]event
	changed  chan struct{} // closed, and made anew, at each event
	last     time.Time     // of the last event
	frameMax uint32

	pause   func(context.Context, <-chan struct{}, time.Duration) error
	raw     bool // of dial: frames are shown, not understood
	partial map[uint16]*event
	closed  bool // the player's: the connection is over
}

func newConn(name string, nc net.Conn, t Target) *conn {
	c := &conn{
		name: name, net: nc, done: make(chan struct{}), queues: map[uint16][]event{}, changed: make(chan struct{}),
		last: time.Now(), pause: t.pause, frameMax: 131072, partial: map[uint16]*event{},
	}
	return c
}

func (c *conn) start() { go c.read() }

// close ends the connection without a word and waits for its reader.
func (c *conn) close() {
	_ = c.net.Close()
	<-c.done
}

func (c *conn) write(ctx context.Context, data []byte) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(30 * time.Second)
	}
	_ = c.net.SetWriteDeadline(deadline)
	_, err := c.net.Write(data)
	return err
}

func (c *conn) put(channel uint16, e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queues[channel] = append(c.queues[channel], e)
	c.last = time.Now()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conn) read() {
	defer close(c.done)
	err := c.readAll()
	text := ended
	var bad *wire.Error
	if errors.As(err, &bad) {
		text = fmt.Sprintf("(bad frame from the broker: %v)", err)
	}
	c.put(0, event{text: text})
}

func (c *conn) readAll() error {
	buffered := bufio.NewReader(c.net)
	start, err := buffered.Peek(4)
	if err != nil {
		return err
	}
	if string(start) == "AMQP" {
		var header [8]byte
		if _, err := io.ReadFull(buffered, header[:]); err != nil {
			return err
		}
		c.put(0, event{text: fmt.Sprintf("protocol header %q", header[:])})
	}
	r := wire.NewReader(buffered)
	r.SetLimit(1 << 24)
	for {
		f, err := r.Read()
		if err != nil {
			return err
		}
		if err := c.frame(f); err != nil {
			return err
		}
	}
}

func (c *conn) frame(f wire.Frame) error {
	switch f.Type {
	case wire.FrameMethod:
		m, err := wire.DecodeMethod(slices.Clone(f.Payload))
		if err != nil {
			return err
		}
		if hasContent(m) {
			c.partial[f.Channel] = &event{method: m}
			return nil
		}
		c.put(f.Channel, event{method: m})
	case wire.FrameHeader:
		return c.header(f)
	case wire.FrameBody:
		e := c.partial[f.Channel]
		if e == nil {
			c.put(f.Channel, event{text: "(a body frame out of place)"})
			return nil
		}
		e.body = append(e.body, f.Payload...)
		c.finish(f.Channel)
	case wire.FrameHeartbeat:
	default:
		c.put(f.Channel, event{text: fmt.Sprintf("(a frame of type %d)", f.Type)})
	}
	return nil
}

func (c *conn) header(f wire.Frame) error {
	e := c.partial[f.Channel]
	if e == nil {
		c.put(f.Channel, event{text: "(a header frame out of place)"})
		return nil
	}
	_, size, properties, err := wire.DecodeHeader(slices.Clone(f.Payload))
	if err != nil {
		return err
	}
	e.size = size
	if e.properties, err = wire.DecodeProperties(properties); err != nil {
		return err
	}
	c.finish(f.Channel)
	return nil
}

// finish hands a message over when its body is complete.
func (c *conn) finish(channel uint16) {
	if e := c.partial[channel]; uint64(len(e.body)) >= e.size {
		delete(c.partial, channel)
		c.put(channel, *e)
	}
}

func hasContent(m wire.Method) bool {
	switch m.(type) {
	case *wire.BasicDeliver, *wire.BasicReturn, *wire.BasicGetOk:
		return true
	}
	return false
}

// next takes the next event of the channel or, when there is none, of the connection. It waits until limit.
func (c *conn) next(ctx context.Context, channel uint16) (on uint16, e event, err error) {
	for {
		c.mu.Lock()
		for _, ch := range []uint16{channel, 0} {
			if q := c.queues[ch]; len(q) > 0 {
				c.queues[ch] = q[1:]
				c.mu.Unlock()
				return ch, q[0], nil
			}
		}
		changed := c.changed
		c.mu.Unlock()
		if err := c.pause(ctx, changed, time.Second); err != nil {
			return 0, event{}, err
		}
	}
}

// pending takes all events that have come, by channel.
func (c *conn) pending() map[uint16][]event {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.queues
	c.queues = map[uint16][]event{}
	return all
}

func (c *conn) lastEvent() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
