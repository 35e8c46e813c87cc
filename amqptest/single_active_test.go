package amqptest

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func TestSingleActiveConsumer(t *testing.T) {
	eachQueue(t, allVersions, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind, "x-single-active-consumer", true)
		d.want(d.consume(1, "a", 2))
		d.want(d.consume(2, "b", 2))
		d.want(d.publish("1", "2", "3", "4"), "1 a 1 1", "1 a 2 2")
		info, _ := d.b.Queue("/", "q")
		if info.ActiveConsumer != "a" || info.Consumers != 2 {
			t.Errorf("active: %q of %d", info.ActiveConsumer, info.Consumers)
		}
		// It goes, what it holds stays with it, and the next one goes on: a
		// classic queue of 3.10 when something else happens.
		got := d.do(1, cancel("a"))
		if v == V310 && kind == "classic" {
			d.want(got)
			d.publish("5")
			got = []string{"2 b 1 3", "2 b 2 4"}
			d.get("q", 1)
		}
		d.want(got, "2 b 1 3", "2 b 2 4")
		d.counts(0, 4)
		d.want(d.do(1, closeChannel()))
		d.counts(2, 2)
		// In order, if the channel is closed at once.
		d.do(3, &wire.BasicQos{PrefetchCount: 9}, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
		got = d.do(2, closeChannel())
		if len(got) != 4 || got[0][:8] != "3 c 1 1+" {
			t.Errorf("handed over: %q", got)
		}
	})
}

// Since 4.0 a consumer of higher priority takes over in a quorum queue, when
// the active one holds nothing.
func TestSingleActiveConsumerGivesWay(t *testing.T) {
	for _, c := range []struct {
		version Version
		kind    string
		over    bool
	}{{V310, "quorum", false}, {V40, "quorum", true}, {V43, "quorum", true}, {V40, "classic", false}, {V43, "classic", false}} {
		d := drive(t, c.version, "x-queue-type", c.kind, "x-single-active-consumer", true)
		d.consume(1, "a", 2)
		d.publish("1", "2", "3")
		d.want(d.consume(2, "high", 2, "x-priority", int32(1)))
		if !c.over {
			d.want(d.do(1, ack(1)), "1 a 3 3")
			continue
		}
		d.want(d.do(1, ack(1)))
		d.want(d.do(1, ack(2)), "2 high 1 3")
		d.want(d.publish("4", "5"), "2 high 2 4")
		// And the one that gave way is there when it goes.
		if got := d.do(2, closeChannel()); len(got) != 2 || got[0][:8] != "1 a 3 3+" {
			t.Errorf("%s %s: %q", c.version, c.kind, got)
		}
	}
}

func TestExclusiveConsumers(t *testing.T) {
	exclusive := func(tag string) wire.Method { return &wire.BasicConsume{Queue: "q", ConsumerTag: tag, Exclusive: true} }
	refused := " closed 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
	for _, v := range allVersions {
		d := drive(t, v)
		d.want(d.do(1, exclusive("a")))
		d.want(d.consume(2, "b", 0), "2"+refused)
		d.want(d.do(3, exclusive("c")), "3"+refused)
		d.do(1, cancel("a"))
		d.want(d.consume(4, "d", 0))
		d.want(d.do(5, exclusive("e")), "5"+refused)

		d = drive(t, v, "x-single-active-consumer", true)
		d.want(d.do(1, exclusive("a")), "1"+refused)
		// Quorum queues do not know it.
		d = drive(t, v, "x-queue-type", "quorum")
		d.want(d.do(1, exclusive("a")))
		d.want(d.do(2, exclusive("b")))
	}
}

func TestConsumerTimeoutOfChannels(t *testing.T) {
	eachQueue(t, []Version{V310, V40}, bothKinds, func(t *testing.T, v Version, kind string) {
		d := drive(t, v, "x-queue-type", kind)
		d.publish("1", "2", "3")
		d.consume(1, "c", 2)
		d.consume(1, "other", 1)
		d.want(d.advance(10 * time.Minute))
		d.want(d.do(1, ack(1)))
		d.do(2, get())
		d.want(d.advance(20 * time.Minute))
		d.want(d.advance(ms), "1 closed 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "+
			"Timeout value used: 1800000 ms. This timeout value can be configured, see consumers doc guide to learn more")
		d.counts(2, 0)
	})
}

