package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestWhatComesBackAndWhere(t *testing.T) {
	type step struct {
		channel uint16
		method  wire.Method
	}
	for _, c := range []struct {
		name    string
		version Version
		args    []any
		steps   []step
		want    []string // what basic.get gives then
	}{
		{"classic: to its place", V40, nil, []step{{1, get()}, {1, get()}, {1, get()}, {1, back(2)}, {1, back(1)}},
			[]string{"1+", "2+", "4", "5"}},
		{"quorum: before the rest, as it came back", V40, []any{"x-queue-type", "quorum"},
			[]step{{1, get()}, {1, get()}, {1, get()}, {1, back(2)}, {1, back(1)}}, []string{"2+ dc=1", "1+ dc=1", "4", "5"}},
		{"quorum 3.10 without a limit: to the end", V310, []any{"x-queue-type", "quorum"},
			[]step{{1, get()}, {1, get()}, {1, back(2)}, {1, back(1)}}, []string{"3 dc=0", "4 dc=0", "5 dc=0", "2+ dc=1", "1+ dc=1"}},
		{"quorum 3.10 with a limit: before the rest", V310, []any{"x-queue-type", "quorum", "x-delivery-limit", int32(9)},
			[]step{{1, get()}, {1, get()}, {1, back(2)}, {1, back(1)}}, []string{"2+ dc=1", "1+ dc=1", "3 dc=0", "4 dc=0", "5 dc=0"}},
		{"quorum 4.0 without a limit: to the end", V40, []any{"x-queue-type", "quorum", "x-delivery-limit", int32(-1)},
			[]step{{1, get()}, {1, get()}, {1, back(1)}}, []string{"3", "4", "5", "1+ dc=1"}},
		{"quorum 4.3 without a limit: before the rest", V43, []any{"x-queue-type", "quorum", "x-delivery-limit", int32(-1)},
			[]step{{1, get()}, {1, get()}, {1, back(1)}}, []string{"1+ ac=1", "3", "4", "5"}},
		{"quorum 4.3: reject counts, nack does not", V43, []any{"x-queue-type", "quorum"},
			[]step{{1, get()}, {1, get()}, {1, back(1)}, {1, rejBack(2)}}, []string{"1+ ac=1", "2+ dc=1 ac=1", "3", "4", "5"}},
		{"quorum 3.10: a channel ends, basic.get's tags are words", V310, []any{"x-queue-type", "quorum"},
			[]step{{1, get()}, {1, get()}, {1, closeChannel()}}, []string{"1+ dc=1", "2+ dc=1", "3 dc=0", "4 dc=0", "5 dc=0"}},
		{"quorum 4.3: a channel ends", V43, []any{"x-queue-type", "quorum"},
			[]step{{1, get()}, {1, get()}, {1, closeChannel()}}, []string{"1+ dc=1 ac=1", "2+ dc=1 ac=1", "3", "4", "5"}},
		{"quorum: what one nack gives back", V40, []any{"x-queue-type", "quorum"},
			[]step{{1, &wire.BasicQos{PrefetchCount: 3}}, {1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"}}, {1, cancel("c")}, {1, backTo(2)}},
			[]string{"1+ dc=1", "2+ dc=1", "4", "5"}},
		{"recover", V40, nil, []step{{1, get()}, {1, get()}, {1, &wire.BasicRecover{Requeue: true}}}, []string{"1+", "2+", "3", "4", "5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drive(t, c.version, c.args...)
			d.publish("1", "2", "3", "4", "5")
			for _, s := range c.steps {
				d.do(s.channel, s.method)
			}
			var got []string
			for _, s := range d.get("q", 5) {
				if s != "100 empty" {
					got = append(got, string([]byte(s)[len("100 get 1 "):]))
				}
			}
			d.want(got, c.want...)
		})
	}
}

// Of twelve basic.gets, the tenth comes back before the second.
func TestQuorumQueuesSortDeliveryTagsAsWords(t *testing.T) {
	d := drive(t, V43, "x-queue-type", "quorum")
	d.publish("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12")
	for range 12 {
		d.do(1, get())
	}
	d.do(1, closeChannel())
	var got []string
	for _, m := range d.b.Messages("/", "q") {
		got = append(got, string(m.Body))
	}
	d.want(got, "1", "10", "11", "12", "2", "3", "4", "5", "6", "7", "8", "9")
}

func TestCancelledConsumersKeepWhatTheyHold(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3")
		d.consume(1, "c", 2)
		d.do(1, cancel("c"))
		d.counts(1, 2)
		d.want(d.do(1, back(1)))
		d.counts(2, 1)
		d.want(d.do(1, ack(2)))
		d.counts(2, 0)
		info, _ := d.b.Queue("/", "q")
		if info.Consumers != 0 {
			t.Errorf("%d consumers", info.Consumers)
		}
	})
}

// To a quorum queue a consumer that comes back under its old tag is the old one.
func TestSameTagAgain(t *testing.T) {
	for _, c := range []struct {
		kind string
		want []string
	}{{"classic", []string{"1 c 3 3", "1 c 4 4"}}, {"quorum", []string{}}} {
		d := drive(t, V40, "x-queue-type", c.kind)
		d.publish("1", "2", "3", "4")
		d.want(d.consume(1, "c", 2), "1 c 1 1", "1 c 2 2")
		d.do(1, cancel("c"))
		d.want(d.do(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"}), c.want...)
		if c.kind == "quorum" {
			d.want(d.do(1, ack(1)), "1 c 3 3")
		}
	}
}
