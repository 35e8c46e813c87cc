package story_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
)

// encode writes a table as AMQP 0-9-1, 4.2.5.5 lays it down: the model for Size.
func encode(t amqp.Table) []byte {
	var b bytes.Buffer
	for name, v := range t {
		b.WriteByte(byte(len(name)))
		b.WriteString(name)
		b.Write(encodeValue(v))
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(b.Len())), b.Bytes()...)
}

func encodeValue(v any) []byte {
	long := func(kind byte, b []byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b))), b...)
	}
	switch v := v.(type) {
	case nil:
		return []byte{'V'}
	case bool, int8, uint8:
		return []byte{'b', 0}
	case int16, uint16:
		return []byte{'s', 0, 0}
	case int32, uint32, float32, int:
		return []byte{'I', 0, 0, 0, 0}
	case int64:
		return binary.BigEndian.AppendUint64([]byte{'l'}, uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64([]byte{'d'}, math.Float64bits(v))
	case time.Time:
		return binary.BigEndian.AppendUint64([]byte{'T'}, uint64(v.Unix()))
	case amqp.Decimal:
		return append([]byte{'D', v.Scale}, 0, 0, 0, 0)
	case string:
		return long('S', []byte(v))
	case []byte:
		return long('x', v)
	case amqp.Table:
		return append([]byte{'F'}, encode(v)...)
	case []any:
		var items []byte
		for _, item := range v {
			items = append(items, encodeValue(item)...)
		}
		return long('A', items)
	}
	panic(fmt.Sprintf("%T", v))
}

func drawValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 13
		if depth > 0 {
			kinds = 15
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "v")
		case 2:
			return rapid.Int8().Draw(t, "v")
		case 3:
			return rapid.Byte().Draw(t, "v")
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
			return rapid.Float64().Draw(t, "v")
		case 10:
			return time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "v"), 0)
		case 11:
			return amqp.Decimal{Scale: 2, Value: rapid.Int32().Draw(t, "v")}
		case 12:
			return strings.Repeat(rapid.String().Draw(t, "v"), rapid.IntRange(1, 300).Draw(t, "times"))
		case 13:
			return drawTable(depth-1).Draw(t, "v")
		default:
			return rapid.SliceOfN(drawValue(depth-1), 0, 5).Draw(t, "v")
		}
	})
}

func drawTable(depth int) *rapid.Generator[amqp.Table] {
	return rapid.Custom(func(t *rapid.T) amqp.Table {
		return rapid.MapOfN(rapid.StringN(0, -1, 60), drawValue(depth), 0, 8).Draw(t, "table")
	})
}

func TestSizeIsTheWireSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(2).Draw(t, "table")
		if got, want := story.Size(table), len(encode(table)); got != want {
			t.Fatalf("Size = %d, encoded %d: %v", got, want, table)
		}
	})
	if got := story.Size(amqp.Table{"a": struct{}{}}); got != 4+2 {
		t.Errorf("a value that AMQP cannot carry: Size = %d", got)
	}
}

func TestCopyKeepsAndStrips(t *testing.T) {
	d := amqp.Delivery{
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Transient, Priority: 9,
		CorrelationId: "c", ReplyTo: "r", Expiration: "1000", MessageId: "m", Timestamp: now, Type: "t",
		UserId: "someone", AppId: "app", Body: []byte{0, 255, '{'},
		Headers: amqp.Table{
			"mine": int32(1), "nested": amqp.Table{"n": 5}, "list": []any{1, "a"}, "nothing": nil, "x-mine": "kept",
			"x-death": []any{amqp.Table{}}, "x-first-death-queue": "q", "x-last-death-reason": "rejected",
			"x-delivery-count": int64(3), "x-acquired-count": int64(3), "CC": []any{"a"}, "BCC": []any{"b"},
			story.HeaderRetryCount: int64(1), story.HeaderDeadReason: "old", story.Prefix + "publish-id": int64(4),
		},
	}
	s := story.Story{RetryCount: 2, OriginQueue: "orders"}
	msg, dropped := story.Copy(d, s, 0)
	want := amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Persistent,
		CorrelationId: "c", ReplyTo: "r", MessageId: "m", Timestamp: now, Type: "t", AppId: "app", Body: []byte{0, 255, '{'},
		Headers: amqp.Table{
			"mine": int32(1), "nested": amqp.Table{"n": int64(5)}, "list": []any{int64(1), "a"}, "nothing": nil, "x-mine": "kept",
			story.HeaderVersion: int64(1), story.HeaderRetryCount: int64(2), story.HeaderOriginQueue: "orders",
		},
	}
	if !reflect.DeepEqual(msg, want) || dropped != nil {
		t.Errorf("copy\n%+v, dropped %v, want\n%+v", msg, dropped, want)
	}
	if d.Headers[story.HeaderRetryCount] != int64(1) || len(d.Headers) != 15 {
		t.Errorf("the delivery's own headers were changed: %v", d.Headers)
	}
	if !bytes.Equal(msg.Body, d.Body) {
		t.Error("the body was changed")
	}
}

