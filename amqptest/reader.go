package amqptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

const (
	// handshakeTimeout is how long a client may take until connection.open.
	handshakeTimeout = 10 * time.Second
	// batchLimit is how many frames of one client are done before others get
	// their turn.
	batchLimit = 256
)

// errOver ends the reader of a connection that is over.
var errOver = errors.New("amqptest: the connection is over")

// errOutOfStep ends the reader of a connection whose frames cannot be told
// apart any more. The client was told.
var errOutOfStep = errors.New("amqptest: out of step with the client's frames")

// refusalTimeout is how long a client may take to read why its connection
// ends.
const refusalTimeout = 3 * time.Second

// linger reads on after a connection.close, where there is no state in which
// its answer is taken: or the socket would be reset under what was sent last.
func (c *conn) linger(err error) {
	_ = c.socket.SetReadDeadline(time.Now().Add(refusalTimeout))
	switch {
	case errors.Is(err, errOutOfStep):
		_, _ = io.Copy(io.Discard, c.socket)
	case c.told403:
		_, _ = c.in.Read()
	}
}

// serve is the reader goroutine: it reads frames and does what they say until
// the socket or the connection ends.
func (c *conn) serve() {
	err := c.converse()
	b := c.broker
	b.lock()
	defer b.unlock()
	if !c.gone && !errors.Is(err, errOver) && !errors.Is(err, errOutOfStep) && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.log().Warn("closing AMQP connection", "state", c.state.String(), "error", err)
	}
	c.end()
}

func (c *conn) converse() error {
	c.readTimeout.handshake(handshakeTimeout)
	if err := c.pause(); err != nil {
		return err
	}
	if err := c.greet(); err != nil {
		return err
	}
	for {
		if err := c.pause(); err != nil {
			return err
		}
		f, err := c.in.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return c.silence()
		}
		if err == nil && c.stall.wait() != nil {
			if err := c.pause(); err != nil { // the fault came while nothing was there to be read
				return err
			}
		}
		if err := c.batch(f, err); err != nil {
			c.linger(err)
			return err
		}
	}
}

// silence is the error of a client that was silent for too long.
func (c *conn) silence() error {
	if c.readTimeout.interval > 0 {
		return fmt.Errorf("missed heartbeats from client, timeout: %s", c.readTimeout.interval)
	}
	return errors.New("handshake_timeout")
}

// Protocol headers.
var (
	header091 = [8]byte{'A', 'M', 'Q', 'P', 0, 0, 9, 1}
	// AMQP 0-8 is greeted by 3.10; its methods are taken for those of 0-9-1.
	header08    = [8]byte{'A', 'M', 'Q', 'P', 1, 1, 8, 0}
	header08Too = [8]byte{'A', 'M', 'Q', 'P', 1, 1, 9, 1}
	header09    = [8]byte{'A', 'M', 'Q', 'P', 1, 1, 0, 9}
	headerSASL  = [8]byte{'A', 'M', 'Q', 'P', 3, 1, 0, 0}
)

// greet reads the protocol header and answers it, with connection.start or,
// where the version is another, with the header of one that would do.
func (c *conn) greet() error {
	if t, ok := c.socket.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	h, err := c.in.ProtocolHeader()
	if err != nil {
		return fmt.Errorf("reading the protocol header: %w", err)
	}
	b := c.broker
	b.lock()
	defer b.unlock()
	if c.gone {
		return errOver
	}
	switch {
	case h == header091 || h == header09:
		c.start(0, 9)
		return nil
	case (h == header08 || h == header08Too) && !b.cfg.Version.atLeast40():
		c.start(8, 0)
		return nil
	default:
		c.refuseVersion(b.cfg.Version.offeredHeader(h))
		return fmt.Errorf("bad protocol header %q", h[:])
	}
}

