package dlq

import (
	"bytes"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// anyString is text or any bytes, and sometimes what looks like our own mark.
var anyString = rapid.OneOf(
	rapid.String(),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	rapid.Map(rapid.String(), func(s string) string { return base64Mark + s }),
)

// anyTime is what AMQP can carry.
var anyTime = rapid.Map(rapid.OneOf(rapid.Int64Range(0, 1<<33), rapid.Int64Range(-1<<40, 1<<40)), func(n int64) time.Time {
	return time.Unix(n, 0).UTC()
})

func anyValue(depth int) *rapid.Generator[any] {
	toAny := func(g ...*rapid.Generator[any]) *rapid.Generator[any] { return rapid.OneOf(g...) }
	simple := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), anyString.AsAny(), anyTime.AsAny(),
		rapid.Int8().AsAny(), rapid.Uint8().AsAny(), rapid.Int16().AsAny(), rapid.Uint16().AsAny(),
		rapid.Int32().AsAny(), rapid.Uint32().AsAny(), rapid.Int64().AsAny(),
		rapid.Float32().AsAny(), rapid.Float64().AsAny(),
		rapid.SampledFrom([]any{math.Inf(1), math.Inf(-1), float32(math.Inf(1)), int64(math.MaxInt64), int64(math.MinInt64)}),
		rapid.SliceOf(rapid.Byte()).AsAny(),
		rapid.Custom(func(t *rapid.T) amqp.Decimal {
			return amqp.Decimal{Scale: rapid.Uint8().Draw(t, "scale"), Value: rapid.Int32().Draw(t, "value")}
		}).AsAny(),
	}
	if depth == 0 {
		return toAny(simple...)
	}
	return toAny(append(simple, anyTable(depth-1).AsAny(), rapid.SliceOfN(anyValue(depth-1), 0, 4).AsAny())...)
}

func anyTable(depth int) *rapid.Generator[amqp.Table] {
	return rapid.Map(rapid.MapOfN(anyString, anyValue(depth), 0, 5), func(m map[string]any) amqp.Table { return m })
}

func anyDelivery(t *rapid.T) amqp.Delivery {
	s := func(name string) string { return anyString.Draw(t, name) }
	d := amqp.Delivery{
		Exchange: s("exchange"), RoutingKey: s("routing key"), MessageId: s("message-id"), CorrelationId: s("correlation-id"),
		ContentType: s("content type"), ContentEncoding: s("content encoding"), ReplyTo: s("reply-to"), Type: s("type"),
		AppId: s("app-id"), UserId: s("user-id"), Expiration: s("expiration"),
		Priority: rapid.Uint8().Draw(t, "priority"), DeliveryMode: rapid.Uint8().Draw(t, "delivery mode"),
	}
	if rapid.Bool().Draw(t, "headers") {
		d.Headers = anyTable(3).Draw(t, "table")
	}
	if body := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "body"); len(body) > 0 {
		d.Body = body
	}
	if rapid.Bool().Draw(t, "timestamp") {
		d.Timestamp = anyTime.Draw(t, "time")
	}
	return d
}

// A letter comes back from its line as it was, whatever it holds.
func TestLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyDelivery(t)
		b, err := writeLine(Letter{Delivery: want, LastError: anyString.Draw(t, "error"), Queue: anyString.Draw(t, "queue")})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
			t.Fatalf("not one line: %q", b)
		}
		got, err := readLine(b)
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if len(want.Headers) == 0 && len(got.Headers) == 0 { // nil or empty: the same on the wire
			want.Headers, got.Headers = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %#v\nwant %#v\nfrom %s", got, want, b)
		}
	})
}

// testdata/letters.jsonl is what the first release wrote: it is only added to.
func TestLinesOfEveryRelease(t *testing.T) {
	text, err := os.ReadFile("testdata/letters.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		d, err := readLine([]byte(line))
		if err != nil {
			t.Errorf("%v in %s", err, line)
			continue
		}
		b, err := writeLine(Parse(d))
		if err != nil || string(b) != line {
			t.Errorf("%v: read and written again\n%s\nit was\n%s", err, b, line)
		}
	}
}

func TestLinesThatMakeNoSense(t *testing.T) {
	for text, want := range map[string]string{
		``:                      "no letter",
		`{`:                     "no letter",
		`[]`:                    "no letter",
		`{}`:                    "hareline_letter is missing",
		`{"hareline_letter":2}`: "use a newer one",
		`{"hareline_letter":1,"body":"x","body_base64":"eA=="}`:                                                            "both",
		`{"hareline_letter":1,"priority":256}`:                                                                             "no letter",
		`{"hareline_letter":1,"body_base64":"?"}`:                                                                          "no letter",
		`{"hareline_letter":1,"type":"base64:?"}`:                                                                          "no letter",
		`{"hareline_letter":1,"timestamp":"noon"}`:                                                                         "timestamp",
		`{"hareline_letter":1,"headers":{"n":7}}`:                                                                          `"n"`,
		`{"hareline_letter":1,"headers":{"n":{}}}`:                                                                         `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"int64":1,"int32":1}}}`:                                                      `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"int8":128}}}`:                                                               "out of range",
		`{"hareline_letter":1,"headers":{"n":{"uint8":-1}}}`:                                                               `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"int64":1.5}}}`:                                                              `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"int64":"1"}}}`:                                                              "no text",
		`{"hareline_letter":1,"headers":{"n":{"float64":1}}}`:                                                              "no number",
		`{"hareline_letter":1,"headers":{"n":{"bytes":"?"}}}`:                                                              `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"decimal":"1e-256"}}}`:                                                       `"n"`,
		`{"hareline_letter":1,"headers":{"n":{"array":{}}}}`:                                                               "no value",
		`{"hareline_letter":1,"headers":{"n":{"table":[]}}}`:                                                               "no value",
		`{"hareline_letter":1,"headers":` + strings.Repeat(`{"n":{"table":`, 100) + `{}` + strings.Repeat(`}}`, 100) + `}`: "deep",
		`{"hareline_letter":1,"headers":{"n":` + strings.Repeat(`{"array":[`, 100) + strings.Repeat(`]}`, 100) + `}}`:      "no value",
	} {
		if _, err := readLine([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadLine(f *testing.F) {
	text, err := os.ReadFile("testdata/letters.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readLine(b)
		if err != nil {
			return
		}
		again, err := writeLine(Parse(d))
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := readLine(again); err != nil {
			t.Fatalf("what was written cannot be read: %v in %s", err, again)
		}
	})
}