// 4.3 cancels the consumer instead, in quorum queues only.
func TestConsumerTimeoutOfConsumers(t *testing.T) {
	d := drive(t, V43, "x-queue-type", "quorum")
	d.publish("1", "2", "3", "4")
	d.consume(1, "c", 2, "x-consumer-timeout", int32(60_000))
	d.want(d.advance(30 * time.Second))
	d.want(d.do(1, ack(1)), "1 c 3 3")
	d.want(d.advance(30*time.Second), "1 cancel c")
	d.counts(2, 1)
	d.want(d.consume(2, "d", 1), "2 d 1 2+ ac=1")
	// What comes late is fine, and has no effect; and the consumer, which is
	// not gone, takes up again.
	d.want(d.do(1, ack(2)), "1 c 4 4")
	d.counts(0, 3)
	d.want(d.do(1, ack(2)), "1 closed 406 PRECONDITION_FAILED - unknown delivery tag 2")

	d = drive(t, V43, "x-queue-type", "quorum", "x-consumer-timeout", int32(1000))
	d.publish("1")
	d.do(1, get())
	d.want(d.advance(time.Second), "1 closed 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "+
		"Timeout value used: -1 ms. This timeout value can be configured, see consumers doc guide to learn more")

	d = drive(t, V43)
	d.publish("1")
	d.consume(1, "c", 1)
	d.want(d.advance(48 * time.Hour))
}

func TestConsumerTimeoutOfTheSingleActive(t *testing.T) {
	d := drive(t, V43, "x-queue-type", "quorum", "x-single-active-consumer", true, "x-consumer-timeout", int32(1000))
	d.publish("1", "2", "3")
	d.consume(1, "a", 1)
	d.consume(2, "b", 2, "x-consumer-timeout", int32(60_000))
	d.want(d.advance(time.Second), "1 cancel a", "2 b 1 1+ ac=1", "2 b 2 2")
	d.want(d.do(1, ack(1)))
	d.want(d.do(2, closeChannel()), "1 a 2 1+ dc=1 ac=2")
}

func TestDelayedRetry(t *testing.T) {
	const never = 0
	for _, c := range []struct {
		kind         string
		nack, reject time.Duration
	}{
		{delayAll, 400 * ms, 400 * ms}, {delayFailed, never, 400 * ms}, {delayReturned, 400 * ms, never},
	} {
		d := drive(t, V43, "x-queue-type", "quorum", "x-delayed-retry-type", c.kind,
			"x-delayed-retry-min", int32(400), "x-delayed-retry-max", int32(1000), "x-delivery-limit", int32(3))
		d.publish("m")
		d.consume(1, "c", 1)
		comes := func(m wire.Method, after time.Duration, want string) {
			t.Helper()
			got := d.do(1, m)
			if after != never {
				d.want(got)
				d.counts(0, 0)
				if all := d.b.Delayed("/", "q"); len(all) != 1 {
					t.Errorf("%d delayed", len(all))
				}
				d.want(d.advance(after - ms))
				got = d.advance(ms)
			}
			d.want(got, want)
		}
		comes(back(1), c.nack, "1 c 2 m+ ac=1")
		comes(rejBack(2), c.reject, "1 c 3 m+ dc=1 ac=2")
		comes(rejBack(3), 2*c.reject, "1 c 4 m+ dc=2 ac=3")
		comes(rejBack(4), min(3*c.reject, time.Second), "1 c 5 m+ dc=3 ac=4")
		d.want(d.do(1, rejBack(5)))
		d.want(d.advance(time.Minute))
		d.counts(0, 0)
	}
}

func TestPurgeAndDelayed(t *testing.T) {
	d := drive(t, V43, "x-queue-type", "quorum", "x-delayed-retry-type", delayAll, "x-delayed-retry-min", int32(400), "x-delayed-retry-max", int32(1000))
	d.publish("1", "2", "3")
	d.do(1, get(), get())
	d.do(1, back(1))
	d.r.send(1, &wire.QueuePurge{Queue: "q"})
	if n := expect[*wire.QueuePurgeOk](d.r, 1).MessageCount; n != 2 {
		t.Errorf("%d purged", n)
	}
	d.counts(0, 1)
	d.want(d.advance(time.Minute))
	d.counts(0, 1)
}
