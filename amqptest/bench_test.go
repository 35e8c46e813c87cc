package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// BenchmarkPublish publishes small messages with confirms in batches of 64, and
// drains them by a consumer that acks each.
func BenchmarkPublish(b *testing.B) {
	for _, kind := range []string{"classic", "quorum"} {
		b.Run(kind, func(b *testing.B) {
			broker, err := Config{Clock: Stopped}.Start()
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			r, consumer := dialRaw(b, broker), dialRaw(b, broker)
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: kind}}})
			call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
			call[*wire.BasicQosOk](consumer, &wire.BasicQos{PrefetchCount: 256})
			call[*wire.BasicConsumeOk](consumer, &wire.BasicConsume{Queue: "q"})
			done := make(chan struct{})
			n := (b.N + 63) / 64 * 64
			go func() {
				defer close(done)
				for i := range n {
					got, err := consumer.read()
					if err != nil {
						b.Error(err)
						return
					}
					if (i+1)%64 == 0 {
						consumer.send(1, &wire.BasicAck{DeliveryTag: got.method.(*wire.BasicDeliver).DeliveryTag, Multiple: true})
					}
				}
			}()
			var batch []byte
			for range 64 {
				batch = appendPublish(batch, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, "0123456789abcdef0123456789abcdef")
			}
			b.ReportAllocs()
			b.ResetTimer()
			confirmed := uint64(0)
			for sent := 0; sent < n; sent += 64 {
				r.write(batch)
				for confirmed+1024 < uint64(sent) {
					confirmed = r.receive().method.(*wire.BasicAck).DeliveryTag
				}
			}
			<-done
		})
	}
}
