package scenario

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func TestParse(t *testing.T) {
	scripts, err := Parse("file", `
# a comment
--- first
only 4.0 4.3
queue.declare q durable x-queue-type=quorum x-message-ttl=long:100 # why
on b.2 basic.publish "" "a b" body="x y" headers={n=1, "s t"="}", l=[1, {}], d=decimal:2,314} mandatory
repeat 3 basic.publish "" q body=%d
expect deliver 2
--- second
wait 300ms
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) != 2 || scripts[0].Name != "first" || scripts[1].Name != "second" || len(scripts[0].steps) != 4 {
		t.Fatalf("got %+v", scripts)
	}
	if !scripts[0].For("4.0") || scripts[0].For("3.10") || !scripts[1].For("3.10") {
		t.Error("wrong versions")
	}
	st := scripts[0].steps[1]
	if st.conn != "b" || st.channel != 2 || st.verb != "basic.publish" {
		t.Errorf("got %+v", st)
	}
	if got := scripts[0].steps[2].at(2)[2]; got != "body=2" {
		t.Errorf("repeat: %q", got)
	}
	r := methods["basic.publish"](newCall(st.words, func(s string) string { return s }))
	if m := r.method.(*wire.BasicPublish); m.RoutingKey != "a b" || !m.Mandatory {
		t.Errorf("got %+v", m)
	}
	want := wire.Table{
		{Key: "n", Value: int32(1)}, {Key: "s t", Value: "}"}, {Key: "l", Value: []any{int32(1), wire.Table{}}},
		{Key: "d", Value: wire.Decimal{Scale: 2, Value: 314}},
	}
	if got := r.content.properties.Headers; !reflect.DeepEqual(got, want) {
		t.Errorf("headers: got %v, want %v", got, want)
	}
	if string(r.content.body) != "x y" {
		t.Errorf("body: %q", r.content.body)
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"queue.declare":                      "no queue",
		"queue.declare q bogus":              "unknown here: bogus",
		"queue.delete q x=1":                 "unknown here: x=1",
		"basic.ack one":                      "delivery tag",
		"basic.publish \"\" q headers=1":     "headers is no table",
		"basic.publish \"\" q headers={a=1":  "do not match",
		"basic.publish \"\" q body=\"a":      "no closed string",
		"bogus.method":                       "unknown step",
		"wait a-bit":                         "duration",
		"expect miracle":                     "want deliver",
		"on":                                 "no place",
		"on a.b queue.purge q":               "want CHANNEL",
		"repeat x queue.purge q":             "no number",
		"depth q":                            "want a queue and a number",
		"send bogus":                         "want bytes",
		"queue.declare q x-max-length=int:a": "", // the value is read when it is used
	} {
		_, err := Parse("f", "--- s\n"+line)
		if want == "" {
			want = "invalid syntax"
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "f:2:") {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]any{
		"1": int32(1), "-5": int32(-5), "4294967296": int64(4294967296), "true": true, "void": nil, "abc": "abc",
		"byte:-1": int8(-1), "ubyte:255": uint8(255), "short:7": int16(7), "ushort:7": uint16(7), "int:7": int32(7),
		"uint:7": uint32(7), "long:7": int64(7), "float:1.5": float32(1.5), "double:1.5": 1.5, "string:7": "7",
		`string:"a b"`: "a b", "bytes:ab": []byte("ab"), "bytes:hex:00ff": []byte{0, 255}, "time:60": time.Unix(60, 0).UTC(),
		"[]": []any{}, "{}": wire.Table{}, "a:b": "a:b",
	} {
		got, err := word{text: text}.value()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", text, got, err, want)
		}
	}
}
