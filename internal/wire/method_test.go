package wire

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// onTheWire has methods with their octets, class and method first.
var onTheWire = []struct {
	m    Method
	wire string
}{
	{&ConnectionStart{0, 9, Table{{"k", true}}, "PLAIN", "en_US"}, "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x04\x01kt\x01\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"},
	{&ConnectionStartOk{Table{}, "PLAIN", []byte("\x00u\x00p"), "en_US"}, "\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x04\x00u\x00p\x05en_US"},
	{&ConnectionTune{2047, 131072, 60}, "\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x3c"},
	{&ConnectionOpen{"/"}, "\x00\x0a\x00\x28\x01/\x00\x00"},
	{&ConnectionOpenOk{}, "\x00\x0a\x00\x29\x00"},
	{&ConnectionClose{320, "bye", 60, 40}, "\x00\x0a\x00\x32\x01\x40\x03bye\x00\x3c\x00\x28"},
	{&ConnectionBlocked{"low"}, "\x00\x0a\x00\x3c\x03low"},
	{&ConnectionUpdateSecret{[]byte("s"), "r"}, "\x00\x0a\x00\x46\x00\x00\x00\x01s\x01r"},
	{&ChannelOpen{}, "\x00\x14\x00\x0a\x00"},
	{&ChannelOpenOk{}, "\x00\x14\x00\x0b\x00\x00\x00\x00"},
	{&ChannelFlow{true}, "\x00\x14\x00\x14\x01"},
	{&AccessRequest{"/data", true, false, true, false, true}, "\x00\x1e\x00\x0a\x05/data\x15"},
	{&AccessRequestOk{1}, "\x00\x1e\x00\x0b\x00\x01"},
	{&ExchangeDeclare{"e", "topic", true, false, true, false, true, Table{}}, "\x00\x28\x00\x0a\x00\x00\x01e\x05topic\x15\x00\x00\x00\x00"},
	{&ExchangeDelete{"e", false, true}, "\x00\x28\x00\x14\x00\x00\x01e\x02"},
	{&ExchangeBind{"d", "s", "k", true, Table{}}, "\x00\x28\x00\x1e\x00\x00\x01d\x01s\x01k\x01\x00\x00\x00\x00"},
	{&ExchangeUnbindOk{}, "\x00\x28\x00\x33"},
	{&QueueDeclare{"q", false, true, false, true, false, Table{{"x", int32(1)}}}, "\x00\x32\x00\x0a\x00\x00\x01q\x0a\x00\x00\x00\x07\x01xI\x00\x00\x00\x01"},
	{&QueueDeclareOk{"q", 1, 2}, "\x00\x32\x00\x0b\x01q\x00\x00\x00\x01\x00\x00\x00\x02"},
	{&QueueBind{"q", "e", "k", false, Table{}}, "\x00\x32\x00\x14\x00\x00\x01q\x01e\x01k\x00\x00\x00\x00\x00"},
	{&QueueUnbind{"q", "e", "k", Table{}}, "\x00\x32\x00\x32\x00\x00\x01q\x01e\x01k\x00\x00\x00\x00"},
	{&QueueDelete{"q", true, false, true}, "\x00\x32\x00\x28\x00\x00\x01q\x05"},
	{&QueueDeleteOk{7}, "\x00\x32\x00\x29\x00\x00\x00\x07"},
	{&BasicQos{1, 2, true}, "\x00\x3c\x00\x0a\x00\x00\x00\x01\x00\x02\x01"},
	{&BasicConsume{"q", "c", false, true, false, true, Table{}}, "\x00\x3c\x00\x14\x00\x00\x01q\x01c\x0a\x00\x00\x00\x00"},
	{&BasicPublish{"e", "k\xff", true, false}, "\x00\x3c\x00\x28\x00\x00\x01e\x02k\xff\x01"},
	{&BasicReturn{312, "NO_ROUTE", "e", "k"}, "\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x01e\x01k"},
	{&BasicDeliver{"c", 5, true, "e", "k"}, "\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x00\x05\x01\x01e\x01k"},
	{&BasicGetOk{5, true, "e", "k", 3}, "\x00\x3c\x00\x47\x00\x00\x00\x00\x00\x00\x00\x05\x01\x01e\x01k\x00\x00\x00\x03"},
	{&BasicGetEmpty{}, "\x00\x3c\x00\x48\x00"},
	{&BasicAck{1 << 40, true}, "\x00\x3c\x00\x50\x00\x00\x01\x00\x00\x00\x00\x00\x01"},
	{&BasicReject{2, true}, "\x00\x3c\x00\x5a\x00\x00\x00\x00\x00\x00\x00\x02\x01"},
	{&BasicNack{3, false, true}, "\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x00\x03\x02"},
	{&ConfirmSelect{true}, "\x00\x55\x00\x0a\x01"},
	{&TxCommitOk{}, "\x00\x5a\x00\x15"},
}

