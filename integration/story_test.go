package integration

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/story"
)

// recorder keeps what the client writes.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.written.Write(b)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

// headerFrames returns the payloads of the content header frames written so far.
func (r *recorder) headerFrames() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	const protocolHeader, frameHeader, frameEnd, contentHeader = 8, 7, 1, 2
	var out [][]byte
	for rest := r.written.Bytes()[protocolHeader:]; len(rest) > frameHeader; {
		size := int(binary.BigEndian.Uint32(rest[3:]))
		if rest[0] == contentHeader {
			out = append(out, rest[frameHeader:frameHeader+size])
		}
		rest = rest[frameHeader+size+frameEnd:]
	}
	return out
}

// What story.Size computes is what the client writes; and a copy as large as its
// limit allows passes the broker and comes back.
func TestStorySizeOnTheWire(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		rec := &recorder{}
		conn, err := amqp.DialConfig(b.URL, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
			c, err := net.DialTimeout(network, addr, patience)
			rec.Conn = c
			return rec, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		q, err := ch.QueueDeclare("sizes", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		all := amqp.Table{
			"nil": nil, "bool": true, "byte": byte(1), "int8": int8(1), "int16": int16(1), "int": 1, "int32": int32(1), "int64": int64(1),
			"uint16": uint16(1), "uint32": uint32(1), "float32": float32(1), "float64": 1.0, "decimal": amqp.Decimal{Scale: 1, Value: 2},
			"string": "äöü", "bytes": []byte("bytes"), "time": time.Now(), "table": amqp.Table{"a": []any{1, "b", nil}}, "array": []any{amqp.Table{}, int64(5)},
		}
		huge, dropped := story.Copy(amqp.Delivery{Headers: amqp.Table{"a": strings.Repeat("a", 100_000), "b": strings.Repeat("b", 100_000)}},
			story.Story{OriginQueue: "sizes", RetryCount: 1}, 0)
		if len(dropped) != 1 {
			t.Fatalf("dropped %d headers", len(dropped))
		}
		for _, h := range []amqp.Table{{}, all, huge.Headers} {
			dc, err := ch.PublishWithDeferredConfirm("", q.Name, true, false, amqp.Publishing{Headers: h})
			if err != nil {
				t.Fatal(err)
			}
			if acked, err := dc.WaitContext(deadline(t)); !acked || err != nil {
				t.Fatalf("acked %v, %v", acked, err)
			}
			frames := rec.headerFrames()
			const classWeightSizeFlags = 14
			payload := frames[len(frames)-1][classWeightSizeFlags:]
			if len(h) == 0 {
				payload = binary.BigEndian.AppendUint32(nil, 0) // the client leaves an empty table out
			}
			if got := story.Size(h); got != len(payload) {
				t.Errorf("Size = %d, %d bytes on the wire: %v", got, len(payload), h)
			}
			if d, ok, err := ch.Get(q.Name, true); !ok || err != nil || len(d.Headers) < len(h) {
				t.Errorf("got %v, %v, %d of %d headers", ok, err, len(d.Headers), len(h))
			}
		}
	})
}
