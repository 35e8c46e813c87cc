package amqptest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestRefusedSettlementLeavesNothingOut: 3.10 closes the connection over a
// basic.nack of what came from a stream, which then is not out any more.
func TestRefusedSettlementLeavesNothingOut(t *testing.T) {
	b := Config{Version: V310}.New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "s", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "stream"}}})
	r.publish("", "s", "x")
	call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: 2})
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "s", Arguments: wire.Table{{Key: "x-stream-offset", Value: "first"}}})
	expect[*wire.BasicDeliver](r, 1)
	r.send(1, &wire.BasicNack{DeliveryTag: 1, Requeue: true})
	expect[*wire.ConnectionClose](r, 0)
	r.talk(wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{}))
	checkAtRest(t, b)
}

// TestPipelinedGetsWaitForTheWriter: a small queue asked for again and again
// does not become a large outbox.
func TestPipelinedGetsWaitForTheWriter(t *testing.T) {
	b := New(t)
	const size, n = 1 << 20, 60
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	r.publish("", "q", strings.Repeat("x", size))
	var gets []byte
	for i := range n {
		gets = wire.AppendMethod(gets, 1, &wire.BasicGet{Queue: "q"})
		gets = wire.AppendMethod(gets, 1, &wire.BasicNack{DeliveryTag: uint64(i + 1), Requeue: true})
	}
	r.write(gets)
	most := int64(0)
	for range n {
		b.lock()
		for _, c := range b.conns {
			most = max(most, c.out.pending.Load())
		}
		b.unlock()
		expectContent[*wire.BasicGetOk](r, 1)
	}
	if most > outboxFar+2*size {
		t.Errorf("%d MiB waited", most>>20)
	}
}

// TestAnnouncedBodyTakesNoMemory: only what comes is kept.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) {
	b := Config{ChannelMax: 500}.New(t)
	r := dialRaw(t, b)
	before := allocatedBytes()
	var f []byte
	for id := range uint16(400) {
		if id > 0 {
			f = wire.AppendMethod(f, id+1, &wire.ChannelOpen{})
		}
		f = wire.AppendMethod(f, id+1, &wire.BasicPublish{RoutingKey: "q"})
		f = wire.AppendHeader(f, id+1, 10<<20, []byte{0, 0})
		f = wire.AppendBody(f, id+1, []byte("x"), 0)
	}
	r.write(f)
	for range 399 {
		r.receive()
	}
	if got := allocatedBytes() - before; got > 32<<20 {
		t.Errorf("%d MiB were allocated", got>>20)
	}
}

// TestMemoryComesBackFromConsumers: what was out at consumers, came back and
// was acked leaves nothing, while the connections are still there.
func TestMemoryComesBackFromConsumers(t *testing.T) {
	const n, size, most = 10_000, 1000, 1 << 20
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			b := New(t)
			r, consumer := dialRaw(t, b), dialRaw(t, b)
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: kind}}})
			call[*wire.BasicQosOk](consumer, &wire.BasicQos{PrefetchCount: n})
			var f []byte
			body := strings.Repeat("x", size)
			for range 100 {
				f = appendPublish(f, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, body)
			}
			var before, tag uint64
			for round := range 2 { // the first fills what has a bound of its own: the events, the buffers
				for range n / 100 {
					r.write(f)
				}
				for b.waitReady("q") < n {
					runtime.Gosched()
				}
				take := func() {
					for range n {
						tag++
						if m := expect[*wire.BasicDeliver](consumer, 1); m.DeliveryTag != tag {
							t.Fatalf("tag %d, want %d", m.DeliveryTag, tag)
						}
					}
				}
				call[*wire.BasicConsumeOk](consumer, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
				take()
				consumer.send(1, &wire.BasicNack{DeliveryTag: tag, Multiple: true, Requeue: true})
				take()
				if full := heapInUse(); full < before+n*size {
					t.Errorf("full: only %d KiB more than before", (full-before)>>10)
				}
				consumer.send(1, &wire.BasicAck{Multiple: true}, &wire.BasicCancel{ConsumerTag: "c"})
				expect[*wire.BasicCancelOk](consumer, 1)
				switch after := heapInUse(); {
				case round == 0:
					before = after
				case after > before+most:
					t.Errorf("%d KiB more than before", (after-before)>>10)
				}
			}
		})
	}
}

// heapInUse is what is in use on the heap, in octets.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestDeepTables: tables as deep as a frame can hold them are read, kept,
// shown and sent on.
func TestDeepTables(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) {
			b := Config{Version: v, Trace: 100}.New(t)
			r := dialRaw(t, b)
			var deep any = "x"
			for range 20_000 {
				deep = []any{deep}
			}
			headers := wire.Table{{Key: "deep", Value: deep}}
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: wire.Table{
				{Key: "x-queue-type", Value: "quorum"}, {Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: "q2"}}})
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q2", Arguments: wire.Table{{Key: "k", Value: deep}}})
			call[*wire.QueueBindOk](r, &wire.QueueBind{Queue: "q", Exchange: "amq.headers", Arguments: headers})
			call[*wire.QueueBindOk](r, &wire.QueueBind{Queue: "q2", Exchange: "amq.headers", Arguments: wire.Table{{Key: "deep", Value: deep}, {Key: "no", Value: "x"}}})
			r.publishWith(&wire.BasicPublish{Exchange: "amq.headers"}, wire.Properties{Flags: wire.FlagHeaders, Headers: headers}, "x")
			r.send(1, &wire.BasicGet{Queue: "q"})
			expect[*wire.BasicGetOk](r, 1)
			r.send(1, &wire.BasicReject{DeliveryTag: 1}, &wire.BasicGet{Queue: "q2"})
			_, got := expectContent[*wire.BasicGetOk](r, 1)
			if _, ok := got.props.Headers.Get("deep"); !ok {
				t.Errorf("headers %.200v", got.props.Headers)
			}
			_ = fmt.Sprint(b.Dump(), b.Trace(nil), b.Queues(""), b.Messages("", "q2"), b.Bindings(""))
		})
	}
}

// TestManyWordsOfTopics: bindings that take a key in very many ways do not
// take very long.
func TestManyWordsOfTopics(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	for _, key := range []string{strings.Repeat("#.a.", 60) + "b", strings.Repeat("#.", 120) + "b", strings.Repeat("*.#.", 60) + "b"} {
		call[*wire.QueueBindOk](r, &wire.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: key})
	}
	r.publish("amq.topic", strings.Repeat("a.", 126)+"c", "x")
	r.publish("amq.topic", strings.Repeat("a.", 126)+"b", "x")
	if m := call[*wire.QueuePurgeOk](r, &wire.QueuePurge{Queue: "q"}); m.MessageCount != 1 {
		t.Errorf("%d messages", m.MessageCount)
	}
}
