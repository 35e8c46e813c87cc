package integration

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// startFrame is the size of the broker's connection.start, the first frame it sends.
func startFrame(t *testing.T, b *brokertest.Broker) int64 {
	t.Helper()
	uri, err := amqp.ParseURI(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var header [7]byte // type, channel, size; one byte of frame end follows the payload
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, header[:]); err != nil {
		t.Fatal(err)
	}
	return 7 + int64(binary.BigEndian.Uint32(header[3:])) + 1
}

// A link that is cut between connection.start and the end of connection.tune (20
// bytes) looks to the client like refused credentials, and is none. The place is
// measured: the frame before it has another size on every broker.
func TestCutBeforeTuneIsNoRefusal(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		start := startFrame(t, b)
		for _, more := range []int64{0, 1, 10, 19} {
			proxy := b.Proxy(t)
			proxy.CutAfterBytes(brokertest.ToClient, start+more)
			l, err := link.Open(deadline(t), link.Config{URLs: []string{proxy.URL()}, ReconnectMin: time.Millisecond, Logger: logger()})
			if err != nil {
				t.Fatalf("cut %d bytes behind connection.start: %v", more, err)
			}
			if n := proxy.Dials(); n != 3 {
				t.Errorf("%d dials for two connections and one cut: nothing was cut", n)
			}
			if err := l.Close(deadline(t)); err != nil {
				t.Error(err)
			}
		}
	})
}

// Once open, a link reconnects through refusals too: its user is gone for a while.
func TestReconnectsThroughRefusals(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		name := "temporary-" + b.VHost
		userURL(t, b, name)
		t.Cleanup(func() { _ = b.API().DeleteUser(context.Background(), name) })
		proxy := b.Proxy(t)
		uri, err := amqp.ParseURI(proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		uri.Username, uri.Password = name, name
		states := make(chan link.State, 100)
		l := open(t, link.Config{
			URLs: []string{uri.String()}, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond,
			OnState: func(s link.State) { states <- s },
		})
		connected := func() {
			for up := map[link.Role]bool{}; len(up) < 2; {
				switch s := wait(t, states, "both connections"); s.Status {
				case link.Connected:
					up[s.Role] = true
				case link.Closed:
					t.Fatalf("the %v connection was given up: %v", s.Role, s.Err)
				}
			}
		}
		connected()
		if err := b.API().DeleteUser(deadline(t), name); err != nil {
			t.Fatal(err)
		}
		proxy.Cut()
		before := proxy.Dials()
		eventually(t, func() bool { return proxy.Dials() >= before+10 }) // more refusals than a first connect believes
		userURL(t, b, name)
		connected()
		if _, err := l.Session(deadline(t), link.Consuming); err != nil {
			t.Error(err)
		}
	})
}