// offeredHeader is what a client with the protocol header h is answered.
func (v Version) offeredHeader(h [8]byte) [8]byte {
	isAMQP := string(h[:4]) == "AMQP"
	if !v.atLeast40() || h == headerSASL {
		return header091
	}
	if isAMQP && h[4] == 0 && h[5] == 0 && h[6] >= 9 {
		return header091
	}
	return headerSASL
}

// refuseVersion sends a protocol header instead of a frame.
func (c *conn) refuseVersion(h [8]byte) {
	o := &c.out
	o.mu.Lock()
	o.frames = append(o.frames, h[:]...)
	o.pending.Add(int64(len(h)))
	o.mu.Unlock()
	c.mark()
}

// pause waits while nothing is to be read from the client: during an alarm, if
// it publishes, and while too much waits to be written to it.
func (c *conn) pause() error {
	for paused := false; ; paused = true {
		stall := c.stall.wait()
		if !c.held() {
			if paused {
				c.readTimeout.paused()
			}
			return nil
		}
		select {
		case <-c.done:
			return errOver
		case <-stall:
		case <-c.resume:
		}
	}
}

// held says whether nothing is to be read from the client for now.
func (c *conn) held() bool {
	return c.blocked.Load() || c.stall.wait() != nil || c.out.pending.Load() >= outboxFar
}

// batch does what a frame says and, as long as whole frames are there already,
// what those do.
func (c *conn) batch(f wire.Frame, err error) error {
	b := c.broker
	b.lock()
	defer b.unlock()
	for n := 0; ; n++ {
		if c.gone {
			return errOver
		}
		if err := c.take(f, err); err != nil {
			return err
		}
		b.work()
		if n >= batchLimit || c.gone || c.held() || !c.in.Buffered() {
			return nil
		}
		f, err = c.in.Read()
	}
}

// take does what one frame says, or answers what could not be read. It returns
// an error when nothing more is to be read.
func (c *conn) take(f wire.Frame, err error) error {
	c.stats.receivedCount.Add(1)
	if err == nil {
		e := c.frame(f)
		if e == nil {
			return nil
		}
		err = e
	}
	var broken *wire.Error
	if errors.As(err, &broken) {
		if broken.Drop {
			return broken
		}
		if err := c.except(wireError(broken)); err != nil {
			return err
		}
		if broken.Fatal {
			return errOutOfStep
		}
		return nil
	}
	var e *amqpError
	if errors.As(err, &e) {
		return c.except(e)
	}
	return err
}

// except answers a hard error as RabbitMQ does in the state that the
// connection is in. An error: the socket is closed without a word.
func (c *conn) except(e *amqpError) error {
	if e.drop && c.state != stateClosed {
		c.traceClosed("broker", e.code, e.text)
		return e
	}
	switch c.state {
	case stateClosed:
		return nil
	case stateOpening, stateRunning:
		c.fail(e)
		return nil
	case stateTuning:
		if e.code == codeNotAllowed {
			c.fail(e)
			return nil
		}
	}
	c.traceClosed("broker", e.code, e.text)
	return e
}

// frame does what a frame says. The error is a hard one.
func (c *conn) frame(f wire.Frame) error {
	if c.state == stateClosed && (f.Channel != 0 || f.Type != wire.FrameMethod) {
		return nil
	}
	if f.Channel == 0 {
		switch f.Type {
		case wire.FrameHeartbeat:
			return nil
		case wire.FrameMethod:
			return c.method0(f.Payload)
		default:
			return wire.NewUnexpectedFrame(f)
		}
	}
	if c.state != stateRunning || f.Type == wire.FrameHeartbeat {
		return wire.NewUnexpectedFrame(f)
	}
	ch := c.channels[f.Channel]
	if ch == nil {
		if c.channelMax != 0 && len(c.channels) >= int(c.channelMax) {
			return hardError(codeNotAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)",
				len(c.channels), c.channelMax)
		}
		ch = &channel{conn: c, id: f.Channel, consumers: make(map[string]*consumer)}
		c.channels[f.Channel] = ch
	}
	return ch.frame(f)
}
