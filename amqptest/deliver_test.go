package amqptest

import (
	"fmt"
	"math"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/wire"
)

var bothKinds = []string{"classic", "quorum"}

func TestConsumersTakeTurns(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.consume(1, "a", 0)
		d.consume(2, "b", 0)
		d.consume(3, "high", 1, "x-priority", int32(5))
		d.want(d.publish("1"), "3 high 1 1")
		d.want(d.publish("2"), "1 a 1 2")
		d.want(d.publish("3"), "2 b 1 3")
		d.want(d.publish("4"), "1 a 2 4")
		d.do(3, ack(1))
		d.want(d.publish("5"), "3 high 2 5")
		d.want(d.do(2, cancel("b")))
		d.want(d.publish("6"), "1 a 3 6")
		d.want(d.publish("7"), "1 a 4 7")
		d.counts(0, 6)
		d.want(d.do(1, ackTo(4)))
		d.counts(0, 2)
	})
}

func TestPrefetch(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3", "4")
		d.want(d.consume(1, "c", 2), "1 c 1 1", "1 c 2 2")
		d.want(d.do(1, ack(2)), "1 c 3 3")
		d.want(d.do(1, ackTo(3)), "1 c 4 4")
		// It holds for consumers to come.
		d.want(d.do(1, &wire.BasicQos{PrefetchCount: 9}))
		d.want(d.publish("5", "6"), "1 c 5 5")
	})
}

func TestPrefetchOfQuorumQueuesIsNeverUnlimited(t *testing.T) {
	d := drive(t, V40, "x-queue-type", "quorum")
	bodies := make([]string, quorumCredit+5)
	for i := range bodies {
		bodies[i] = "m"
	}
	d.publish(bodies...)
	if got := d.consume(1, "c", 0); len(got) != quorumCredit {
		t.Errorf("%d deliveries, want %d", len(got), quorumCredit)
	}
	if got := d.do(1, ackTo(3)); len(got) != 3 {
		t.Errorf("%d deliveries after 3 acks", len(got))
	}
}

func TestConsumersThatNeedNotAck(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3")
		got := d.do(1, &wire.BasicQos{PrefetchCount: 1}, &wire.BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true})
		d.want(got, "1 c 1 1", "1 c 2 2", "1 c 3 3")
		d.counts(0, 0)
		d.want(d.do(1, ack(1)), "1 closed 406 PRECONDITION_FAILED - unknown delivery tag 1")
	})
}

func TestLimitOfAChannel(t *testing.T) {
	for _, v := range []Version{V310, V40} {
		d := drive(t, v)
		d.do(1, &wire.BasicQos{PrefetchCount: 2, Global: true})
		d.do(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "a"}, &wire.BasicConsume{Queue: "q", ConsumerTag: "b"})
		d.do(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true})
		d.want(d.publish("1", "2", "3"), "1 a 1 1", "1 b 2 2")
		// Who was held up first goes on first.
		d.want(d.do(1, ack(2)), "1 c 3 3")
		d.want(d.publish("4", "5", "6"), "1 a 4 4")
		d.want(d.do(1, &wire.BasicQos{Global: true}), "1 b 5 5", "1 c 6 6")
	}
	d := drive(t, V43)
	d.do(1, &wire.BasicQos{PrefetchCount: 1, Global: true})
	d.do(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "a"}, &wire.BasicConsume{Queue: "q", ConsumerTag: "b"})
	d.want(d.publish("1", "2", "3"), "1 a 1 1", "1 b 2 2")
}

func TestPriorities(t *testing.T) {
	publish := []string{"0!a", "9!b", "0!c", "9!d", "5!e", "9!f", "g"}
	for _, c := range []struct {
		version Version
		args    []any
		want    string
	}{
		{V310, []any{"x-queue-type", "quorum"}, "abcdefg"},
		{V40, []any{"x-queue-type", "quorum"}, "bdaefcg"},
		{V43, []any{"x-queue-type", "quorum"}, "bdfegac"},
		{V40, []any{"x-max-priority", int32(9)}, "bdfeacg"},
		{V40, []any{"x-max-priority", int32(5)}, "bdefacg"},
		{V40, nil, "abcdefg"},
	} {
		d := drive(t, c.version, c.args...)
		d.publish(publish...)
		var order string
		for _, m := range d.b.Messages("/", "q") {
			order += string(m.Body)
		}
		var taken string
		for _, s := range d.get("q", len(publish)) {
			taken += string([]byte(s)[len("100 get 1 "):][:1])
		}
		if order != c.want || taken != c.want {
			t.Errorf("%s %v: shown as %s, taken as %s, want %s", c.version, c.args, order, taken, c.want)
		}
	}
}

// A backlog that was drained leaves nothing behind, and what is out at once is
// bounded by what the client reads.
// TestPrioritiesOfAnySize: x-priority is any integer.
func TestPrioritiesOfAnySize(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	for _, p := range []int64{-2, 0, math.MaxInt64, math.MinInt64} {
		if _, err := ch.Consume("q", fmt.Sprint(p), false, false, false, false, amqp.Table{"x-priority": p}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		_, _ = publish(t, ch, "q", "x").WaitContext(inTime(t))
	}
	for _, m := range b.Unacked("/", "q") {
		if m.Consumer != fmt.Sprint(math.MaxInt64) {
			t.Errorf("delivered to the consumer of priority %s", m.Consumer)
		}
	}
}

func TestSlowReaderIsNotFlooded(t *testing.T) {
	eachQueue(t, []Version{V40}, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		body := make([]byte, 64<<10)
		const n = 100
		for range n {
			d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "q"}, wire.Properties{}, string(body)))
		}
		d.sync()
		d.r.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
		expect[*wire.BasicConsumeOk](d.r, 1)
		expectContent[*wire.BasicDeliver](d.r, 1)
		// The outbox is full: the rest waits in the queue.
		if info, _ := d.b.Queue("/", "q"); info.Ready == 0 {
			t.Error("all of it was sent to a client that does not read")
		}
		for range n - 1 {
			expectContent[*wire.BasicDeliver](d.r, 1)
		}
		d.counts(0, n)
	})
}
