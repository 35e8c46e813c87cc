package amqptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how many octets each direction of a pipe holds.
const pipeBuffer = 256 << 10

// pipeEnd is one end of a connection in memory. Unlike net.Pipe's it buffers,
// as a socket does.
type pipeEnd struct {
	in, out       *pipeStream
	local, remote net.Addr
}

// newPipe makes a connection in memory.
func newPipe(client, server net.Addr) (clientEnd, serverEnd *pipeEnd) {
	up, down := newPipeStream(), newPipeStream()
	return &pipeEnd{down, up, client, server}, &pipeEnd{up, down, server, client}
}

func (p *pipeEnd) Read(b []byte) (int, error) {
	n, err := p.in.read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF is never wrapped, and readers compare
		err = p.fail("read", err)
	}
	return n, err
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	n, err := p.out.write(b)
	if err != nil {
		err = p.fail("write", err)
	}
	return n, err
}

// Close closes both directions. The peer may still read what was written.
func (p *pipeEnd) Close() error {
	p.out.closeWrite()
	p.in.closeRead()
	return nil
}

func (p *pipeEnd) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "pipe", Source: p.local, Addr: p.remote, Err: err}
}

func (p *pipeEnd) LocalAddr() net.Addr  { return p.local }
func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.setDeadline(&p.in.reading, t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.setDeadline(&p.out.writing, t)
	return nil
}

var _ net.Conn = (*pipeEnd)(nil)

// pipeStream is one direction.
type pipeStream struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	start   int // of what is not read yet
	// ended: the writing end is closed; broken: the reading one.
	ended, broken    bool
	reading, writing pipeDeadline
}

// pipeDeadline is when reads or writes give up.
type pipeDeadline struct {
	at    time.Time // zero: never
	timer *time.Timer
}

func (d *pipeDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newPipeStream() *pipeStream {
	s := &pipeStream{}
	s.changed.L = &s.mu
	return s
}

func (s *pipeStream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return 0, net.ErrClosed
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.start < len(s.buf):
			n := copy(b, s.buf[s.start:])
			s.start += n
			if s.start == len(s.buf) {
				s.buf, s.start = s.buf[:0], 0
			}
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *pipeStream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.broken:
			return n, syscall.EPIPE
		case s.writing.passed():
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if room := pipeBuffer - (len(s.buf) - s.start); room > 0 {
			part := b[:min(room, len(b))]
			if s.start > 0 && len(s.buf)+len(part) > cap(s.buf) {
				s.buf = s.buf[:copy(s.buf, s.buf[s.start:])]
				s.start = 0
			}
			s.buf = append(s.buf, part...)
			b = b[len(part):]
			n += len(part)
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *pipeStream) closeWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.writing.stop()
	s.changed.Broadcast()
}

func (s *pipeStream) closeRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
	s.buf, s.start = nil, 0
	s.reading.stop()
	s.changed.Broadcast()
}

func (d *pipeDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (s *pipeStream) setDeadline(d *pipeDeadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.at = t
	d.stop()
	if !t.IsZero() && !s.ended && !s.broken {
		wait := time.Until(t)
		if d.timer == nil {
			d.timer = time.AfterFunc(wait, s.wakeAll)
		} else {
			d.timer.Reset(wait)
		}
	}
	s.changed.Broadcast()
}

func (s *pipeStream) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}