func TestMethodsOnTheWire(t *testing.T) {
	for _, c := range onTheWire {
		name := MethodName(c.m.ID())
		got := must[Method](t)(DecodeMethod([]byte(c.wire)))
		if !reflect.DeepEqual(got, c.m) {
			t.Errorf("%s: got %#v", name, got)
		}
		if out := AppendMethod(nil, 9, c.m); string(out) != frame(FrameMethod, 9, c.wire) {
			t.Errorf("%s: written as %q", name, out)
		}
	}
}

func TestMethodNames(t *testing.T) {
	for key, mi := range methods {
		class, method := mi.make().ID()
		if methodKey(class, method) != key {
			t.Errorf("%s is listed as %d.%d", mi.name, key>>16, key&0xffff)
		}
		// QueueDeclareOk is queue.declare_ok.
		want := strings.ReplaceAll(strings.Replace(mi.name, ".", "", 1), "_", "")
		if got := strings.ToLower(reflect.TypeOf(mi.make()).Elem().Name()); got != want {
			t.Errorf("%s is a %s", mi.name, got)
		}
	}
	if len(methods) != 69 {
		t.Errorf("there are %d methods", len(methods))
	}
	if got := MethodName(60, 99); got != "60.99" {
		t.Errorf("got %q", got)
	}
}

func anyMethod() *rapid.Generator[Method] {
	return rapid.Custom(func(t *rapid.T) Method {
		keys := slices.Sorted(maps.Keys(methods))
		m := methods[rapid.SampledFrom(keys).Draw(t, "key")].make()
		v := reflect.ValueOf(m).Elem()
		for i := range v.NumField() {
			v.Field(i).Set(reflect.ValueOf(fieldLike(v.Field(i).Interface()).Draw(t, "field")))
		}
		return m
	})
}

func fieldLike(v any) *rapid.Generator[any] {
	switch v.(type) {
	case bool:
		return rapid.Bool().AsAny()
	case uint8:
		return rapid.Uint8().AsAny()
	case uint16:
		return rapid.Uint16().AsAny()
	case uint32:
		return rapid.Uint32().AsAny()
	case uint64:
		return rapid.Uint64().AsAny()
	case string:
		return anyShortstr().AsAny()
	case []byte:
		return rapid.SliceOfN(rapid.Byte(), 0, 300).AsAny()
	}
	return anyTable(1).AsAny()
}

func TestMethodRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, channel := anyMethod().Draw(t, "method"), rapid.Uint16().Draw(t, "channel")
		r := NewReader(bytes.NewReader(AppendMethod(nil, channel, m)))
		r.SetLimit(0)
		f, err := r.Read()
		if err != nil || f.Type != FrameMethod || f.Channel != channel {
			t.Fatal(f, err)
		}
		got, err := DecodeMethod(f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("got %#v, want %#v", got, m)
		}
		for n := range f.Payload {
			if _, err := DecodeMethod(f.Payload[:n]); err == nil {
				t.Fatalf("%d of %d octets were taken", n, len(f.Payload))
			}
		}
		if _, err := DecodeMethod(append(f.Payload, 0)); err == nil {
			t.Fatal("an octet too many was taken")
		}
	})
}

