package amqptest

import (
	"io"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

const (
	// fuzzDeadline bounds one input, which takes some milliseconds. It is below
	// the broker's own timeouts for clients that do not answer.
	fuzzDeadline = 15 * time.Second
	// Memory of one input: for brokers and buffers, and for each octet that
	// was sent. A queue with 256 priorities is some 25 KiB for 60 octets.
	fuzzMemory, fuzzMemoryEach = 32 << 20, 4 << 10
)

// survives runs a client on a broker of its own, which then has to serve
// another client, to have nothing left of the first, and to close; without a
// goroutine left, and without more memory than the sent octets justify.
func survives(t *testing.T, cfg Config, sent int, client func(b *Broker)) {
	cfg.Clock = Stopped
	goroutines, allocated := runtime.NumGoroutine(), allocatedBytes()
	debug.SetTraceback("all")
	hung := time.AfterFunc(fuzzDeadline, func() { panic("the broker hangs") })
	defer hung.Stop()
	b, err := cfg.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client(b)
	checkAtRest(t, b)
	b.Advance(time.Hour)
	checkAtRest(t, b)
	other := dialRaw(t, b)
	call[*wire.QueueDeclareOk](other, &wire.QueueDeclare{Queue: "of another"})
	other.publish("", "of another", "x")
	other.send(1, &wire.BasicGet{Queue: "of another"})
	expect[*wire.BasicGetOk](other, 1)
	_ = other.nc.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for runtime.NumGoroutine() > goroutines { // or it hangs
		runtime.Gosched()
	}
	if got, most := allocatedBytes()-allocated, uint64(fuzzMemory+sent*fuzzMemoryEach); got > most {
		t.Errorf("%d octets had %d allocated", sent, got)
	}
}

// allocatedBytes is how much was allocated by now, whether freed or not.
func allocatedBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// checkAtRest checks what has to be so when there are no clients.
func checkAtRest(t *testing.T, b *Broker) {
	t.Helper()
	b.lock()
	defer b.unlock()
	if len(b.conns)+len(b.replies)+len(b.deferred)+len(b.dirty) > 0 {
		t.Errorf("%d connections, %d reply consumers, %d and %d things to do are left",
			len(b.conns), len(b.replies), len(b.deferred), len(b.dirty))
	}
	for _, vh := range b.vhostsNamed("") {
		for _, q := range vh.queuesInOrder() {
			q.checkAtRest(t)
		}
	}
}

func (q *queue) checkAtRest(t *testing.T) {
	t.Helper()
	if q.deleted || q.owner != nil || q.autoDelete && q.hadConsumer {
		t.Errorf("queue %q is still there", q.name)
	}
	if q.unacked != 0 || len(q.consumers)+len(q.lingering)+len(q.stalled) > 0 || q.active != nil || q.exclusive != nil ||
		q.gets.oldest != nil || q.service.pop() != nil || q.scheduled {
		t.Errorf("queue %q has something of clients that are gone: %+v", q.name, q)
	}
	n, bytes := 0, int64(0)
	q.ready.each(func(e *entry) bool {
		if e.queue != q {
			t.Errorf("queue %q has an entry of another", q.name)
		}
		n, bytes = n+1, bytes+e.size()
		return true
	})
	if n != q.ready.n || bytes != q.ready.bytes {
		t.Errorf("queue %q has %d messages of %d octets, and counts %d of %d", q.name, n, bytes, q.ready.n, q.ready.bytes)
	}
	if n > 0 && q.over(1, 1) && q.opts.overflow == dropHead { // what is delayed is not dropped
		t.Errorf("queue %q is over its bound: %d of %d", q.name, n, q.opts.maxLength)
	}
}

// fuzzVersion is the version that the first octet of an input selects.
func fuzzVersion(in []byte) (Version, []byte) {
	if len(in) == 0 {
		return V40, nil
	}
	return []Version{V40, V310, V43}[in[0]%3], in[1:]
}

// talk sends octets, takes what comes, and waits until the broker is done.
func (r *raw) talk(octets []byte) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = r.nc.Write(octets)
		r.nc.(*pipeEnd).out.closeWrite() // the broker does all, then ends the connection
	}()
	_ = r.nc.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, r.nc)
	_ = r.nc.Close()
	<-sent
}

