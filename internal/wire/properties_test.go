package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const fullProperties = "\xff\xfc" +
	"\x02ct" + "\x02ce" + "\x00\x00\x00\x04\x01kt\x01" + "\x02" + "\x09" +
	"\x02ci" + "\x02rt" + "\x0260" + "\x02mi" + "\x00\x00\x00\x00\x65\x53\xf1\x00" +
	"\x02ty" + "\x02ui" + "\x02ai" + "\x02cl"

func TestPropertiesOnTheWire(t *testing.T) {
	full := Properties{
		Flags:       0xfffc,
		ContentType: "ct", ContentEncoding: "ce", Headers: Table{{"k", true}},
		DeliveryMode: 2, Priority: 9,
		CorrelationID: "ci", ReplyTo: "rt", Expiration: "60", MessageID: "mi",
		Timestamp: time.Unix(1700000000, 0).UTC(),
		Type:      "ty", UserID: "ui", AppID: "ai", ClusterID: "cl",
	}
	for name, c := range map[string]struct {
		in   string
		want Properties
	}{
		"full":          {fullProperties, full},
		"none":          {"\x00\x00", Properties{}},
		"empty strings": {"\x80\x80\x00\x00", Properties{Flags: FlagContentType | FlagMessageID}},
		"empty headers": {"\x20\x00\x00\x00\x00\x00", Properties{Flags: FlagHeaders, Headers: Table{}}},
		"not UTF-8":     {"\x80\x00\x01\xff", Properties{Flags: FlagContentType, ContentType: "\xff"}},
		"mode 0":        {"\x10\x00\x00", Properties{Flags: FlagDeliveryMode}},
	} {
		t.Run(name, func(t *testing.T) {
			got := must[Properties](t)(DecodeProperties([]byte(c.in)))
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v", got)
			}
			if out := AppendProperties(nil, &got); string(out) != c.in {
				t.Errorf("written as %q", out)
			}
		})
	}
}

func TestPropertiesIgnoreReservedFlags(t *testing.T) {
	got := must[Properties](t)(DecodeProperties([]byte("\x10\x03\x02")))
	if got.DeliveryMode != 2 || got.Flags != 0x1003 {
		t.Errorf("got %+v", got)
	}
	if out := AppendProperties(nil, &got); string(out) != "\x10\x00\x02" {
		t.Errorf("written as %q", out)
	}
}

func TestPropertiesRefused(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":       "",
		"half flags":    "\x00",
		"rest":          "\x00\x00\x01",
		"string cut":    "\x80\x00\x02a",
		"no string":     "\x80\x00",
		"no mode":       "\x10\x00",
		"no priority":   "\x18\x00\x02",
		"timestamp cut": "\x00\x40\x00\x00\x00\x00\x00\x00\x00",
		"headers cut":   "\x20\x00\x00\x00\x00\x05\x01kt",
		"headers huge":  "\x20\x00\xff\xff\xff\xff\x01kt\x01",
		"headers junk":  "\x20\x00\x00\x00\x00\x03\x01k?",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeProperties([]byte(in))
			if e := refused(t, err, InternalError); e.Reason == "" {
				t.Errorf("got %#v", e)
			}
		})
	}
	for n := range len(fullProperties) {
		if _, err := DecodeProperties([]byte(fullProperties[:n])); err == nil {
			t.Errorf("the first %d octets of properties were taken", n)
		}
	}
}

func TestPropertiesFlags(t *testing.T) {
	p := Properties{DeliveryMode: 2, ContentType: strings.Repeat("é", 200)}
	if out := AppendProperties(nil, &p); !bytes.Equal(out, []byte{0, 0}) {
		t.Errorf("absent properties were written: %q", out)
	}
	p.Set(FlagDeliveryMode | FlagContentType)
	p.SetHeaders(Table{{"a", nil}})
	if !p.Has(FlagDeliveryMode|FlagHeaders) || p.Has(FlagDeliveryMode|FlagPriority) {
		t.Errorf("flags are %#x", p.Flags)
	}
	p.Clear(FlagDeliveryMode)
	got := must[Properties](t)(DecodeProperties(AppendProperties(nil, &p)))
	if got.Has(FlagDeliveryMode) || len(got.ContentType) != 254 || len(got.Headers) != 1 {
		t.Errorf("got %+v", got)
	}
	p.SetHeaders(nil)
	if p.Has(FlagHeaders) {
		t.Error("nil headers are present")
	}
}

func anyProperties() *rapid.Generator[Properties] {
	return rapid.Custom(func(t *rapid.T) Properties {
		p := Properties{Flags: rapid.Uint16().Draw(t, "flags") & flagsAll}
		for _, f := range append(append(p.beforeSlice(), p.betweenSlice()...), p.afterSlice()...) {
			if p.Has(f.flag) {
				*f.value = anyShortstr().Draw(t, "string")
			}
		}
		if p.Has(FlagHeaders) {
			p.Headers = anyTable(2).Draw(t, "headers")
		}
		if p.Has(FlagDeliveryMode) {
			p.DeliveryMode = rapid.Uint8().Draw(t, "mode")
		}
		if p.Has(FlagPriority) {
			p.Priority = rapid.Uint8().Draw(t, "priority")
		}
		if p.Has(FlagTimestamp) {
			p.Timestamp = time.Unix(rapid.Int64().Draw(t, "timestamp"), 0).UTC()
		}
		return p
	})
}

func (p *Properties) beforeSlice() []shortstr  { a := p.before(); return a[:] }
func (p *Properties) betweenSlice() []shortstr { a := p.between(); return a[:] }
func (p *Properties) afterSlice() []shortstr   { a := p.after(); return a[:] }

func TestPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyProperties().Draw(t, "properties")
		got, err := DecodeProperties(AppendProperties(nil, &p))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, p) {
			t.Fatalf("got %+v, want %+v", got, p)
		}
	})
}

func FuzzDecodeProperties(f *testing.F) {
	f.Add([]byte(fullProperties))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("\x00\x01"))
	f.Add([]byte("\x20\x00\x00\x00\x00\x04\x01kt\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeProperties(b)
		if err != nil {
			refused(t, err, InternalError)
			return
		}
		again, err := DecodeProperties(AppendProperties(nil, &p))
		p.Flags &= flagsAll
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("got %+v, %v, want %+v", again, err, p)
		}
	})
}
