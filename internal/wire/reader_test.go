package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func frame(typ uint8, channel uint16, payload string) string {
	return string(end(append(begin(nil, typ, channel), payload...), 0))
}

func TestReaderReadsFrames(t *testing.T) {
	in := frame(FrameMethod, 1, "\x00\x3c\x00\x28rest") + frame(FrameBody, 0xfffe, "") +
		frame(FrameHeader, 2, "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05") + frame(FrameHeartbeat, 0, "") +
		frame(FrameBody, 3, strings.Repeat("b", 4096))
	want := []Frame{
		{FrameMethod, 1, []byte("\x00\x3c\x00\x28rest")},
		{FrameBody, 0xfffe, nil},
		{FrameHeader, 2, []byte("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05")},
		{FrameHeartbeat, 0, nil},
		{FrameBody, 3, bytes.Repeat([]byte("b"), 4096)},
	}
	for name, source := range map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"octets":   iotest.OneByteReader,
		"halves":   iotest.HalfReader,
		"data+err": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(source(strings.NewReader("AMQP\x00\x00\x09\x01" + in)))
			if h := must[[8]byte](t)(r.ProtocolHeader()); string(h[:]) != "AMQP\x00\x00\x09\x01" {
				t.Errorf("the protocol header is %q", h)
			}
			for i, w := range want {
				f := must[Frame](t)(r.Read())
				if f.Type != w.Type || f.Channel != w.Channel || !bytes.Equal(f.Payload, w.Payload) {
					t.Errorf("frame %d is %v, want %v", i, f, w)
				}
			}
			if _, err := r.Read(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestReaderEndsWithinAFrame(t *testing.T) {
	whole := frame(FrameBody, 1, "body")
	for n := 1; n < len(whole); n++ {
		if _, err := NewReader(strings.NewReader(whole[:n])).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d octets: %v", n, err)
		}
	}
	if _, err := NewReader(strings.NewReader("AMQP")).ProtocolHeader(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a protocol header: %v", err)
	}
	if _, err := NewReader(strings.NewReader("")).ProtocolHeader(); !errors.Is(err, io.EOF) {
		t.Errorf("no protocol header: %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		text  string
		fatal bool
	}{
		"unknown type": {frame(7, 1, "hello"), `type 7, all octets = <<"hello">>: unknown_frame`, false},
		"method short": {frame(1, 1, "\x00\x3c"), `type 1, all octets = <<0,60>>: unknown_frame`, false},
		"header short": {frame(2, 1, "\x00\x3c\x00\x00"), `type 2, all octets = <<0,60,0,0>>: unknown_frame`, false},
		"heartbeat":    {frame(8, 0, "\x01"), `type 8, all octets = <<1>>: unknown_frame`, false},
		"text":         {frame(9, 0, "a\"\\\n\x1b "), `type 9, all octets = <<"a\"\\\n\e ">>: unknown_frame`, false},
		"long":         {frame(9, 0, "0123456789abcdefg"), `type 9, first 16 octets = <<"0123456789abcdef">>: unknown_frame`, false},
		"end":          {"\x03\x00\x01\x00\x00\x00\x00\x01rest", `type 3, all octets = <<>>: {invalid_frame_end_marker,1}`, true},
		"too large":    {"\x01\x00\x01\x00\x00\x10\x01", `type 1, all octets = <<>>: {frame_too_large,4097,4088}`, true},
		"huge":         {"\x01\x00\x01\xff\xff\xff\xff", `type 1, all octets = <<>>: {frame_too_large,4294967295,4088}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(c.in + frame(FrameBody, 5, "next")))
			_, err := r.Read()
			e := refused(t, err, FrameError)
			if e.Text != "FRAME_ERROR - "+c.text || e.Fatal != c.fatal || e.Drop || e.Class != 0 {
				t.Errorf("got %#v", e)
			}
			f, err := r.Read()
			if c.fatal {
				if e := refused(t, err, FrameError); !e.Fatal || !r.Buffered() {
					t.Errorf("then %#v", e)
				}
			} else if err != nil || string(f.Payload) != "next" {
				t.Errorf("then %v, %v", f, err)
			}
		})
	}
}

// The lines of these texts break where Erlang breaks them.
func TestFrameTextBreaksLikeErlang(t *testing.T) {
	for _, c := range []struct{ payload, what, want string }{
		{
			"\x00\x3c\x00\x14\x00\x00\x16webhook.a", "{invalid_frame_end_marker,0}",
			"type 1, first 16 octets = <<0,60,0,20,0,0,22,119,101,98,104,111,111,107,46,97>>: {invalid_frame_end_marker,\n" + strings.Repeat(" ", 82) + "0}",
		},
		{
			"\xc8\xc8\xc8\xc8\xc8\xc8\xc8\xc8\xc8\xc8\xc8\xc8\x02\x02\xc8\xc9", "{invalid_frame_end_marker,121}",
			"type 1, first 16 octets = <<200,200,200,200,200,200,200,200,200,200,200,200,2,\n" + strings.Repeat(" ", 28) + "2,200,201>>: {invalid_frame_end_marker,121}",
		},
		{
			"ab\"cdefghijklmnop", "{invalid_frame_end_marker,12}",
			"type 1, first 16 octets = <<\"ab\\\"cdefghijklmno\">>: {invalid_frame_end_marker,\n" + strings.Repeat(" ", 52) + "12}",
		},
		{"abcdefghijklmnop", "{invalid_frame_end_marker,0}", `type 1, first 16 octets = <<"abcdefghijklmnop">>: {invalid_frame_end_marker,0}`},
	} {
		if len(c.payload) == 16 {
			c.payload += "x"
		}
		if got := frameText(Frame{Type: 1, Payload: []byte(c.payload)}, c.what); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

func TestReaderLimit(t *testing.T) {
	for _, c := range []struct {
		limit uint32
		size  int
		ok    bool
	}{
		{4096, 4088, true},
		{4096, 4096, true}, // RabbitMQ lets 8 octets more pass
		{4096, 4097, false},
		{131072, 131072, true},
		{131072, 131073, false},
		{0, 1 << 20, true},
		{0, FrameMaxSize + 1, false},
		{0xffffffff, FrameMaxSize + 1, false},
		{1, 9, false},
	} {
		r := NewReader(strings.NewReader(frame(FrameBody, 1, strings.Repeat("x", c.size))))
		r.SetLimit(c.limit)
		f, err := r.Read()
		if c.ok && (err != nil || len(f.Payload) != c.size) {
			t.Errorf("limit %d, payload %d: %v", c.limit, c.size, err)
		}
		if !c.ok {
			refused(t, err, FrameError)
		}
	}
}

func TestReaderGrowsWithWhatComes(t *testing.T) {
	var before, after runtime.MemStats
	r := NewReader(strings.NewReader("\x03\x00\x01\x00\xff\xff\xff" + strings.Repeat("x", 100)))
	r.SetLimit(0)
	runtime.ReadMemStats(&before)
	_, err := r.Read()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, io.ErrUnexpectedEOF) || n > 2*bufferSize {
		t.Errorf("%v, and %d octets for a frame that did not come", err, n)
	}
}

func TestReaderLetsALargeBufferGo(t *testing.T) {
	r := NewReader(strings.NewReader(frame(FrameBody, 1, strings.Repeat("x", 2*bufferKeep)) + frame(FrameHeartbeat, 0, "")))
	r.SetLimit(0)
	must[Frame](t)(r.Read())
	must[Frame](t)(r.Read())
	_, _ = r.Read()
	if len(r.buf) != bufferSize {
		t.Errorf("the buffer has %d octets", len(r.buf))
	}
}

func TestReaderBuffered(t *testing.T) {
	two := frame(FrameBody, 1, "one") + frame(FrameBody, 1, "two")
	r := NewReader(io.MultiReader(strings.NewReader(two[:len(two)-1]), strings.NewReader(two[len(two)-1:])))
	if r.Buffered() {
		t.Error("a frame before anything was read")
	}
	must[Frame](t)(r.Read())
	if r.Buffered() {
		t.Error("a frame that lacks its end")
	}
	must[Frame](t)(r.Read())
	r = NewReader(strings.NewReader(two + "\x03\x00\x01\xff\xff\xff\xff"))
	for range 2 {
		must[Frame](t)(r.Read())
		if !r.Buffered() {
			t.Error("not what is there")
		}
	}
}

// timeouts fails once before each octet.
type timeouts struct {
	s    string
	fail bool
}

func (r *timeouts) Read(p []byte) (int, error) {
	if r.fail = !r.fail; r.fail {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p[:1], r.s)
	r.s = r.s[n:]
	return n, nil
}

func TestReaderGoesOnAfterTimeouts(t *testing.T) {
	r := NewReader(&timeouts{s: frame(FrameBody, 1, "body")})
	for n := 0; ; n++ {
		f, err := r.Read()
		if err == nil {
			if string(f.Payload) != "body" || n == 0 {
				t.Errorf("%q after %d timeouts", f.Payload, n)
			}
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 100 {
			t.Fatal(err)
		}
	}
}

type badReader int

func (r badReader) Read([]byte) (int, error) { return int(r), nil }

func TestReaderOfABadReader(t *testing.T) {
	if _, err := NewReader(badReader(0)).Read(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	for _, n := range []int{-1, 1 << 30} {
		if _, err := NewReader(badReader(n)).Read(); err == nil {
			t.Errorf("a count of %d was taken", n)
		}
	}
}

func TestDecodeHeader(t *testing.T) {
	props := AppendProperties(nil, &Properties{Flags: FlagDeliveryMode, DeliveryMode: 2})
	f := must[Frame](t)(NewReader(bytes.NewReader(AppendHeader(nil, 7, 1<<40, props))).Read())
	class, size, got, err := DecodeHeader(f.Payload)
	if err != nil || f.Type != FrameHeader || f.Channel != 7 || class != ClassBasic || size != 1<<40 || !bytes.Equal(got, props) {
		t.Errorf("got %v: %d, %d, %q, %v", f, class, size, got, err)
	}
	_, _, _, err = DecodeHeader([]byte("\x00\x3c\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"))
	if e := refused(t, err, UnexpectedFrame); e.Class != ClassBasic || e.Method != MethodBasicPublish ||
		e.Text != "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead" {
		t.Errorf("got %#v", e)
	}
	_, _, _, err = DecodeHeader(nil)
	refused(t, err, FrameError)
}

func TestAppendBodySplits(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 1000)
	for _, c := range []struct {
		max    uint32
		frames int
	}{{0, 1}, {4096, 3}, {1, 3}, {10008, 1}, {10007, 2}, {131072, 1}} {
		out := AppendBody(nil, 3, body, c.max)
		r := NewReader(bytes.NewReader(out))
		r.SetLimit(0)
		var got []byte
		for n := 0; ; n++ {
			f, err := r.Read()
			if err != nil {
				if n != c.frames || !bytes.Equal(got, body) {
					t.Errorf("frame_max %d: %d frames, %d octets, %v", c.max, n, len(got), err)
				}
				break
			}
			if f.Type != FrameBody || f.Channel != 3 || c.max >= 4096 && len(f.Payload)+FrameOverhead > int(c.max) {
				t.Errorf("frame_max %d: frame of %d", c.max, len(f.Payload))
			}
			got = append(got, f.Payload...)
		}
	}
	if out := AppendBody(nil, 3, nil, 4096); len(out) != 0 {
		t.Errorf("no body is %q", out)
	}
}

// FuzzReader reads the input twice, as a whole and in pieces: what is found must
// be the same, and the frames written anew must be what was read.
func FuzzReader(f *testing.F) {
	f.Add([]byte(frame(1, 1, "\x00\x3c\x00\x28")), uint32(4096), uint64(1))
	f.Add([]byte(frame(7, 1, "x")+frame(3, 2, "body")+frame(8, 0, "")), uint32(0), uint64(2))
	f.Add([]byte("\x03\x00\x01\x00\x00\x00\x00\x01"), uint32(131072), uint64(3))
	f.Add([]byte("\x03\x00\x01\x00\xff\xff\xff\x01"), uint32(0), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, limit uint32, seed uint64) {
		whole := NewReader(bytes.NewReader(b))
		pieces := NewReader(&pieceReader{b, rand.New(rand.NewPCG(seed, 0))})
		whole.SetLimit(limit)
		pieces.SetLimit(limit)
		read := 0
		for {
			buffered := whole.Buffered()
			f, err := whole.Read()
			g, err2 := pieces.Read()
			if f.Type != g.Type || f.Channel != g.Channel || !bytes.Equal(f.Payload, g.Payload) {
				t.Fatalf("%v and %v", f, g)
			}
			if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
				t.Fatalf("%v and %v", err, err2)
			}
			var e *Error
			if errors.As(err, &e) && e.Fatal || err != nil && e == nil {
				if buffered && e == nil {
					t.Fatalf("a frame was there: %v", err)
				}
				return
			}
			out := frame(f.Type, f.Channel, string(f.Payload))
			if string(b[read:read+len(out)]) != out {
				t.Fatalf("frame at %d differs: %q", read, out)
			}
			read += len(out)
		}
	})
}

// pieceReader returns its octets in pieces of random sizes.
type pieceReader struct {
	b []byte
	r *rand.Rand
}

func (p *pieceReader) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(len(p.b), 1+p.r.IntN(20))])
	p.b = p.b[n:]
	return n, nil
}
