package confirm

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/hareline/hareline/link"
)

// peer plays the broker over net.Pipe, with a script for what it does with a
// publish. It reads always, whatever it is told to answer.
type peer struct {
	mu    sync.Mutex
	conns []*peerConn
	dials int

	// The script. Each is called on the connection's reading goroutine.
	onPublish   func(m *published)
	onOpen      func(c *peerConn, ch uint16) bool // channel.open: false = not answered
	onClose     func(c *peerConn, ch uint16) bool // channel.close: false = not answered
	onConnect   func(c *peerConn)                 // handshake done
	onMethod    func(key string)                  // basic.publish has come, its body has not
	onReset     func(c *peerConn, ch uint16)
	onConnClose func() // before connection.close-ok
}

type peerConn struct {
	p    *peer
	n    int // 1 is the first dialled
	conn net.Conn
	out  chan []byte
	gone chan struct{}
	tags map[uint16]uint64
	cur  map[uint16]*published
	open map[uint16]bool
	dead map[uint16]bool // for the script
}

type published struct {
	c             *peerConn
	ch            uint16
	tag           uint64
	exchange, key string
	header        []byte // the content header frame as it came
	body          []byte
	want          uint64
}

func (p *peer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.mu.Lock()
	p.dials++
	c := &peerConn{p: p, n: p.dials, conn: server, out: make(chan []byte, 100000), gone: make(chan struct{}), tags: map[uint16]uint64{}, cur: map[uint16]*published{}, open: map[uint16]bool{}, dead: map[uint16]bool{}}
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	go c.write()
	go c.read()
	return client, nil
}

func (p *peer) dialled() int { p.mu.Lock(); defer p.mu.Unlock(); return p.dials }

// channels counts those open on all connections.
func (p *peer) channels() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.conns {
		n += len(c.open)
	}
	return n
}

func (c *peerConn) write() {
	for {
		select {
		case b := <-c.out:
			if _, err := c.conn.Write(b); err != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}

func (c *peerConn) cut() { _ = c.conn.Close() }

func frame(typ byte, ch uint16, payload []byte) []byte {
	var b bytes.Buffer
	b.WriteByte(typ)
	_ = binary.Write(&b, binary.BigEndian, ch)
	_ = binary.Write(&b, binary.BigEndian, uint32(len(payload)))
	b.Write(payload)
	b.WriteByte(0xCE)
	return b.Bytes()
}

func method(class, id uint16, args ...any) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, class)
	_ = binary.Write(&b, binary.BigEndian, id)
	for _, a := range args {
		switch a := a.(type) {
		case string: // shortstr
			b.WriteByte(byte(len(a)))
			b.WriteString(a)
		case []byte: // longstr
			_ = binary.Write(&b, binary.BigEndian, uint32(len(a)))
			b.Write(a)
		default:
			_ = binary.Write(&b, binary.BigEndian, a)
		}
	}
	return b.Bytes()
}

func (c *peerConn) send(ch uint16, m []byte) { c.put(frame(1, ch, m)) }

func (c *peerConn) put(b []byte) {
	select {
	case c.out <- b:
	case <-c.gone:
	}
}

func (c *peerConn) closeChannel(ch uint16, code uint16, text string) {
	c.send(ch, method(20, 40, code, text, uint16(60), uint16(40)))
}

func (c *peerConn) closeConnection(code uint16, text string) {
	c.send(0, method(10, 50, code, text, uint16(60), uint16(40)))
}

func (c *peerConn) blocked(on bool) {
	if on {
		c.send(0, method(10, 60, "low on memory"))
	} else {
		c.send(0, method(10, 61))
	}
}

func (m *published) ack()  { m.c.send(m.ch, method(60, 80, m.tag, byte(0))) }
func (m *published) nack() { m.c.send(m.ch, method(60, 120, m.tag, byte(0))) }
func (m *published) returned() {
	b := frame(1, m.ch, method(60, 50, uint16(312), "NO_ROUTE", m.exchange, m.key))
	b = append(b, frame(2, m.ch, m.header)...)
	if len(m.body) > 0 {
		b = append(b, frame(3, m.ch, m.body)...)
	}
	m.c.put(b)
}

