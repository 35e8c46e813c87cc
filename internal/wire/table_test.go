package wire

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// values has each type of field, with its octets.
var values = []struct {
	value any
	wire  string
}{
	{nil, "V"},
	{true, "t\x01"}, {false, "t\x00"},
	{int8(-2), "b\xfe"}, {uint8(254), "B\xfe"},
	{int16(-2), "s\xff\xfe"}, {uint16(0xfffe), "u\xff\xfe"},
	{int32(-2), "I\xff\xff\xff\xfe"}, {uint32(0xfffffffe), "i\xff\xff\xff\xfe"},
	{int64(-2), "l\xff\xff\xff\xff\xff\xff\xff\xfe"},
	{float32(1.5), "f\x3f\xc0\x00\x00"}, {1.5, "d\x3f\xf8\x00\x00\x00\x00\x00\x00"},
	{Decimal{2, 0xffffffff}, "D\x02\xff\xff\xff\xff"},
	{"a\xff", "S\x00\x00\x00\x02a\xff"}, {"", "S\x00\x00\x00\x00"},
	{[]byte{1, 2}, "x\x00\x00\x00\x02\x01\x02"}, {[]byte{}, "x\x00\x00\x00\x00"},
	{time.Unix(1700000000, 0).UTC(), "T\x00\x00\x00\x00\x65\x53\xf1\x00"},
	{time.Unix(-1, 0).UTC(), "T\xff\xff\xff\xff\xff\xff\xff\xff"},
	{Table{}, "F\x00\x00\x00\x00"}, {Table{{"k", true}}, "F\x00\x00\x00\x04\x01kt\x01"},
	{[]any{}, "A\x00\x00\x00\x00"}, {[]any{nil, int8(1)}, "A\x00\x00\x00\x03Vb\x01"},
}

func TestTableOnTheWire(t *testing.T) {
	var whole Table
	var octets string
	for _, v := range values {
		table, in := Table{{"key", v.value}}, "\x03key"+v.wire
		got := must[Table](t)(DecodeTable([]byte(in)))
		if !reflect.DeepEqual(got, table) {
			t.Errorf("%q: got %#v, want %#v", in, got, table)
		}
		if out := AppendTable(nil, table); string(out[4:]) != in {
			t.Errorf("%#v: got %q, want %q", table, out[4:], in)
		}
		whole, octets = append(whole, table...), octets+in
	}
	if got := must[Table](t)(DecodeTable([]byte(octets))); !reflect.DeepEqual(got, whole) {
		t.Errorf("got %#v", got)
	}
}

func TestTableReadsLAsSigned(t *testing.T) {
	got := must[Table](t)(DecodeTable([]byte("\x01kL\xff\xff\xff\xff\xff\xff\xff\xff")))
	if v, _ := got.Get("k"); v != int64(-1) {
		t.Errorf("got %#v", v)
	}
}

func TestTableOfOtherTypes(t *testing.T) {
	out := AppendTable(nil, Table{{"i", 7}, {"u", uint64(7)}, {"s", struct{}{}}, {"m", map[string]any{}}})
	got := must[Table](t)(DecodeTable(out[4:]))
	if want := (Table{{"i", int64(7)}, {"u", nil}, {"s", nil}, {"m", nil}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestTableRefused(t *testing.T) {
	nested := func(s string) string { return "\x01kA\x00\x00\x00" + string(rune(len(s))) + s }
	for name, in := range map[string]string{
		"key cut":       "\x05key",
		"no value":      "\x01k",
		"unknown type":  "\x01k?\x00",
		"lower v":       "\x01kv",
		"bool cut":      "\x01kt",
		"double cut":    "\x01kd1234567",
		"decimal cut":   "\x01kD1234",
		"longstr cut":   "\x01kS\x00\x00\x00\x02a",
		"longstr huge":  "\x01kS\xff\xff\xff\xffa",
		"length cut":    "\x01kS\x00\x00\x00",
		"table cut":     "\x01kF\x00\x00\x00\x02\x01k",
		"array cut":     nested("S\x00\x00\x00\x01"),
		"array of junk": nested("?"),
		"double NaN":    "\x01kd\x7f\xf8\x00\x00\x00\x00\x00\x00",
		"double inf":    "\x01kd\x7f\xf0\x00\x00\x00\x00\x00\x00",
		"float inf":     nested("f\xff\x80\x00\x00"),
		"behind good":   "\x01kt\x01\x00",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeTable([]byte(in))
			if e := refused(t, err, InternalError); e.Reason == "" || e.Text != "INTERNAL_ERROR" {
				t.Errorf("got %#v", e)
			}
		})
	}
}

func TestTableDepth(t *testing.T) {
	nest := func(levels int) []byte {
		size := 5 * levels
		b := []byte{0}
		for ; size > 0; size -= 5 {
			b = append(b, 'A', byte((size-5)>>24), byte((size-5)>>16), byte((size-5)>>8), byte(size-5))
		}
		return b
	}
	deep := must[Table](t)(DecodeTable(nest(maxDepth)))
	if out := AppendTable(nil, deep); !bytes.Equal(out[4:], nest(maxDepth)) {
		t.Error("a deep table changed")
	}
	if c := deep.Clone(); !bytes.Equal(AppendTable(nil, c)[4:], nest(maxDepth)) {
		t.Error("a deep table's clone differs")
	}
	_, err := DecodeTable(nest(maxDepth + 1))
	refused(t, err, InternalError)
	_, err = DecodeTable(nest(1 << 20))
	refused(t, err, InternalError)
}

func TestTableThatHoldsItself(t *testing.T) {
	a := []any{nil}
	a[0] = a
	endless := Table{{"a", a}}
	AppendTable(nil, endless)
	endless.Clone()
}

func TestTableMemory(t *testing.T) {
	const size = 1 << 20
	for name, in := range map[string]string{
		"voids":  "\x00A\x00\x0f\xff\xfa" + strings.Repeat("V", size-6),
		"fields": strings.Repeat("\x00V", size/2),
		"arrays": strings.Repeat("\x00A\x00\x00\x00\x00", size/6),
		"tables": strings.Repeat("\x00F\x00\x00\x00\x02\x00V", size/8),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			must[Table](t)(DecodeTable([]byte(in)))
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / uint64(len(in)); n > 24 {
				t.Errorf("decoding allocated %d times its input", n)
			}
		})
	}
}

