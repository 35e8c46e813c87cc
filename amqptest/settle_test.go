package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestTagsThatAreNotThere(t *testing.T) {
	for _, v := range allVersions {
		for _, m := range []wire.Method{ack(9), ackTo(9), ack(0), back(9), rejAway(9)} {
			d := drive(t, v)
			d.publish("1", "2")
			d.consume(1, "c", 0)
			tag := "9"
			if a, ok := m.(*wire.BasicAck); ok && a.DeliveryTag == 0 {
				tag = "0"
			}
			d.want(d.do(1, m), "1 closed 406 PRECONDITION_FAILED - unknown delivery tag "+tag)
			d.counts(2, 0)
		}
		d := drive(t, v)
		d.want(d.do(1, ackTo(0)))
		d.publish("1", "2", "3", "4")
		d.consume(1, "c", 0)
		d.do(1, ackTo(0))
		d.counts(0, 0)
	}
}

// A multiple ack whose own tag is settled already settles nothing.
func TestMultipleAckOfASettledTag(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3", "4", "5")
		d.consume(1, "c", 0)
		d.do(1, ack(4))
		d.want(d.do(1, ackTo(4)), "1 closed 406 PRECONDITION_FAILED - unknown delivery tag 4")
		d.counts(4, 0)
	})
}

func TestMultipleOverQueuesAndConsumers(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.declare("other", "x-queue-type", kind)
		for range 3 {
			d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "other"}, wire.Properties{}, "o"))
		}
		d.publish("1", "2", "3")
		d.consume(1, "a", 2)
		d.consume(1, "b", 2)
		d.do(1, &wire.BasicConsume{Queue: "other", ConsumerTag: "o"})
		d.do(1, &wire.BasicGet{Queue: "other"})
		d.counts(0, 3)
		d.want(d.do(1, &wire.BasicNack{DeliveryTag: 0, Multiple: true}))
		d.counts(0, 0)
		if info, _ := d.b.Queue("/", "other"); info.Unacked != 0 || info.Ready != 0 {
			t.Errorf("other: %+v", info)
		}
	})
}

func TestLateAcksOfADeletedQueue(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3")
		d.consume(1, "c", 2)
		d.want(d.do(control, &wire.QueueDelete{Queue: "q"}), "1 cancel c")
		d.want(d.do(1, ack(1)))
		d.want(d.do(1, back(2)))
		d.want(d.do(1, ack(2)), "1 closed 406 PRECONDITION_FAILED - unknown delivery tag 2")
	})
}

func TestAcksOfATransaction(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3", "4")
		d.do(1, &wire.TxSelect{})
		d.consume(1, "c", 3)
		d.want(d.do(1, ack(1), back(2)))
		d.counts(1, 3)
		// What is acked first is made up for before the other comes back.
		got := d.do(1, &wire.TxCommit{})
		if len(got) != 2 || tagOf(got[0]) != 4 || got[0] != "1 c 4 4" {
			t.Errorf("after the commit: %q", got)
		}
		d.do(1, ack(3))
		d.do(1, &wire.TxRollback{})
		d.counts(0, 3)
		d.do(1, ack(3))
		d.do(1, closeChannel())
		d.counts(3, 0)
	})
}

func TestOnlyRequeueingRecovers(t *testing.T) {
	r := dialRaw(t, New(t))
	r.send(1, &wire.BasicRecover{})
	r.expectConnectionClosed(540, "NOT_IMPLEMENTED - requeue=false")
}
