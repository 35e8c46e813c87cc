//go:build unix

package integration

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// stub is no broker: it only answers, so what a client reaches against it is
// what the client and the sockets allow. It confirms each publish, keeps
// nothing, and pushes the same delivery to a consumer, as often as it was told
// to and as fast as acks come.
type stub struct {
	listener   net.Listener
	deliveries int // to each consumer
	body       []byte
	running    sync.WaitGroup
}

func startStub(b *testing.B, deliveries int, body []byte) *stub {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &stub{listener: l, deliveries: deliveries, body: body}
	s.running.Go(func() {
		for {
			socket, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { (&stubConn{stub: s, socket: socket}).serve() })
		}
	})
	b.Cleanup(func() { // after the clients' ends, which are closed before
		_ = l.Close()
		s.running.Wait()
	})
	return s
}

func (s *stub) url() string { return "amqp://guest:guest@" + s.listener.Addr().String() + "/" }

// stubConn is a connection with one channel that publishes or consumes.
type stubConn struct {
	stub                 *stub
	socket               net.Conn
	out                  []byte
	published, confirmed uint64
	prefetch             uint64
	delivery             []byte // encoded
	tagAt                int    // of delivery
	delivered, acked     uint64
}

const stubFrameMax = 128 << 10

func (c *stubConn) serve() {
	defer c.socket.Close()
	var protocol [8]byte
	if _, err := io.ReadFull(c.socket, protocol[:]); err != nil {
		return
	}
	c.answer(0, &wire.ConnectionStart{VersionMinor: 9, Mechanisms: "PLAIN", Locales: "en_US"})
	in, n := make([]byte, 2*stubFrameMax), 0
	for {
		c.confirm()
		c.deliver()
		if len(c.out) > 0 {
			if _, err := c.socket.Write(c.out); err != nil {
				return
			}
			c.out = c.out[:0]
		}
		m, err := c.socket.Read(in[n:])
		if err != nil {
			return
		}
		n = copy(in, in[c.frames(in[:n+m]):n+m])
	}
}

// frames does what the whole frames in b say, and tells how many octets those
// are.
func (c *stubConn) frames(b []byte) int {
	at := 0
	for len(b)-at >= 7 {
		end := at + 7 + int(binary.BigEndian.Uint32(b[at+3:])) + 1
		if end > len(b) {
			break
		}
		switch b[at] {
		case wire.FrameBody:
			c.published++
		case wire.FrameMethod:
			c.method(binary.BigEndian.Uint16(b[at+1:]), b[at+7:end-1])
		}
		at = end
	}
	return at
}

func (c *stubConn) method(channel uint16, payload []byte) {
	class, method := wire.MethodID(payload)
	if class == wire.ClassBasic && method == wire.MethodBasicPublish {
		return
	}
	if class == wire.ClassBasic && method == wire.MethodBasicAck {
		c.acked++
		return
	}
	m, err := wire.DecodeMethod(payload)
	if err != nil {
		return
	}
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		c.answer(0, &wire.ConnectionTune{ChannelMax: 2047, FrameMax: stubFrameMax})
	case *wire.ConnectionOpen:
		c.answer(0, &wire.ConnectionOpenOk{})
	case *wire.ConnectionClose:
		c.answer(0, &wire.ConnectionCloseOk{})
	case *wire.ChannelOpen:
		c.published, c.confirmed = 0, 0
		c.answer(channel, &wire.ChannelOpenOk{})
	case *wire.ChannelClose:
		c.answer(channel, &wire.ChannelCloseOk{})
	case *wire.ConfirmSelect:
		c.answer(channel, &wire.ConfirmSelectOk{})
	case *wire.QueueDeclare:
		c.answer(channel, &wire.QueueDeclareOk{Queue: m.Queue})
	case *wire.QueuePurge:
		c.answer(channel, &wire.QueuePurgeOk{})
	case *wire.BasicQos:
		c.prefetch = uint64(m.PrefetchCount)
		c.answer(channel, &wire.BasicQosOk{})
	case *wire.BasicConsume:
		c.answer(channel, &wire.BasicConsumeOk{ConsumerTag: m.ConsumerTag})
		c.consume(channel, m)
	}
}

func (c *stubConn) answer(channel uint16, m wire.Method) {
	c.out = wire.AppendMethod(c.out, channel, m)
}

func (c *stubConn) confirm() {
	if c.published > c.confirmed {
		c.confirmed = c.published
		c.answer(1, &wire.BasicAck{DeliveryTag: c.confirmed, Multiple: true})
	}
}

// consume encodes the delivery that the consumer will get, with no tag yet.
func (c *stubConn) consume(channel uint16, m *wire.BasicConsume) {
	c.delivered, c.acked = 0, 0
	d := wire.AppendDeliver(nil, channel, &wire.BasicDeliver{ConsumerTag: m.ConsumerTag, RoutingKey: m.Queue})
	d = wire.AppendHeader(d, channel, uint64(len(c.stub.body)), wire.AppendProperties(nil, &wire.Properties{}))
	c.delivery = wire.AppendBody(d, channel, c.stub.body, stubFrameMax)
	c.tagAt = 7 + 4 + 1 + len(m.ConsumerTag)
}

func (c *stubConn) deliver() {
	if c.delivery == nil {
		return
	}
	for c.delivered < c.acked+c.prefetch && c.delivered < uint64(c.stub.deliveries) {
		c.delivered++
		c.out = slices.Grow(c.out, len(c.delivery))
		at := len(c.out)
		c.out = append(c.out, c.delivery...)
		binary.BigEndian.PutUint64(c.out[at+c.tagAt:], c.delivered)
	}
}
