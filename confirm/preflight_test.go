package confirm

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

var wide = limits{headers: maxCopyHeaders, body: 1 << 20}

func TestPrepareRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct {
		name          string
		exchange, key string
		msg           amqp.Publishing
		want          string
	}{
		{"long key", "", long, amqp.Publishing{}, "routing key has 256 bytes"},
		{"long exchange", long, "", amqp.Publishing{}, "exchange has 256 bytes"},
		{"long type", "", "", amqp.Publishing{Type: long}, "type has 256"},
		{"long user-id", "", "", amqp.Publishing{UserId: long}, "user-id has 256"},
		{"long header name", "", "", amqp.Publishing{Headers: amqp.Table{long: 1}}, "a name of 256 bytes"},
		{"long nested name", "", "", amqp.Publishing{Headers: amqp.Table{"a": amqp.Table{long: 1}}}, "headers.a has a name of 256"},
		{"uint", "", "", amqp.Publishing{Headers: amqp.Table{"n": uint(1)}}, "headers.n is a uint:"},
		{"uint64", "", "", amqp.Publishing{Headers: amqp.Table{"n": uint64(1)}}, "headers.n is a uint64"},
		{"duration", "", "", amqp.Publishing{Headers: amqp.Table{"n": time.Second}}, "time.Duration"},
		{"strings", "", "", amqp.Publishing{Headers: amqp.Table{"n": []string{"a"}}}, "[]string"},
		{"map", "", "", amqp.Publishing{Headers: amqp.Table{"n": map[string]any{}}}, "map[string]interface"},
		{"in an array", "", "", amqp.Publishing{Headers: amqp.Table{"n": []any{1, uint(2)}}}, "headers.n.1 is a uint"},
		{"NaN", "", "", amqp.Publishing{Headers: amqp.Table{"n": math.NaN()}}, "headers.n is NaN"},
		{"infinity", "", "", amqp.Publishing{Headers: amqp.Table{"l": []any{float32(math.Inf(-1))}}}, "headers.l.0 is -Inf"},
		{"too deep", "", "", amqp.Publishing{Headers: nested(40)}, "nested 29 deep"},
		{"too deep in arrays", "", "", amqp.Publishing{Headers: amqp.Table{"l": nestedList(40)}}, "nested 29 deep"},
		{"too many in an array", "", "", amqp.Publishing{Headers: amqp.Table{"l": make([]any, 8001)}}, "8001 entries"},
		{"too many", "", "", amqp.Publishing{Headers: numbered(8001)}, "8002 entries"},
		{"CC as a string", "", "", amqp.Publishing{Headers: amqp.Table{"CC": "orders"}}, "header CC is string"},
		{"BCC of numbers", "", "", amqp.Publishing{Headers: amqp.Table{"BCC": []any{int64(1)}}}, "header BCC"},
		{"negative expiration", "", "", amqp.Publishing{Expiration: "-1"}, "expiration"},
		{"expiration with a unit", "", "", amqp.Publishing{Expiration: "5s"}, "expiration"},
		{"fractional expiration", "", "", amqp.Publishing{Expiration: "1.5"}, "expiration"},
		{"huge expiration", "", "", amqp.Publishing{Expiration: "99999999999999"}, "expiration"},
		{"body", "", "", amqp.Publishing{Body: make([]byte, 1<<20+1)}, "1048577 bytes"},
		{"headers", "", "", amqp.Publishing{Headers: amqp.Table{"h": strings.Repeat("x", 121<<10)}}, "the headers have"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, reason := prepared(tt.exchange, tt.key, tt.msg, 1)
			if !strings.Contains(reason, tt.want) {
				t.Fatalf("reason %q does not say %q", reason, tt.want)
			}
		})
	}
}

// prepared is what becomes of a message between its caller and the window.
func prepared(exchange, key string, msg amqp.Publishing, id uint64) (amqp.Publishing, int, string) {
	if reason := identify(&msg); reason != "" {
		return msg, 0, reason
	}
	msg.Headers = ownHeaders(msg.Headers)
	return prepare(exchange, key, msg, id, wide)
}

func nested(depth int) amqp.Table {
	t := amqp.Table{}
	for range depth {
		t = amqp.Table{"t": t}
	}
	return t
}

func nestedList(depth int) []any {
	var l []any
	for range depth {
		l = []any{l}
	}
	return l
}

func numbered(n int) amqp.Table {
	t := amqp.Table{}
	for i := range n {
		t[strconv.Itoa(i)] = nil
	}
	return t
}

func TestPrepareFillsDefaultsAndLeavesTheCallersTablesAlone(t *testing.T) {
	inner := amqp.Table{"deep": 5_000_000_000}
	list := []any{7}
	headers := amqp.Table{"n": 5_000_000_000, "t": inner, "l": list, "CC": []any{"a"}}
	out, _, reason := prepared("e", "k", amqp.Publishing{Headers: headers, Expiration: "4294967296"}, 42)
	if reason != "" {
		t.Fatal(reason)
	}
	if out.DeliveryMode != amqp.Persistent || out.MessageId == "" || out.Timestamp.IsZero() {
		t.Errorf("defaults not filled: mode %d, id %q, time %v", out.DeliveryMode, out.MessageId, out.Timestamp)
	}
	if out.Headers["n"] != int64(5_000_000_000) || out.Headers["t"].(amqp.Table)["deep"] != int64(5_000_000_000) || out.Headers["l"].([]any)[0] != int64(7) {
		t.Errorf("int was not widened: %v", out.Headers)
	}
	if out.Headers[HeaderPublishID] != int64(42) {
		t.Errorf("no publish id: %v", out.Headers)
	}
	if _, ok := headers[HeaderPublishID]; ok || headers["n"] != 5_000_000_000 || inner["deep"] != 5_000_000_000 || list[0] != 7 {
		t.Error("the caller's tables were changed")
	}
	kept, _, _ := prepared("e", "k", amqp.Publishing{MessageId: "mine", DeliveryMode: amqp.Transient}, 1)
	if kept.MessageId != "mine" || kept.DeliveryMode != amqp.Transient {
		t.Error("the caller's own choice was overwritten")
	}
}

