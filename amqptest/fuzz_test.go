package amqptest

import (
	"io"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// FuzzConnection: whatever a client sends, the broker stays, for others too.
func FuzzConnection(f *testing.F) {
	open := wire.AppendMethod(nil, 1, &wire.ChannelOpen{})
	seed := func(more []byte) { f.Add(append(append([]byte{}, open...), more...)) }
	seed(appendPublish(nil, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{Flags: wire.FlagExpiration, Expiration: "1"}, "x"))
	for _, m := range []wire.Method{
		&wire.QueueDeclare{Queue: "q", Arguments: wire.Table{{Key: "x-queue-type", Value: "quorum"}}},
		&wire.QueueDeclare{Queue: "q", Arguments: wire.Table{{Key: "x-message-ttl", Value: int32(5)}}},
		&wire.ExchangeDeclare{Exchange: "x", Type: "topic"}, &wire.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "#"},
		&wire.BasicConsume{Queue: "q"}, &wire.BasicGet{Queue: "q"}, &wire.BasicAck{DeliveryTag: 1, Multiple: true},
		&wire.BasicNack{Requeue: true}, &wire.BasicQos{PrefetchCount: 1}, &wire.BasicRecover{Requeue: true},
		&wire.TxSelect{}, &wire.TxCommit{}, &wire.ConfirmSelect{}, &wire.ChannelClose{}, &wire.ChannelCloseOk{},
	} {
		seed(wire.AppendMethod(nil, 1, m))
	}
	f.Add(wire.AppendMethod(nil, 0, &wire.ConnectionClose{}))
	f.Add([]byte{1, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add(wire.AppendHeartbeat(nil))
	f.Fuzz(func(t *testing.T, frames []byte) {
		b, err := Config{Clock: Stopped}.Start()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := dialRaw(t, b)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true})
		go func() {
			_, _ = r.nc.Write(frames)
			r.nc.(*pipeEnd).out.closeWrite() // the broker does all, then ends the connection
		}()
		_, _ = io.Copy(io.Discard, r.nc)
		b.Advance(time.Hour)
		other := dialRaw(t, b)
		call[*wire.QueueDeclareOk](other, &wire.QueueDeclare{Queue: "other"})
		_ = other.nc.Close()
	})
}