func (c *peerConn) read() {
	defer close(c.gone)
	defer c.conn.Close()
	defer func() { c.p.mu.Lock(); clear(c.open); c.p.mu.Unlock() }()
	hello := make([]byte, 8)
	if _, err := io.ReadFull(c.conn, hello); err != nil {
		return
	}
	c.send(0, method(10, 10, byte(0), byte(9), []byte{}, []byte("PLAIN"), []byte("en_US")))
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(c.conn, head); err != nil {
			return
		}
		typ, ch, size := head[0], binary.BigEndian.Uint16(head[1:]), binary.BigEndian.Uint32(head[3:])
		payload := make([]byte, size+1)
		if _, err := io.ReadFull(c.conn, payload); err != nil {
			return
		}
		payload = payload[:size]
		switch typ {
		case 1:
			if !c.method(ch, payload) {
				return
			}
		case 2:
			m := c.cur[ch]
			m.header = payload
			m.want = binary.BigEndian.Uint64(payload[4:])
			c.done(m)
		case 3:
			m := c.cur[ch]
			m.body = append(m.body, payload...)
			c.done(m)
		}
	}
}

func (c *peerConn) done(m *published) {
	if uint64(len(m.body)) < m.want {
		return
	}
	if c.p.onPublish != nil {
		c.p.onPublish(m)
	} else {
		m.ack()
	}
}

func short(b []byte) (string, []byte) { return string(b[1 : 1+int(b[0])]), b[1+int(b[0]):] }

func (c *peerConn) method(ch uint16, b []byte) bool {
	class, id, rest := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[4:]
	set := func(v bool) {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		if v {
			c.open[ch] = true
		} else {
			delete(c.open, ch)
		}
	}
	switch {
	case class == 10 && id == 11: // start-ok
		c.send(0, method(10, 30, uint16(2047), uint32(131072), uint16(0)))
	case class == 10 && id == 31: // tune-ok
	case class == 10 && id == 40: // open
		c.send(0, method(10, 41, ""))
		if c.p.onConnect != nil {
			c.p.onConnect(c)
		}
	case class == 10 && id == 50: // close
		c.p.mu.Lock()
		f := c.p.onConnClose
		c.p.mu.Unlock()
		if f != nil {
			f()
		}
		c.send(0, method(10, 51))
	case class == 10 && id == 51: // close-ok
		return false
	case class == 20 && id == 10:
		set(true)
		c.tags[ch] = 0
		if c.p.onReset != nil {
			c.p.onReset(c, ch)
		}
		if c.p.onOpen == nil || c.p.onOpen(c, ch) {
			c.send(ch, method(20, 11, []byte{}))
		}
	case class == 20 && id == 40:
		if c.p.onClose == nil || c.p.onClose(c, ch) {
			set(false)
			c.send(ch, method(20, 41))
		}
	case class == 20 && id == 41:
		set(false)
	case class == 85 && id == 10:
		c.send(ch, method(85, 11))
	case class == 60 && id == 40:
		c.tags[ch]++
		m := &published{c: c, ch: ch, tag: c.tags[ch]}
		m.exchange, rest = short(rest[2:])
		m.key, _ = short(rest)
		if c.p.onMethod != nil {
			c.p.onMethod(m.key)
		}
		c.cur[ch] = m
	}
	return true
}

var quiet = slog.New(slog.DiscardHandler)

// openPeer opens a link to the peer. Heartbeats are off, as net.Pipe has none to lose.
func openPeer(t *testing.T, p *peer) *link.Link {
	t.Helper()
	l, err := link.Open(context.Background(), link.Config{
		URLs: []string{"amqp://app:sesame@broker/?heartbeat=0"}, Dial: p.dial, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