func TestCopyGivesAMessageID(t *testing.T) {
	msg, _ := story.Copy(amqp.Delivery{}, story.Story{}, 0)
	id, err := uuid.Parse(msg.MessageId)
	if err != nil || id.Version() != 7 {
		t.Errorf("message-id %q: %v", msg.MessageId, err)
	}
}

func TestCopyDropsWhatCannotBeCarried(t *testing.T) {
	d := amqp.Delivery{Headers: amqp.Table{
		"chan": make(chan int), "deep": amqp.Table{"a": []any{struct{}{}}}, strings.Repeat("n", 256): 1, "good": "x",
	}}
	msg, dropped := story.Copy(d, story.Story{}, 0)
	if !slices.Equal(dropped, []string{"chan", "deep", strings.Repeat("n", 256)}) {
		t.Errorf("dropped %v", dropped)
	}
	if err := msg.Headers.Validate(); err != nil || msg.Headers["good"] != "x" {
		t.Errorf("headers %v: %v", msg.Headers, err)
	}
}

func TestCopyShedsOurTextFirst(t *testing.T) {
	d := amqp.Delivery{Headers: amqp.Table{"big": strings.Repeat("b", 6000)}}
	s := story.Story{LastError: strings.Repeat("e", 2000)}
	msg, dropped := story.Copy(d, s, 7000)
	if len(dropped) != 0 || msg.Headers["big"] == nil {
		t.Errorf("dropped %v though cutting our own text is enough", dropped)
	}
	if text, _ := msg.Headers[story.HeaderLastError].(string); len(text) != 256 {
		t.Errorf("last-error has %d bytes", len(text))
	}
	msg, dropped = story.Copy(d, s, 5000)
	if !slices.Equal(dropped, []string{"big"}) {
		t.Errorf("dropped %v", dropped)
	}
	if !reflect.DeepEqual(msg.Headers[story.HeaderDroppedHeaders], []any{"big"}) {
		t.Errorf("named: %v", msg.Headers[story.HeaderDroppedHeaders])
	}
}

// Whatever comes in, the copy fits, keeps the body, can be sent, names what it
// shed, and its story reads as written.
func TestCopyAlwaysFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := amqp.Delivery{
			Headers: drawTable(2).Draw(t, "headers"),
			Body:    rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			Type:    rapid.StringN(0, -1, 255).Draw(t, "type"),
		}
		for i := range rapid.IntRange(0, 6).Draw(t, "big headers") {
			d.Headers[fmt.Sprint("big", i)] = strings.Repeat("x", rapid.IntRange(0, 40_000).Draw(t, "size"))
		}
		s := drawStory(t)
		msg, dropped := story.Copy(d, s, 0)
		props := story.Size(msg.Headers) + len(msg.Type) + len(msg.MessageId) + 64
		if props > story.DefaultLimit+64 {
			t.Fatalf("%d bytes", props)
		}
		if !bytes.Equal(msg.Body, d.Body) || msg.Headers.Validate() != nil {
			t.Fatal("body or headers broken")
		}
		read, err := story.Read(msg.Headers)
		if err != nil || read.RetryCount != s.RetryCount || read.OriginQueue != s.OriginQueue {
			t.Fatalf("story %+v, %v", read, err)
		}
		for name := range d.Headers {
			_, kept := msg.Headers[name]
			if !kept && !slices.Contains(dropped, name) && !strings.HasPrefix(name, story.Prefix) {
				t.Fatalf("%q vanished without a word", name)
			}
		}
		for _, name := range dropped[:min(len(dropped), 32)] {
			if !slices.Contains(read.DroppedHeaders, strings.ReplaceAll(name, "\x00", "\uFFFD")) {
				t.Fatalf("%q is not named in %v", name, read.DroppedHeaders)
			}
		}
	})
}

func TestCopyOfThousandsOfHeaders(t *testing.T) {
	h := amqp.Table{}
	for i := range 9000 {
		h[fmt.Sprintf("header-%05d", i)] = "some value"
	}
	s := story.Story{DroppedHeaders: []string{"earlier"}}
	msg, dropped := story.Copy(amqp.Delivery{Headers: h}, s, 0)
	if size := story.Size(msg.Headers); size > story.DefaultLimit || size < story.DefaultLimit-2000 {
		t.Errorf("%d bytes: too much, or far more shed than needed", size)
	}
	read, err := story.Read(msg.Headers)
	if err != nil || len(read.DroppedHeaders) != 33 || read.DroppedHeaders[0] != "earlier" || read.DroppedHeaders[32] != "(and more)" {
		t.Errorf("%d dropped, %d named: %v, %v", len(dropped), len(read.DroppedHeaders), read.DroppedHeaders, err)
	}
	// The list does not grow over further copies.
	msg, _ = story.Copy(amqp.Delivery{Headers: h}, read, 0)
	if more, _ := story.Read(msg.Headers); !slices.Equal(more.DroppedHeaders, read.DroppedHeaders) {
		t.Errorf("after a second copy: %v", more.DroppedHeaders)
	}
}