func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := anyTable(3).Draw(t, "table")
		out := AppendTable([]byte("before"), table)
		got, err := DecodeTable(out[10:])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, table) {
			t.Fatalf("got %#v, want %#v", got, table)
		}
		if !reflect.DeepEqual(got.Clone(), table) {
			t.Fatal("the clone differs")
		}
	})
}

func TestTableSet(t *testing.T) {
	old := make(Table, 0, 8)
	old = append(old, Field{"a", 1}, Field{"b", 2}, Field{"a", 3})
	replaced, appended := old.Set("a", 9), old.Set("c", 9)
	if want := (Table{{"a", 9}, {"b", 2}, {"a", 3}}); !reflect.DeepEqual(replaced, want) {
		t.Errorf("got %v", replaced)
	}
	other := old.Set("d", 9)
	if want := (Table{{"a", 1}, {"b", 2}, {"a", 3}, {"c", 9}}); !reflect.DeepEqual(appended, want) {
		t.Errorf("got %v, and %v", appended, other)
	}
	if want := (Table{{"a", 1}, {"b", 2}, {"a", 3}}); !reflect.DeepEqual(old, want) {
		t.Errorf("the old table is %v", old)
	}
	if got := Table(nil).Set("a", 1); !reflect.DeepEqual(got, Table{{"a", 1}}) {
		t.Errorf("got %v", got)
	}
}

func TestTableWithout(t *testing.T) {
	old := Table{{"a", 1}, {"b", 2}, {"a", 3}, {"c", 4}}
	if got := old.Without("a", "x"); !reflect.DeepEqual(got, Table{{"b", 2}, {"c", 4}}) || len(old) != 4 {
		t.Errorf("got %v", got)
	}
	if got := Table(nil).Without("a"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestTableSorted(t *testing.T) {
	old := Table{{"b", 1}, {"a", 2}, {"b", 0}, {"B", 3}}
	if got := old.Sorted(); !reflect.DeepEqual(got, Table{{"B", 3}, {"a", 2}, {"b", 1}, {"b", 0}}) || old[0].Key != "b" {
		t.Errorf("got %v", got)
	}
}

func TestTableCloneSharesNothing(t *testing.T) {
	old := Table{{"t", Table{{"x", []byte{1}}}}, {"a", []any{[]byte{1}}}}
	c := old.Clone()
	c[0].Value.(Table)[0].Value.([]byte)[0] = 2
	c[1].Value.([]any)[0].([]byte)[0] = 2
	if want := (Table{{"t", Table{{"x", []byte{1}}}}, {"a", []any{[]byte{1}}}}); !reflect.DeepEqual(old, want) {
		t.Errorf("the old table is %v", old)
	}
}

func TestInt(t *testing.T) {
	for _, v := range []any{int8(7), uint8(7), int16(7), uint16(7), int32(7), uint32(7), int64(7), 7} {
		if got, ok := Int(v); got != 7 || !ok {
			t.Errorf("%T: got %d, %v", v, got, ok)
		}
	}
	for _, v := range []any{nil, "7", 7.0, true, uint64(math.MaxUint64)} {
		if _, ok := Int(v); ok {
			t.Errorf("%T is an integer", v)
		}
	}
}

func TestLongKeyIsCut(t *testing.T) {
	for in, want := range map[string]int{
		strings.Repeat("a", 300):       255,
		strings.Repeat("é", 200):       254,
		strings.Repeat("\x80", 300):    255,
		"a" + strings.Repeat("😀", 100): 253,
	} {
		out := AppendTable(nil, Table{{in, true}, {"next", nil}})
		got := must[Table](t)(DecodeTable(out[4:]))
		if len(got) != 2 || got[0].Key != in[:want] || got[1].Key != "next" {
			t.Errorf("%d octets of %.4q became %d", len(in), in, len(got[0].Key))
		}
	}
}

func FuzzDecodeTable(f *testing.F) {
	for _, v := range values {
		f.Add([]byte("\x03key" + v.wire))
	}
	f.Add([]byte("\x01kd\x7f\xf8\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01kS\xff\xff\xff\xffa"))
	f.Add([]byte("\x00A\x00\x00\x00\x0aA\x00\x00\x00\x05A\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := DecodeTable(b)
		if err != nil {
			refused(t, err, InternalError)
			return
		}
		out := AppendTable(nil, table)
		if len(out) != len(b)+4 {
			t.Fatalf("%d octets became %d", len(b), len(out)-4)
		}
		again, err := DecodeTable(out[4:])
		if err != nil || !reflect.DeepEqual(again, table) {
			t.Fatalf("got %#v, %v, want %#v", again, err, table)
		}
	})
}
