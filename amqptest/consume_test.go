package amqptest

import (
	"fmt"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestConsumersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		version Version
		kind    string
		key     string
		value   any
		want    string // after "invalid arg '…' for queue 'q' in vhost '/'"
	}{
		{V310, "classic", "x-priority", "high", `: "expected integer, got longstr"`},
		{V40, "quorum", "x-priority", true, `: "expected integer, got bool"`},
		{V43, "quorum", "x-priority", 1.5, `: "expected integer, got double"`},
		{V310, "classic", "x-cancel-on-ha-failover", "x", `: {unacceptable_type,longstr}`},
		{V310, "quorum", "x-cancel-on-ha-failover", true, " of queue type rabbit_quorum_queue"},
		{V40, "classic", "x-cancel-on-ha-failover", "x", ""},
		{V43, "quorum", "x-consumer-timeout", int32(-1), ": {value_negative,-1}"},
		{V43, "classic", "x-consumer-timeout", int32(1), " of queue type rabbit_classic_queue"},
		{V40, "quorum", "x-consumer-timeout", int32(1), ""},
		{V40, "classic", "x-stream-offset", "first", " of queue type rabbit_classic_queue"},
		{V310, "classic", "x-foo", "bar", ""},
	} {
		d := drive(t, c.version, "x-queue-type", c.kind)
		got := d.consume(1, "c", 1, c.key, c.value)
		if c.want == "" {
			d.want(got)
			continue
		}
		d.want(got, fmt.Sprintf("1 closed 406 PRECONDITION_FAILED - invalid arg '%s' for queue 'q' in vhost '/'%s", c.key, c.want))
	}
}

func TestConsumeErrors(t *testing.T) {
	b := New(t)
	consume := func(queue, tag string) wire.Method { return &wire.BasicConsume{Queue: queue, ConsumerTag: tag} }
	r := dialRaw(t, b)
	r.send(1, consume("", "c"))
	r.expectClosed(1, 404, "NOT_FOUND - no previously declared queue")
	r.open(1)
	r.send(1, consume("q", "c"))
	r.expectClosed(1, 404, "NOT_FOUND - no queue 'q' in vhost '/'")
	r.open(1)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Exclusive: true})
	if ok := call[*wire.BasicConsumeOk](r, consume("", "")); len(ok.ConsumerTag) != len("amq.ctag-")+22 || ok.ConsumerTag[:9] != "amq.ctag-" {
		t.Errorf("generated tag %q", ok.ConsumerTag)
	}
	other := dialRaw(t, b)
	other.send(1, consume("q", "c"))
	other.expectClosed(1, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be "+
		"originally declared on another connection or the exclusive property value does not match that of the original declaration.")
	call[*wire.BasicConsumeOk](r, consume("q", "c"))
	r.send(1, consume("q", "c"))
	r.expectConnectionClosed(530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'")

	r = dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "qq", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "quorum"}}})
	call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: 1, Global: true})
	r.send(1, consume("qq", "c"))
	r.expectConnectionClosed(540, "NOT_IMPLEMENTED - queue 'qq' in vhost '/' does not support global qos")

	r = dialRaw(t, b)
	r.send(1, &wire.BasicQos{PrefetchSize: 7})
	r.expectConnectionClosed(540, "NOT_IMPLEMENTED - prefetch_size!=0 (7)")
	r = dialRaw(t, b)
	if ok := call[*wire.BasicCancelOk](r, &wire.BasicCancel{ConsumerTag: "none"}); ok.ConsumerTag != "none" {
		t.Errorf("cancelled %q", ok.ConsumerTag)
	}
}

func TestGet(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.want(d.do(1, get()), "1 empty")
		d.publish("1", "2", "3")
		d.r.send(1, get())
		if ok, _ := expectContent[*wire.BasicGetOk](d.r, 1); ok.MessageCount != 2 || ok.DeliveryTag != 1 || ok.RoutingKey != "q" {
			t.Errorf("%+v", ok)
		}
		d.counts(2, 1)
		d.r.send(1, &wire.BasicGet{Queue: "q", NoAck: true})
		if ok, _ := expectContent[*wire.BasicGetOk](d.r, 1); ok.MessageCount != 1 || ok.DeliveryTag != 2 {
			t.Errorf("%+v", ok)
		}
		d.counts(1, 1)
	})
	sac := []any{"x-queue-type", "quorum", "x-single-active-consumer", true}
	for v, kind := range map[Version]string{V310: "quorum", V40: "quorum", V43: `<<"quorum">>`} {
		d := drive(t, v, sac...)
		d.want(d.do(1, get()), "1 closed 405 RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. "+
			"basic.get operations are not supported by "+kind+" queues with single active consumer")
	}
}

func TestAutoDelete(t *testing.T) {
	for _, how := range []wire.Method{cancel("c"), closeChannel()} {
		b := New(t)
		r := dialRaw(t, b)
		r.open(2)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", AutoDelete: true})
		r.publish("", "q", "m")
		r.send(2, &wire.BasicGet{Queue: "q", NoAck: true})
		expectContent[*wire.BasicGetOk](r, 2)
		if _, ok := b.Queue("/", "q"); !ok {
			t.Fatal("it went before it had a consumer")
		}
		r.send(2, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
		expect[*wire.BasicConsumeOk](r, 2)
		r.send(2, how)
		r.receive()
		if _, ok := b.Queue("/", "q"); ok {
			t.Errorf("it is there after %T", how)
		}
	}
}
