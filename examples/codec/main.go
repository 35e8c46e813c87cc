// Command codec sends Protocol Buffers, compressed with zstd, and plain bytes
// compressed with gzip, and reads both. A body that does not decode is malformed:
// it is buried at once, as it came.
//
//	go run ./examples/codec
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/compress"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/retry"
)

func main() { example.Main("codec", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	kit, end, err := example.Open(ctx, "codec", url)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// A codec writes and reads; a message type of your own, made by protoc, goes
	// where Timestamp stands.
	stamps := Proto[timestamppb.Timestamp]()
	sent := timestamppb.Now()
	stamp, err := packed(stamps, sent, compress.Zstd)
	if err != nil {
		return err
	}
	picture := bytes.Repeat([]byte("pixel "), 1000)
	raw, err := packed(consumer.Raw{}, picture, compress.Gzip)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d bytes are %d with gzip\n", len(picture), len(raw.Body))
	for _, msg := range []amqp.Publishing{stamp, raw} {
		if err := kit.Pub.Publish(ctx, "", kit.Work.Queue, msg); err != nil {
			return err
		}
	}

	var good atomic.Int32
	is := func(same bool, what string) {
		fmt.Fprintln(out, what, same)
		if same && good.Add(1) == 2 {
			stop()
		}
	}
	onStamp := consumer.Decode(stamps, func(_ context.Context, got *timestamppb.Timestamp, _ amqp.Delivery) error {
		is(got.AsTime().Equal(sent.AsTime()), "the time is the same:")
		return nil
	})
	onPicture := consumer.Decode(consumer.Raw{}, func(_ context.Context, got []byte, _ amqp.Delivery) error {
		is(bytes.Equal(got, picture), "the picture is the same:")
		return nil
	})
	handler := consumer.Chain(onStamp,
		dlq.Middleware(kit.Copies, kit.Work, dlq.Config{}),
		retry.Middleware(kit.Copies, kit.Work, retry.Policy{}),
		consumer.Recover(),
		compress.Middleware(compress.Config{MaxBytes: 1 << 20}), // inside of retry and dlq: copies keep the body as it came
		consumer.Filter(func(d amqp.Delivery) bool { return d.ContentType == protobuf }, onPicture),
	)
	err = kit.Consume(ctx, consumer.Config{Handler: handler})
	if err == nil && good.Load() != 2 {
		err = fmt.Errorf("%d of 2 messages came as they were sent", good.Load())
	}
	return err
}

// packed makes a compressed message of a value.
func packed[T any](c consumer.Codec[T], v T, e compress.Encoding) (amqp.Publishing, error) {
	msg, err := c.Encode(v)
	if err != nil {
		return msg, err
	}
	return compress.Message(msg, e)
}
