package compress

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
)

func pack(t testing.TB, e Encoding, body []byte) []byte {
	t.Helper()
	msg, err := Message(amqp.Publishing{Body: body}, e)
	if err != nil || msg.ContentEncoding != string(e) {
		t.Fatalf("%q %v", msg.ContentEncoding, err)
	}
	return msg.Body
}

// handle gives what a handler sees.
func handle(cfg Config, encoding string, body []byte) (got amqp.Delivery, err error) {
	err = Middleware(cfg)(func(_ context.Context, d amqp.Delivery) error { got = d; return nil })(
		context.Background(), amqp.Delivery{ContentEncoding: encoding, Body: body})
	return got, err
}

func TestThereAndBack(t *testing.T) {
	for _, e := range []Encoding{Gzip, Zstd} {
		for _, body := range []string{"", "x", strings.Repeat("order ", 100_000)} {
			for _, name := range []string{string(e), strings.ToUpper(string(e))} {
				got, err := handle(Config{}, name, pack(t, e, []byte(body)))
				if err != nil || string(got.Body) != body || got.ContentEncoding != "" {
					t.Errorf("%s: %d bytes, encoding %q, error %v", name, len(got.Body), got.ContentEncoding, err)
				}
			}
		}
	}
	for _, plain := range []string{"", "identity", "UTF-8"} {
		if got, err := handle(Config{}, plain, []byte("x")); err != nil || string(got.Body) != "x" || got.ContentEncoding != plain {
			t.Errorf("%q: %v", plain, err)
		}
	}
}

// The copies of retry and dlq are made of the delivery outside: it stays.
func TestTheDeliveryOutsideIsLeft(t *testing.T) {
	body := pack(t, Gzip, []byte("x"))
	before := bytes.Clone(body)
	d := amqp.Delivery{ContentEncoding: "gzip", Body: body}
	h := Middleware(Config{})(func(_ context.Context, d amqp.Delivery) error { d.Body[0] = 'y'; return nil })
	if err := h(t.Context(), d); err != nil || !bytes.Equal(d.Body, before) || d.ContentEncoding != "gzip" {
		t.Errorf("%v %q %q", err, d.Body, d.ContentEncoding)
	}
}

// What cannot be undone is malformed, and a bomb is not unpacked to find out.
func TestMalformed(t *testing.T) {
	zeros := make([]byte, 1<<20)
	wide := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00} // a window of terabytes
	huge := binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 1<<40)
	for name, tc := range map[string]struct {
		encoding string
		body     []byte
		problem  error
	}{
		"gzip bomb":          {"gzip", pack(t, Gzip, zeros), errLarge},
		"gzip members":       {"gzip", bytes.Repeat(pack(t, Gzip, zeros[:60_000]), 5), errLarge},
		"zstd bomb":          {"zstd", pack(t, Zstd, zeros), errLarge},
		"zstd frames":        {"zstd", bytes.Repeat(pack(t, Zstd, zeros[:60_000]), 5), errLarge},
		"zstd window":        {"zstd", wide, zstd.ErrWindowSizeExceeded},
		"zstd 64 MiB window": {"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x80, 0x01, 0x00, 0x00}, zstd.ErrWindowSizeExceeded},
		"zstd content size":  {"zstd", huge, nil},
		"gzip cut":           {"gzip", pack(t, Gzip, zeros)[:500], nil},
		"gzip sum":           {"gzip", flip(pack(t, Gzip, []byte("x"))), gzip.ErrChecksum},
		"zstd cut":           {"zstd", pack(t, Zstd, []byte("xyz"))[:9], nil},
		"no gzip":            {"gzip", []byte("hello, world"), gzip.ErrHeader},
		"no zstd":            {"zstd", []byte("hello, world"), nil},
		"empty":              {"gzip", nil, nil},
		"unknown":            {"br", []byte("x"), errUnknown},
		"two":                {"gzip, zstd", []byte("x"), errUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := handle(Config{MaxBytes: 100_000}, tc.encoding, tc.body)
			var malformed *consumer.MalformedError
			if !errors.As(err, &malformed) || tc.problem != nil && !errors.Is(err, tc.problem) {
				t.Errorf("error %v", err)
			}
		})
	}
	for _, e := range []Encoding{Gzip, Zstd} {
		if got, err := handle(Config{MaxBytes: len(zeros)}, string(e), pack(t, e, zeros)); err != nil || len(got.Body) != len(zeros) {
			t.Errorf("%s at the limit: %v", e, err)
		}
	}
}

// endless fails when it is read too far.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 200_000 {
		return 0, errors.New("read too far")
	}
	return len(p), nil
}

func TestReadsNoFurtherThanTheLimit(t *testing.T) {
	if _, err := read(new(endless), 100_000); !errors.Is(err, errLarge) {
		t.Error(err)
	}
}

func flip(b []byte) []byte { b[len(b)-6] ^= 1; return b }

func TestMessageThatCannotBe(t *testing.T) {
	for _, tc := range []struct {
		msg amqp.Publishing
		e   Encoding
	}{{amqp.Publishing{ContentEncoding: "gzip"}, Zstd}, {amqp.Publishing{}, "br"}} {
		if got, err := Message(tc.msg, tc.e); err == nil || got.ContentEncoding != tc.msg.ContentEncoding {
			t.Errorf("%+v", got)
		}
	}
}

func TestSideBySide(t *testing.T) {
	var all sync.WaitGroup
	good, bad := pack(t, Zstd, bytes.Repeat([]byte("good"), 1000)), pack(t, Zstd, bytes.Repeat([]byte("bad"), 1000))[:20]
	for range 8 {
		all.Go(func() {
			for range 50 {
				_, _ = handle(Config{}, "zstd", bad)
				if got, err := handle(Config{}, "zstd", good); err != nil || len(got.Body) != 4000 {
					t.Errorf("%d bytes, %v", len(got.Body), err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzUndo(f *testing.F) {
	for _, e := range []Encoding{Gzip, Zstd} {
		f.Add(string(e), pack(f, e, []byte("hello")))
		f.Add(string(e), pack(f, e, make([]byte, 5000)))
	}
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		const limit = 4096
		got, err := undo(encoding, body, limit)
		if err == nil && len(got) > limit || err != nil && got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
