package amqptest

import (
	"io"
	"net"
	"time"
)

// pulse tells the writer when to send a heartbeat: each half interval in which
// nothing else was sent.
type pulse struct {
	negotiated <-chan time.Duration
	ticker     *time.Ticker
	sent       bool
}

func (p *pulse) start(interval time.Duration) {
	p.stop()
	if interval > 0 {
		p.ticker = time.NewTicker(interval / 2)
	}
}

func (p *pulse) tick() <-chan time.Time {
	if p.ticker == nil {
		return nil
	}
	return p.ticker.C
}

func (p *pulse) stop() {
	if p.ticker != nil {
		p.ticker.Stop()
	}
}

// readTimeout is how the reader notices a client that is silent: in a
// handshake by a fixed moment, later by two intervals without an octet. The
// machine's time counts.
type readTimeout struct {
	socket   net.Conn
	interval time.Duration
	set      time.Time
	conn     *conn
}

// heartbeatMisses is how many whole intervals may pass in silence.
const heartbeatMisses = 2

// Read reads from the socket under the deadline.
func (t *readTimeout) Read(p []byte) (int, error) {
	if t.interval > 0 {
		// Moving the deadline costs more than reading: do it now and then.
		if now := time.Now(); now.Sub(t.set) > t.interval/8 {
			t.set = now
			_ = t.socket.SetReadDeadline(now.Add(heartbeatMisses * t.interval))
		}
	}
	n, err := t.socket.Read(p)
	t.conn.stats.received.Add(uint64(max(n, 0)))
	return n, err
}

// handshake bounds all reads until negotiated is called.
func (t *readTimeout) handshake(d time.Duration) {
	_ = t.socket.SetReadDeadline(time.Now().Add(d))
}

// negotiated ends the handshake's bound. 0: no heartbeats.
func (t *readTimeout) negotiated(interval time.Duration) {
	t.interval, t.set = interval, time.Time{}
	_ = t.socket.SetReadDeadline(time.Time{})
}

// paused is called after a time without reading, of which the client is not
// to be blamed.
func (t *readTimeout) paused() { t.set = time.Time{} }

var _ io.Reader = (*readTimeout)(nil)
