package amqptest

import (
	"fmt"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// How often a message is delivered that always comes back in the same way.
func TestDeliveryLimit(t *testing.T) {
	const forever = 40
	nack := func(tag uint64) wire.Method { return back(tag) }
	reject := func(tag uint64) wire.Method { return rejBack(tag) }
	end := func(uint64) wire.Method { return closeChannel() }
	for _, c := range []struct {
		version Version
		limit   any // nil: none given
		how     string
		method  func(tag uint64) wire.Method
		want    int
	}{
		{V310, nil, "nack", nack, forever},
		{V310, int32(3), "nack", nack, 4},
		{V310, int32(3), "end", end, 4},
		{V310, int32(-1), "nack", nack, 1},
		{V310, int32(-1), "end", end, 1},
		{V310, int32(0), "reject", reject, 1},
		{V40, nil, "nack", nack, 21},
		{V40, nil, "reject", reject, 21},
		{V40, nil, "end", end, 21},
		{V40, int32(3), "nack", nack, 4},
		{V40, int32(-1), "nack", nack, forever},
		{V40, int32(-1), "end", end, forever},
		{V43, nil, "nack", nack, forever},
		{V43, nil, "reject", reject, 21},
		{V43, nil, "end", end, 21},
		{V43, int32(0), "reject", reject, 1},
		{V43, int32(-1), "reject", reject, forever},
	} {
		t.Run(fmt.Sprintf("%s %v %s", c.version, c.limit, c.how), func(t *testing.T) {
			args := []any{"x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters"}
			if c.limit != nil {
				args = append(args, "x-delivery-limit", c.limit)
			}
			d := drive(t, c.version, args...)
			d.declare("letters")
			d.publish("m")
			n := 0
			for ; n < forever; n++ {
				got := d.do(1, get())
				if got[0] == "1 empty" {
					break
				}
				d.do(1, c.method(tagOf(got[0])))
			}
			if n != c.want {
				t.Errorf("%d deliveries, want %d", n, c.want)
			}
			letters, _ := d.b.Queue("/", "letters")
			if want := min(1, forever-c.want); letters.Ready != want {
				t.Errorf("%d letters, want %d", letters.Ready, want)
			}
			for _, m := range d.b.Messages("/", "letters") {
				if m.Headers["x-first-death-reason"] != reasonDeliveryLimit {
					t.Errorf("died of %v", m.Headers["x-first-death-reason"])
				}
			}
		})
	}
}

// The count goes along through dead-letter queues since 4.0, and starts anew
// with the first return.
func TestDeliveryCountGoesAlong(t *testing.T) {
	for _, c := range []struct {
		version Version
		method  func(uint64) wire.Method
		first   string // as delivered from the dead-letter queue
		again   string // after it was given back there
	}{
		{V310, away, "100 get 1 m dc=0", "100 get 2 m+ dc=1"},
		{V40, away, "100 get 1 m+ dc=1", "100 get 2 m+ dc=1"},
		{V40, rejAway, "100 get 1 m+ dc=1", "100 get 2 m+ dc=1"},
		{V43, away, "100 get 1 m", "100 get 2 m+ ac=1"},
		{V43, rejAway, "100 get 1 m+ dc=1 ac=1", "100 get 2 m+ dc=1 ac=1"},
	} {
		d := drive(t, c.version, "x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "letters")
		d.declare("letters", "x-queue-type", "quorum")
		d.publish("m")
		d.consume(1, "c", 1)
		d.do(1, c.method(1))
		get := &wire.BasicGet{Queue: "letters"}
		d.want(d.do(control, get), c.first)
		d.do(control, back(1))
		d.want(d.do(control, get), c.again)
	}
}

// A count that a publisher made up is passed on, until there is a true one.
func TestForgedDeliveryCount(t *testing.T) {
	d := drive(t, V40, "x-queue-type", "quorum")
	props := wire.Properties{}
	props.SetHeaders(wire.Table{{Key: "z", Value: "z"}, {Key: headerDeliveryCount, Value: int64(77)}, {Key: "a", Value: "a"}})
	d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "q"}, props, "m"))
	d.want(d.do(control, get()), "100 get 1 m dc=77")
	d.do(control, back(1))
	d.r.send(control, get())
	_, got := expectContent[*wire.BasicGetOk](d.r, control)
	want := wire.Table{{Key: "a", Value: "a"}, {Key: headerDeliveryCount, Value: int64(1)}, {Key: "z", Value: "z"}}
	if fmt.Sprint(got.props.Headers) != fmt.Sprint(want) {
		t.Errorf("headers %v, want %v", got.props.Headers, want)
	}
}
