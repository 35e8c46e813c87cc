package amqptest

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hareline/hareline/internal/wire"
)

// TestOutboxIsBounded: a consumer that does not read gets no more than the
// outbox and the pipe hold, and the rest once it reads.
func TestOutboxIsBounded(t *testing.T) {
	b := New(t)
	const n, size = 400, 50_000
	r, publisher := dialRaw(t, b), dialRaw(t, b)
	call[*wire.QueueDeclareOk](publisher, &wire.QueueDeclare{Queue: "q"})
	call[*wire.ConfirmSelectOk](publisher, &wire.ConfirmSelect{})
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "q", NoAck: true})
	body := strings.Repeat("x", size)
	for range n {
		publisher.publish("", "q", body)
		expect[*wire.BasicAck](publisher, 1)
	}
	if ready := b.waitReady("q"); ready < n/2 {
		t.Errorf("%d of %d are still in the queue", ready, n)
	}
	for i := range n {
		if m, got := expectContent[*wire.BasicDeliver](r, 1); m.DeliveryTag != uint64(i+1) || len(got.body) != size {
			t.Fatalf("delivery %d: %+v, %d bytes", i, m, len(got.body))
		}
	}
}

// TestReaderWaitsForTheWriter: returns have no bound but that nothing more is
// read from a client that does not take them.
func TestReaderWaitsForTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t)
		r := dialRaw(t, b)
		const n, size = 600, 50_000
		done := make(chan struct{})
		go func() {
			defer close(done)
			body := strings.Repeat("x", size)
			for range n {
				r.publishWith(&wire.BasicPublish{RoutingKey: "nobody", Mandatory: true}, wire.Properties{}, body)
			}
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("all was read")
		default:
		}
		b.lock()
		var pending int64
		for _, c := range b.conns {
			pending = c.out.pending.Load()
		}
		b.unlock()
		if pending < outboxFar || pending > outboxFar+2*pipeBuffer {
			t.Errorf("%d octets wait", pending)
		}
		for range n {
			expectContent[*wire.BasicReturn](r, 1)
		}
		<-done
	})
}

// TestMemoryComesBack: a burst leaves no large buffers.
func TestMemoryComesBack(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	body := strings.Repeat("x", 1000)
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	for range 20_000 / 100 {
		var f []byte
		for range 100 {
			f = appendPublish(f, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, body)
		}
		r.write(f)
	}
	for b.waitReady("q") < 20_000 {
		runtime.Gosched()
	}
	for last := uint64(0); last < 20_000; {
		last = max(last, expect[*wire.BasicAck](r, 1).DeliveryTag)
	}
	call[*wire.QueuePurgeOk](r, &wire.QueuePurge{Queue: "q"})
	if after := heap(); after > before+4<<20 {
		t.Errorf("%d KiB more than before", (after-before)>>10)
	}
}
