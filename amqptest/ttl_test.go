package amqptest

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

const ms = time.Millisecond

// publishFor publishes a body with an expiration.
func (d *driver) publishFor(expiration, body string) {
	d.Helper()
	props := wire.Properties{Expiration: expiration}
	props.Set(wire.FlagExpiration)
	d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "q"}, props, body))
	d.sync()
}

func TestTimeToLive(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind, "x-message-ttl", int32(1000), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters")
		d.declare("letters")
		died := func(want int) {
			t.Helper()
			if info, _ := d.b.Queue("/", "letters"); info.Ready != want {
				t.Errorf("%d letters, want %d", info.Ready, want)
			}
		}
		d.publish("queue's")
		d.publishFor("5000", "longer")
		d.advance(999 * ms)
		died(0)
		d.advance(ms)
		died(2)
		d.publishFor("300", "own")
		d.advance(300 * ms)
		died(3)
		// At its head only.
		d.publish("first")
		d.publishFor("10", "behind")
		d.advance(500 * ms)
		died(3)
		d.counts(2, 0)
		d.advance(500 * ms)
		died(5)
		// What is out does not expire; when it comes back, it does.
		d.publish("out")
		d.do(1, get())
		d.advance(2 * time.Second)
		died(5)
		d.do(1, back(1))
		died(6)
		for _, m := range d.b.Messages("/", "letters") {
			if m.Headers["x-first-death-reason"] != reasonExpired {
				t.Errorf("died of %v", m.Headers["x-first-death-reason"])
			}
		}
	})
}

// To a classic queue a time to live of 0 is: now or never.
func TestNoTimeToLive(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publishFor("0", "nobody")
		if kind == "quorum" {
			d.counts(1, 0)
			d.advance(ms)
		}
		d.counts(0, 0)
		d.consume(1, "c", 1)
		d.publishFor("0", "somebody")
		d.counts(0, 1)
		d.publishFor("0", "too much")
		d.advance(ms)
		d.counts(0, 1)
	})
}

// 4.0 looks at the head that the turns of its two lanes make: a stream of
// messages of high priority keeps old ones without.
func TestPrioritiesKeepOldMessages(t *testing.T) {
	for v, want := range map[Version]int{V310: 0, V40: 5, V43: 0} {
		d := drive(t, v, "x-queue-type", "quorum", "x-message-ttl", int32(1000))
		for range 10 {
			d.publish("low")
		}
		for range 20 {
			d.publish("9!high")
			d.advance(100 * ms)
		}
		low := 0
		for _, m := range d.b.Messages("/", "q") {
			if string(m.Body) == "low" {
				low++
			}
		}
		if low != want {
			t.Errorf("%s: %d old ones are left, want %d", v, low, want)
		}
	}
}

func TestExpiresUnused(t *testing.T) {
	gone := func(d *driver) bool { _, ok := d.b.Queue("/", "q"); return !ok }
	for _, v := range allVersions {
		d := drive(t, v, "x-expires", int32(1000), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters")
		d.declare("letters")
		d.publish("lost")
		d.advance(900 * ms)
		d.do(control, &wire.BasicGet{Queue: "q"})
		d.do(control, back(1))
		d.advance(900 * ms)
		d.consume(1, "c", 1)
		d.advance(5 * time.Second)
		if gone(d) {
			t.Fatalf("%s: it went while it was used", v)
		}
		d.do(1, cancel("c"))
		d.advance(900 * ms)
		d.declare("q", "x-expires", int32(1000), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters")
		d.advance(999 * ms)
		if gone(d) {
			t.Fatalf("%s: it went too early", v)
		}
		d.advance(ms)
		if !gone(d) {
			t.Errorf("%s: it is still there", v)
		}
		if info, _ := d.b.Queue("/", "letters"); info.Ready != 0 {
			t.Errorf("%s: dead-lettered", v)
		}

		d = drive(t, v, "x-queue-type", "quorum", "x-expires", int32(1000))
		d.advance(4999 * ms)
		if gone(d) {
			t.Errorf("%s: a quorum queue went before it looked", v)
		}
		d.advance(ms)
		if !gone(d) {
			t.Errorf("%s: a quorum queue is still there", v)
		}
	}
}
