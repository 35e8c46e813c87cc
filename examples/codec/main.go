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
	"os"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/consumer/compress"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Getenv("AMQP_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "codec:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, url string) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "codec: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	work := topology.WorkQueue("example.codec", topology.WorkConfig{})
	if err := topology.Declare(ctx, l, work.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{}) // for parked and buried copies alone
	if err != nil {
		return err
	}
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
	fmt.Printf("%d bytes are %d with gzip\n", len(picture), len(raw.Body))
	for _, msg := range []amqp.Publishing{stamp, raw} {
		if err := pub.Publish(ctx, "", work.Queue, msg); err != nil {
			return err
		}
	}

	var good atomic.Int32
	is := func(same bool, what string) {
		fmt.Println(what, same)
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
		dlq.Middleware(copies, work, dlq.Config{}),
		retry.Middleware(copies, work, retry.Policy{}),
		consumer.Recover(),
		compress.Middleware(compress.Config{MaxBytes: 1 << 20}), // inside of retry and dlq: copies keep the body as it came
		consumer.Filter(func(d amqp.Delivery) bool { return d.ContentType == protobuf }, onPicture),
	)
	err = consumer.Group{
		Consumers:  []consumer.Config{{Queue: work.Queue, Handler: handler}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, l)
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
