package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// hotPathsAgree checks that the decoders of single methods say what DecodeMethod
// says.
func hotPathsAgree(t *testing.T, payload []byte, want Method, wantErr error) {
	t.Helper()
	var got Method
	var err error
	switch c, i := MethodID(payload); methodKey(c, i) {
	case methodKey(ClassBasic, MethodBasicPublish):
		m := new(BasicPublish)
		got, err = m, DecodePublish(payload, m)
	case methodKey(ClassBasic, MethodBasicAck):
		m := new(BasicAck)
		got, err = m, DecodeAck(payload, m)
	case methodKey(ClassBasic, MethodBasicReject):
		m := new(BasicReject)
		got, err = m, DecodeReject(payload, m)
	case methodKey(ClassBasic, MethodBasicNack):
		m := new(BasicNack)
		got, err = m, DecodeNack(payload, m)
	default:
		return
	}
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("got %v, want %v", err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

func TestHotPathsAgree(t *testing.T) {
	for _, c := range onTheWire {
		for n := range len(c.wire) + 1 {
			m, err := DecodeMethod([]byte(c.wire[:n]))
			hotPathsAgree(t, []byte(c.wire[:n]), m, err)
		}
	}
	d := &BasicDeliver{"c", 5, true, "e", "k"}
	for _, c := range []struct{ got, want []byte }{
		{AppendDeliver(nil, 3, d), AppendMethod(nil, 3, d)},
		{AppendAck(nil, 3, 9, true), AppendMethod(nil, 3, &BasicAck{9, true})},
		{AppendNack(nil, 3, 9, true), AppendMethod(nil, 3, &BasicNack{DeliveryTag: 9, Multiple: true})},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestHotPathsRefuseOtherMethods(t *testing.T) {
	ack := AppendAck(nil, 1, 1, false)[frameHeaderSize:]
	refused(t, DecodePublish(ack, new(BasicPublish)), InternalError)
	refused(t, DecodeNack(ack, new(BasicNack)), InternalError)
	refused(t, DecodeAck(nil, new(BasicAck)), InternalError)
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	publish := AppendMethod(nil, 1, &BasicPublish{"events", "order.created", true, false})
	publish = publish[frameHeaderSize : len(publish)-1]
	ack := AppendAck(nil, 1, 1, true)
	ack = ack[frameHeaderSize : len(ack)-1]
	stream := bytes.Repeat([]byte(frame(FrameBody, 1, "0123456789")), 10000)
	r := NewReader(bytes.NewReader(stream))
	dst := make([]byte, 0, 4096)
	body := make([]byte, 1000)
	for name, f := range map[string]func(){
		"PublishKeys": func() { _, _, _, _, _ = PublishKeys(publish) },
		"DecodeAck":   func() { var m BasicAck; _ = DecodeAck(ack, &m) },
		"deliver": func() {
			dst = AppendDeliver(dst[:0], 1, &BasicDeliver{"ctag", 7, false, "events", "order.created"})
			dst = AppendHeader(dst, 1, 1000, publish)
			dst = AppendBody(dst, 1, body, 131072)
			dst = AppendAck(dst, 1, 7, true)
		},
		"Read": func() { _, _ = r.Read() },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkPublishKeys(b *testing.B) {
	p := AppendMethod(nil, 1, &BasicPublish{"events", "order.created", true, false})
	p = p[frameHeaderSize : len(p)-1]
	b.ReportAllocs()
	for b.Loop() {
		_, _, _, _, _ = PublishKeys(p)
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	p := AppendMethod(nil, 1, &BasicPublish{"events", "order.created", true, false})
	p = p[frameHeaderSize : len(p)-1]
	var m BasicPublish
	b.ReportAllocs()
	for b.Loop() {
		_ = DecodePublish(p, &m)
	}
}

func BenchmarkDecodeMethodPublish(b *testing.B) {
	p := AppendMethod(nil, 1, &BasicPublish{"events", "order.created", true, false})
	p = p[frameHeaderSize : len(p)-1]
	b.ReportAllocs()
	for b.Loop() {
		_, _ = DecodeMethod(p)
	}
}

func BenchmarkDecodeAck(b *testing.B) {
	p := AppendAck(nil, 1, 1, true)
	p = p[frameHeaderSize : len(p)-1]
	var m BasicAck
	b.ReportAllocs()
	for b.Loop() {
		_ = DecodeAck(p, &m)
	}
}

func BenchmarkAppendDeliver(b *testing.B) {
	m := &BasicDeliver{"ctag", 7, false, "events", "order.created"}
	props, body, dst := []byte(fullProperties), make([]byte, 1024), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendDeliver(dst[:0], 1, m)
		dst = AppendHeader(dst, 1, uint64(len(body)), props)
		dst = AppendBody(dst, 1, body, 131072)
	}
}

func BenchmarkAppendAck(b *testing.B) {
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendAck(dst[:0], 1, 7, true)
	}
}

func BenchmarkReader(b *testing.B) {
	const frames = 1000
	stream := bytes.Repeat([]byte(frame(FrameBody, 1, string(make([]byte, 256)))), frames)
	source := bytes.NewReader(stream)
	r := NewReader(source)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream) / frames))
	for b.Loop() {
		if _, err := r.Read(); err != nil {
			source.Reset(stream)
		}
	}
}

func BenchmarkDecodeProperties(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = DecodeProperties([]byte(fullProperties))
	}
}

func BenchmarkAppendProperties(b *testing.B) {
	p, _ := DecodeProperties([]byte(fullProperties))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendProperties(dst[:0], &p)
	}
}

func BenchmarkDecodeTable(b *testing.B) {
	t := AppendTable(nil, Table{{"hareline-attempt", int64(3)}, {"x-death", []any{Table{{"queue", "orders"}, {"count", int64(2)}}}}, {"trace", "00-4bf92f3577b34da6a3ce929d0e0e4736"}})[4:]
	b.ReportAllocs()
	for b.Loop() {
		_, _ = DecodeTable(t)
	}
}
