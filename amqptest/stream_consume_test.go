package amqptest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// withStream declares the stream s with the messages 0 to 9.
func withStream(t *testing.T, v Version) *raw {
	t.Helper()
	r := dialRaw(t, Config{Version: v}.New(t))
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "s", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "stream"}}})
	for i := range 10 {
		r.publish("", "s", fmt.Sprint(i))
	}
	return r
}

func (r *raw) prefetch(n uint16) {
	r.t.Helper()
	call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: n})
}

func (r *raw) fromFirst(tag string) {
	r.t.Helper()
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "s", ConsumerTag: tag, Arguments: wire.Table{{Key: argStreamOffset, Value: "first"}}})
}

// expectStream receives the messages with these offsets, and nothing more.
func (r *raw) expectStream(what string, offsets ...int64) uint64 {
	r.t.Helper()
	var tag uint64
	for _, want := range offsets {
		m, got := expectContent[*wire.BasicDeliver](r, 1)
		offset, _ := got.props.Headers.Get(argStreamOffset)
		if offset != want || got.body != fmt.Sprint(want) || m.Redelivered || m.RoutingKey != "s" {
			r.t.Fatalf("%s: got offset %v, body %q, %+v, want offset %d", what, offset, got.body, m, want)
		}
		tag = m.DeliveryTag
	}
	r.expectNothing(what)
	return tag
}

// expectNothing makes sure by a round trip that nothing is under way.
func (r *raw) expectNothing(what string) {
	r.t.Helper()
	r.send(1, &wire.QueueDeclare{Queue: "s", Passive: true})
	if got := r.receive(); fmt.Sprintf("%T", got.method) != "*wire.QueueDeclareOk" {
		r.t.Fatalf("%s: got %T%+v too many", what, got.method, got.method)
	}
}

func TestStreamCredit(t *testing.T) {
	for _, v := range versions {
		r := withStream(t, v)
		r.prefetch(3)
		r.fromFirst("c")
		last := r.expectStream("prefetch", 0, 1, 2)
		r.send(1, &wire.BasicAck{DeliveryTag: last})
		last = r.expectStream("one acked", 3)
		r.send(1, &wire.BasicAck{DeliveryTag: last, Multiple: true})
		r.expectStream("all acked", 4, 5, 6)
		r.fromFirst("d")
		r.expectStream("another consumer", 0, 1, 2)
		call[*wire.BasicCancelOk](r, &wire.BasicCancel{ConsumerTag: "c"})
		r.fromFirst("c")
		last = r.expectStream("again", 0, 1, 2)
		// The three of the consumer that was cancelled count for the one of
		// the same tag, too; d gets three.
		r.send(1, &wire.BasicAck{DeliveryTag: last, Multiple: true})
		var got []string
		for range 9 {
			m, one := expectContent[*wire.BasicDeliver](r, 1)
			got = append(got, m.ConsumerTag+one.body)
		}
		r.expectNothing("settled")
		if all := strings.Join(got, " "); strings.Count(all, "c") != 6 || strings.Count(all, "d") != 3 {
			t.Errorf("%s: got %s", v, all)
		}
	}
}

func TestStreamSettledOtherwise(t *testing.T) {
	const text = "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue 's' in vhost '/'"
	for name, m := range map[string]wire.Method{
		"nack":    &wire.BasicNack{DeliveryTag: 3, Multiple: true, Requeue: true},
		"reject":  &wire.BasicReject{DeliveryTag: 1},
		"recover": &wire.BasicRecover{Requeue: true},
	} {
		for _, v := range versions {
			r := withStream(t, v)
			r.prefetch(3)
			r.fromFirst("c")
			r.expectStream("prefetch", 0, 1, 2)
			r.send(1, m)
			switch {
			case v == V310 && name == "recover":
				r.expectConnectionClosed(codeInternalError, "INTERNAL_ERROR")
			case v == V310:
				r.expectConnectionClosed(codeNotImplemented, text)
			case name == "reject":
				r.expectStream(name, 3)
			case name == "recover":
				var got []string
				for range 4 {
					got = append(got, fmt.Sprintf("%T", r.receive().method))
				}
				if all := strings.Join(got, " "); strings.Count(all, "*wire.BasicDeliver") != 3 || !strings.Contains(all, "*wire.BasicRecoverOk") {
					t.Errorf("%s: recover brings %s", v, all)
				}
			default:
				r.expectStream(name, 3, 4, 5)
			}
		}
	}
}

func TestStreamConsumersRefused(t *testing.T) {
	const prefetch, noAck, global = 1, 2, 4
	for _, c := range []struct {
		how  int
		v    Version
		soft bool
		text string
	}{
		{0, V310, true, "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 's' in vhost '/''"},
		{0, V40, true, "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue 's' in vhost '/'"},
		{global, V310, true, "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 's' in vhost '/''"},
		{prefetch | noAck, V310, false, "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues queue 's' in vhost '/'"},
		{prefetch | noAck, V43, false, "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queue 's' in vhost '/'"},
		{prefetch | global, V40, false, "NOT_IMPLEMENTED - queue 's' in vhost '/' does not support global qos"},
	} {
		r := withStream(t, c.v)
		if c.how&prefetch != 0 {
			r.prefetch(5)
		}
		if c.how&global != 0 {
			call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: 5, Global: true})
		}
		r.send(1, &wire.BasicConsume{Queue: "s", NoAck: c.how&noAck != 0})
		if c.soft {
			r.expectClosed(1, codePreconditionFailed, c.text)
		} else {
			r.expectConnectionClosed(codeNotImplemented, c.text)
		}
	}
}

func TestStreamConsumerWaitsForItsOffset(t *testing.T) {
	r := withStream(t, V40)
	r.prefetch(5)
	call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "s", ConsumerTag: "c", Arguments: wire.Table{{Key: argStreamOffset, Value: int64(12)}}})
	for i := 10; i < 14; i++ {
		r.publish("", "s", fmt.Sprint(i))
	}
	r.expectStream("late", 12, 13)
}

// What one channel read, others read again; and a stream that is deleted tells
// its consumers.
func TestStreamIsReadAgain(t *testing.T) {
	r := withStream(t, V43)
	r.prefetch(20)
	r.fromFirst("c")
	r.expectStream("first", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	call[*wire.ChannelCloseOk](r, &wire.ChannelClose{ReplyCode: 200})
	r.open(1)
	r.prefetch(20)
	r.fromFirst("c")
	r.expectStream("again", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	call[*wire.QueueDeleteOk](r, &wire.QueueDelete{Queue: "s"})
	if m := expect[*wire.BasicCancel](r, 1); m.ConsumerTag != "c" {
		t.Errorf("cancelled is %q", m.ConsumerTag)
	}
}