// tables draws a table of every type the client can encode.
func tables(depth int) *rapid.Generator[amqp.Table] {
	return rapid.Custom(func(t *rapid.T) amqp.Table {
		out := amqp.Table{}
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			out[rapid.StringN(0, 20, 200).Draw(t, "name")] = value(t, depth)
		}
		return out
	})
}

func value(t *rapid.T, depth int) any {
	kinds := 15
	if depth == 0 {
		kinds = 13
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "v")
	case 2:
		return rapid.Byte().Draw(t, "v")
	case 3:
		return rapid.Int8().Draw(t, "v")
	case 4:
		return rapid.Int16().Draw(t, "v")
	case 5:
		return rapid.Uint16().Draw(t, "v")
	case 6:
		return rapid.Int32().Draw(t, "v")
	case 7:
		return rapid.Uint32().Draw(t, "v")
	case 8:
		return rapid.Int64().Draw(t, "v")
	case 9:
		return rapid.Int().Draw(t, "v")
	case 10:
		return rapid.Float64Range(-math.MaxFloat32, math.MaxFloat32).Draw(t, "v")
	case 11:
		return rapid.StringN(0, 50, 300).Draw(t, "v")
	case 12:
		return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "v")
	case 13:
		return amqp.Decimal{Scale: 2, Value: rapid.Int32().Draw(t, "v")}
	case 14:
		return map[bool]any{true: tables(depth-1).Draw(t, "v"), false: time.Unix(rapid.Int64Range(0, 1e9).Draw(t, "s"), 0)}[rapid.Bool().Draw(t, "table")]
	default:
		out := make([]any, rapid.IntRange(0, 3).Draw(t, "len"))
		for i := range out {
			out[i] = value(t, depth-1)
		}
		return out
	}
}

// What passes the pre-flight check must pass the client's own, whose refusal
// comes after part of the frames was written (H 10.2), and have exactly the
// size that was counted.
func TestSizeIsWhatTheClientWrites(t *testing.T) {
	wire := newWire(t)
	rapid.Check(t, func(t *rapid.T) {
		out, size, reason := prepared("", "k", amqp.Publishing{Headers: tables(2).Draw(t, "headers"), MessageId: "m"}, 1)
		if reason != "" {
			t.Fatal(reason)
		}
		if err := out.Headers.Validate(); err != nil {
			t.Fatalf("passed the check, not the client's: %v", err)
		}
		if got := wire.headerSize(t, out.Headers); got != size {
			t.Fatalf("counted %d bytes, the client writes %d: %#v", size, got, out.Headers)
		}
	})
}

// wire is a connection to a peer that plays the broker's part of the handshake
// and shows what is written after it.
type wire struct {
	ch    *amqp.Channel
	frame chan []byte // content headers
}

func newWire(t *testing.T) *wire {
	client, server := net.Pipe()
	w := &wire{frame: make(chan []byte, 1)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		w.serve(server)
	}()
	conn, err := amqp.Open(client, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, Vhost: "/", FrameSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if w.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		<-served
	})
	return w
}

func (w *wire) headerSize(t *rapid.T, headers amqp.Table) int {
	if err := w.ch.Publish("", "k", false, false, amqp.Publishing{Headers: headers}); err != nil {
		t.Fatal(err)
	}
	payload := <-w.frame
	return len(payload) - 14 // class, weight, body size, flags
}

func (w *wire) serve(conn net.Conn) {
	defer conn.Close()
	method := func(channel uint16, class, id uint16, args ...byte) {
		payload := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), id)
		payload = append(payload, args...)
		frame := append([]byte{1, byte(channel >> 8), byte(channel)}, binary.BigEndian.AppendUint32(nil, uint32(len(payload)))...)
		_, _ = conn.Write(append(append(frame, payload...), 0xCE))
	}
	if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
		return
	}
	start := append([]byte{0, 9, 0, 0, 0, 0}, 0, 0, 0, 5)
	start = append(start, "PLAIN\x00\x00\x00\x05en_US"...)
	method(0, 10, 10, start...)
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		payload = payload[:len(payload)-1]
		switch {
		case head[0] == 2:
			w.frame <- bytes.Clone(payload)
		case head[0] != 1:
		case binary.BigEndian.Uint32(payload) == 10<<16|11: // start-ok
			method(0, 10, 30, 0, 0, 0, 16, 0, 0, 0, 0) // tune: no frame limit... 1 MiB, no heartbeat
		case binary.BigEndian.Uint32(payload) == 10<<16|40:
			method(0, 10, 41, 0)
		case binary.BigEndian.Uint32(payload) == 20<<16|10:
			method(1, 20, 11, 0, 0, 0, 0)
		}
	}
}