func TestMethodRefused(t *testing.T) {
	const declare = "\x00\x32\x00\x0a\x00\x00"
	for name, c := range map[string]struct {
		in   string
		want Error
	}{
		"no ids":         {"\x00\x3c\x00", Error{Code: 501, Text: "FRAME_ERROR - type 1, all octets = <<0,60,0>>: unknown_frame"}},
		"no such method": {"\x00\x3c\x00\x63", Error{Code: 503, Text: "COMMAND_INVALID", Drop: true, Reason: "there is no method 99 of class 60"}},
		"short":          {"\x00\x3c\x00\x50\x01\x02\x03", Error{Code: 501, Text: "FRAME_ERROR - cannot decode <<1,2,3>>", Class: 60, Method: 80}},
		"long": {
			"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00\x09",
			Error{Code: 501, Text: "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,1,0,9>>", Class: 60, Method: 80},
		},
		"very long": {
			"\x00\x3c\x00\x50" + strings.Repeat("\x00", 400),
			Error{Code: 501, Text: "FRAME_ERROR - cannot decode <<" + strings.Repeat("0,", 111) + "...", Class: 60, Method: 80},
		},
		"short on channel 0": {"\x00\x0a\x00\x46\x01", Error{Code: 541, Text: "INTERNAL_ERROR", Reason: "cannot decode connection.update_secret"}},
		"not UTF-8":          {declare + "\x01\xff\x00\x00\x00\x00\x00", Error{Code: 501, Text: "FRAME_ERROR - Malformed UTF-8 in shortstr"}},
		"not UTF-8 on channel 0": {
			"\x00\x0a\x00\x46\x00\x00\x00\x00\x01\xff",
			Error{Code: 501, Text: "FRAME_ERROR - Malformed UTF-8 in shortstr", Class: 10, Method: 70},
		},
		"not UTF-8 and long": {
			"\x00\x3c\x00\x1f\x01\xff\x00",
			Error{Code: 501, Text: "FRAME_ERROR - cannot decode <<1,255,0>>", Class: 60, Method: 31},
		},
		"table": {
			declare + "\x01q\x00\x00\x00\x00\x03\x01k?",
			Error{Code: 541, Text: "INTERNAL_ERROR", Drop: true, Reason: "table: value of entry 0 is cut or of no known type"},
		},
		"table after not UTF-8": {
			declare + "\x01\xff\x00\x00\x00\x00\x03\x01k?",
			Error{Code: 501, Text: "FRAME_ERROR - Malformed UTF-8 in shortstr"},
		},
		"table on channel 0": {
			"\x00\x0a\x00\x0b\x00\x00\x00\x03\x01k?\x00\x00\x00\x00\x00\x00",
			Error{Code: 541, Text: "INTERNAL_ERROR", Reason: "table: value of entry 0 is cut or of no known type"},
		},
		"table longer than the frame": {
			declare + "\x01q\x00\xff\xff\xff\xff",
			Error{Code: 501, Text: "FRAME_ERROR - cannot decode <<0,0,1,113,0,255,255,255,255>>", Class: 50, Method: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeMethod([]byte(c.in))
			if e := refused(t, err, c.want.Code); *e != c.want {
				t.Errorf("got  %#v\nwant %#v", *e, c.want)
			}
		})
	}
}

func TestMethodIgnoresBitsWithoutMeaning(t *testing.T) {
	got := must[Method](t)(DecodeMethod([]byte("\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x00\xfe")))
	if !reflect.DeepEqual(got, &BasicQos{}) {
		t.Errorf("got %#v", got)
	}
}

func TestLongShortstrIsCut(t *testing.T) {
	out := AppendMethod(nil, 1, &QueueDeclareOk{Queue: strings.Repeat("é", 200), MessageCount: 5})
	f := must[Frame](t)(NewReader(bytes.NewReader(out)).Read())
	got := must[Method](t)(DecodeMethod(f.Payload))
	if want := (&QueueDeclareOk{Queue: strings.Repeat("é", 127), MessageCount: 5}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestMethodDoesNotAliasThePayload(t *testing.T) {
	for _, c := range onTheWire {
		b := []byte(c.wire)
		got := must[Method](t)(DecodeMethod(b))
		clear(b)
		if !reflect.DeepEqual(got, c.m) {
			t.Errorf("%s changed with its payload", MethodName(c.m.ID()))
		}
	}
}

func FuzzDecodeMethod(f *testing.F) {
	for _, c := range onTheWire {
		f.Add([]byte(c.wire))
	}
	f.Add([]byte("\x00\x32\x00\x0a\x00\x00\x01\xff\x00\x00\x00\x00\x03\x01k?"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMethod(b)
		hotPathsAgree(t, b, m, err)
		if err != nil {
			if m != nil {
				t.Fatalf("%v with %v", m, err)
			}
			return
		}
		out := AppendMethod(nil, 1, m)
		again, err := DecodeMethod(out[frameHeaderSize : len(out)-1])
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("got %#v, %v, want %#v", again, err, m)
		}
	})
}
