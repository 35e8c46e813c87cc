// Package compress undoes and does the content encodings gzip (RFC 1952) and zstd
// (RFC 8878) of message bodies.
//
//	msg, err := compress.Message(msg, compress.Zstd)                          // before the publish
//	h := consumer.Chain(consumer.JSON(ship), dlq.Middleware(...), retry.Middleware(...), consumer.Recover(), undo)
//
// The middleware belongs inside of retry and dlq: their copies keep the body as
// it was published.
package compress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/consumer"
)

// Encoding is a content encoding.
type Encoding string

// The encodings this package knows.
const (
	Gzip Encoding = "gzip"
	Zstd Encoding = "zstd"
)

// Message returns msg with its body compressed and its ContentEncoding set; the
// body of the argument is left as it is. It is an error when msg has an
// encoding already, or e is unknown.
func Message(msg amqp.Publishing, e Encoding) (amqp.Publishing, error) {
	if !plain(msg.ContentEncoding) {
		return msg, fmt.Errorf("compress: the message has the content-encoding %q already: compress it once", msg.ContentEncoding)
	}
	var out bytes.Buffer
	var w io.WriteCloser
	switch e {
	case Gzip:
		w = gzip.NewWriter(&out)
	case Zstd:
		z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(encoderWindow))
		if err != nil {
			return msg, fmt.Errorf("compress: zstd: %w", err)
		}
		w = z
	default:
		return msg, fmt.Errorf("compress: the encoding %q is unknown: use compress.Gzip or compress.Zstd", string(e))
	}
	if _, err := w.Write(msg.Body); err != nil {
		return msg, fmt.Errorf("compress: %s: %w", e, err)
	}
	if err := w.Close(); err != nil {
		return msg, fmt.Errorf("compress: %s: %w", e, err)
	}
	msg.Body, msg.ContentEncoding = out.Bytes(), string(e)
	return msg, nil
}

// Config of the middleware. Its zero value is useful.
type Config struct {
	// MaxBytes is the largest body after decompression; a larger one is
	// malformed. A few kilobytes can stand for gigabytes, so there is always a
	// bound, and up to Workers of them are in memory at once. Default 16 MiB.
	MaxBytes int
}

// Middleware hands on deliveries with their bodies decompressed and
// ContentEncoding empty. No encoding, "identity" and "utf-8" pass as they are. A
// body that does not decompress, one that is too large, and any other
// encoding is a *consumer.MalformedError.
func Middleware(cfg Config) consumer.Middleware {
	limit := cfg.MaxBytes
	if limit < 1 {
		limit = 16 << 20
	}
	return func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d amqp.Delivery) error {
			if plain(d.ContentEncoding) {
				return next(ctx, d)
			}
			body, err := undo(d.ContentEncoding, d.Body, limit)
			if err != nil {
				return &consumer.MalformedError{Problem: fmt.Sprintf("content-encoding %q", d.ContentEncoding), Err: err}
			}
			d.Body, d.ContentEncoding = body, ""
			return next(ctx, d)
		}
	}
}

func plain(encoding string) bool {
	switch strings.ToLower(encoding) {
	case "", "identity", "utf-8":
		return true
	}
	return false
}

var (
	errUnknown = errors.New("compress: is not supported: use gzip or zstd, or middleware of your own")
	errLarge   = errors.New("compress: the body is too large when decompressed")
)

// undo decompresses body, to at most limit bytes.
func undo(encoding string, body []byte, limit int) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("compress: gzip: %w", err)
		}
		return read(r, limit)
	case "zstd":
		r, err := decoder()
		if err != nil {
			return nil, fmt.Errorf("compress: zstd: %w", err)
		}
		defer decoders.Put(r)
		if err := r.Reset(bytes.NewReader(body)); err != nil {
			return nil, fmt.Errorf("compress: zstd: %w", err)
		}
		out, err := read(r, limit)
		_ = r.Reset(nil) // lets go of body; only a closed decoder refuses
		return out, err
	}
	return nil, errUnknown
}

func read(r io.Reader, limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errLarge, limit)
	}
	return out, nil
}

// A body of a few bytes can ask for a window of gigabytes. 32 MiB is what
// encoders use at their highest levels; ours uses far less, for each compression
// allocates it.
const (
	decoderWindow = 32 << 20
	encoderWindow = 1 << 20
)

var decoders sync.Pool

// decoder gives one that starts no goroutines, so that the pool may drop it.
func decoder() (*zstd.Decoder, error) {
	if r, ok := decoders.Get().(*zstd.Decoder); ok {
		return r, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(decoderWindow))
}