// FuzzHandshake: whatever a client sends from its first octet on, the broker
// stays, for others too.
func FuzzHandshake(f *testing.F) {
	header := []byte("AMQP\x00\x00\x09\x01")
	startOk := wire.AppendMethod(nil, 0, &wire.ConnectionStartOk{
		ClientProperties: wire.Table{{Key: "capabilities", Value: rawCapabilities}},
		Mechanism:        "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US",
	})
	amqplain := wire.AppendMethod(nil, 0, &wire.ConnectionStartOk{
		Mechanism: "AMQPLAIN", Response: []byte("\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest"), Locale: "en_US",
	})
	refused := wire.AppendMethod(nil, 0, &wire.ConnectionStartOk{
		ClientProperties: wire.Table{{Key: "capabilities", Value: rawCapabilities}},
		Mechanism:        "PLAIN", Response: []byte("\x00guest\x00no"), Locale: "en_US",
	})
	tuneOk := wire.AppendMethod(nil, 0, &wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
	open := wire.AppendMethod(nil, 0, &wire.ConnectionOpen{VirtualHost: "/"})
	channel := wire.AppendMethod(nil, 1, &wire.ChannelOpen{})
	seed := func(parts ...[]byte) {
		for version := range byte(3) {
			in := []byte{version}
			for _, p := range parts {
				in = append(in, p...)
			}
			f.Add(in)
		}
	}
	seed(header)
	seed([]byte("AMQP\x03\x01\x00\x00"))
	seed([]byte("AMQP\x01\x01\x08\x00"))
	seed([]byte("GET / HTTP/1.1\r\n\r\n"))
	seed(header, startOk)
	seed(header, amqplain, tuneOk)
	seed(header, refused)
	seed(header, startOk, wire.AppendMethod(nil, 0, &wire.ConnectionTuneOk{FrameMax: 1}))
	seed(header, startOk, tuneOk, wire.AppendMethod(nil, 0, &wire.ConnectionOpen{VirtualHost: "none"}))
	seed(header, startOk, tuneOk, open, channel)
	seed(header, startOk, tuneOk, open, startOk)
	seed(header, startOk, tuneOk, open, wire.AppendMethod(nil, 0, &wire.ConnectionClose{}))
	seed(header, wire.AppendMethod(nil, 0, &wire.ConnectionClose{}))
	seed(header, wire.AppendMethod(nil, 0, &wire.ConnectionSecureOk{Response: []byte("x")}))
	seed(header, channel)
	seed(header, wire.AppendHeartbeat(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		version, octets := fuzzVersion(in)
		survives(t, Config{Version: version}, len(in), func(b *Broker) { connectRaw(t, b).talk(octets) })
	})
}

// FuzzConnection: whatever a client sends once it is connected, the broker
// stays, for others too.
func FuzzConnection(f *testing.F) {
	open := wire.AppendMethod(nil, 1, &wire.ChannelOpen{})
	seed := func(more []byte) {
		for version := range byte(3) {
			f.Add(append(append([]byte{version}, open...), more...))
		}
	}
	publish := appendPublish(nil, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{Flags: wire.FlagExpiration, Expiration: "1"}, "x")
	seed(publish)
	seed(appendPublish(nil, 1, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{
		Flags: wire.FlagHeaders, Headers: wire.Table{{Key: "CC", Value: []any{"a"}}, {Key: "x-death", Value: []any{wire.Table{{Key: "count", Value: int64(1)}}}}},
	}, ""))
	for _, m := range []wire.Method{
		&wire.QueueDeclare{Queue: "q", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "quorum"}}},
		&wire.QueueDeclare{Queue: "s", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "stream"}}},
		&wire.QueueDeclare{Queue: "p", Arguments: wire.Table{{Key: "x-message-ttl", Value: int32(5)}, {Key: "x-max-priority", Value: int32(255)}}},
		&wire.ExchangeDeclare{Exchange: "x", Type: "topic"}, &wire.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "#"},
		&wire.BasicConsume{Queue: "q"}, &wire.BasicGet{Queue: "q"}, &wire.BasicAck{DeliveryTag: 1, Multiple: true},
		&wire.BasicNack{Requeue: true}, &wire.BasicQos{PrefetchCount: 1}, &wire.BasicRecover{Requeue: true},
		&wire.TxSelect{}, &wire.TxCommit{}, &wire.ConfirmSelect{}, &wire.ChannelClose{}, &wire.ChannelCloseOk{},
	} {
		seed(append(wire.AppendMethod(nil, 1, m), publish...))
	}
	f.Add(append([]byte{0}, wire.AppendMethod(nil, 0, &wire.ConnectionClose{})...))
	f.Add([]byte{0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add(append([]byte{0}, wire.AppendHeartbeat(nil)...))
	seed(wire.AppendHeader(wire.AppendMethod(nil, 1, &wire.BasicPublish{RoutingKey: "q"}), 1, 1<<62, []byte{0, 0}))
	f.Fuzz(func(t *testing.T, in []byte) {
		version, octets := fuzzVersion(in)
		survives(t, Config{Version: version}, len(in), func(b *Broker) {
			r := dialRaw(t, b)
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Durable: true})
			r.talk(octets)
		})
	})
}
