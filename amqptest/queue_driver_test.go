package amqptest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// driver plays a client of one queue, q, on channels of one connection.
type driver struct {
	*testing.T
	b      *Broker
	r      *raw
	opened []uint16
}

var allVersions = []Version{V310, V40, V43}

// control is the channel on which nothing is consumed.
const control = 100

// drive declares q with arguments such as "x-queue-type", "quorum".
func drive(t *testing.T, v Version, arguments ...any) *driver {
	t.Helper()
	b := Config{Version: v}.New(t)
	d := &driver{T: t, b: b, r: dialRaw(t, b), opened: []uint16{1, control}}
	d.r.open(control)
	d.declare("q", arguments...)
	return d
}

func (d *driver) declare(queue string, arguments ...any) {
	d.Helper()
	var table wire.Table
	for i := 0; i < len(arguments); i += 2 {
		table = append(table, wire.Field{Key: arguments[i].(string), Value: arguments[i+1]})
	}
	d.r.send(control, &wire.QueueDeclare{Queue: queue, Durable: true, Arguments: table})
	expect[*wire.QueueDeclareOk](d.r, control)
}

// publish publishes bodies to q. "5!a" is the body a with priority 5.
func (d *driver) publish(bodies ...string) []string {
	d.Helper()
	for _, body := range bodies {
		props := wire.Properties{}
		if priority, rest, ok := strings.Cut(body, "!"); ok {
			props.Set(wire.FlagPriority)
			_, _ = fmt.Sscan(priority, &props.Priority)
			body = rest
		}
		d.r.write(appendPublish(nil, control, &wire.BasicPublish{RoutingKey: "q"}, props, body))
	}
	return d.sync()
}

// do sends methods on a channel and returns what came of them.
func (d *driver) do(channel uint16, methods ...wire.Method) []string {
	d.Helper()
	if !slices.Contains(d.opened, channel) {
		d.opened = append(d.opened, channel)
		d.r.open(channel)
	}
	d.r.send(channel, methods...)
	if _, ok := methods[len(methods)-1].(*wire.ChannelClose); ok {
		d.opened = slices.DeleteFunc(d.opened, func(ch uint16) bool { return ch == channel })
	}
	return d.sync()
}

// sync returns what was sent to the client so far: "1 c 3 body" is the delivery
// 3 to consumer c of channel 1; "+" says that it is redelivered; "dc=1" is its
// x-delivery-count, "ac=1" its x-acquired-count.
func (d *driver) sync() []string {
	d.Helper()
	d.r.send(control, &wire.ChannelFlow{Active: true})
	out, closed := []string{}, false
	for {
		got := d.r.receive()
		if _, ok := got.method.(*wire.ChannelFlowOk); ok && got.channel == control {
			if closed {
				return append(out, d.sync()...) // the answer to it matters
			}
			return out
		}
		if _, ok := got.method.(*wire.ChannelClose); ok {
			closed = true
		}
		if s := d.describe(got); s != "" {
			out = append(out, s)
		}
	}
}

func (d *driver) describe(got received) string {
	tell := func(kind string, tag uint64, redelivered bool) string {
		s := fmt.Sprintf("%d %s %d %s", got.channel, kind, tag, got.body)
		if redelivered {
			s += "+"
		}
		for _, h := range []struct{ name, short string }{{headerDeliveryCount, "dc"}, {headerAcquiredCount, "ac"}} {
			if n, ok := got.props.Headers.Get(h.name); ok {
				s += fmt.Sprintf(" %s=%v", h.short, n)
			}
		}
		return s
	}
	switch m := got.method.(type) {
	case *wire.BasicDeliver:
		return tell(m.ConsumerTag, m.DeliveryTag, m.Redelivered)
	case *wire.BasicGetOk:
		return tell("get", m.DeliveryTag, m.Redelivered)
	case *wire.BasicGetEmpty:
		return fmt.Sprintf("%d empty", got.channel)
	case *wire.BasicCancel:
		return fmt.Sprintf("%d cancel %s", got.channel, m.ConsumerTag)
	case *wire.ChannelClose:
		d.r.send(got.channel, &wire.ChannelCloseOk{})
		d.opened = slices.DeleteFunc(d.opened, func(ch uint16) bool { return ch == got.channel })
		return fmt.Sprintf("%d closed %d %s", got.channel, m.ReplyCode, m.ReplyText)
	case *wire.BasicNack:
		return fmt.Sprintf("refused %d", m.DeliveryTag)
	}
	return ""
}

// consume adds a consumer. prefetch 0 is none.
func (d *driver) consume(channel uint16, tag string, prefetch uint16, arguments ...any) []string {
	d.Helper()
	var table wire.Table
	for i := 0; i < len(arguments); i += 2 {
		table = append(table, wire.Field{Key: arguments[i].(string), Value: arguments[i+1]})
	}
	return d.do(channel, &wire.BasicQos{PrefetchCount: prefetch}, &wire.BasicConsume{Queue: "q", ConsumerTag: tag, Arguments: table})
}

func (d *driver) get(queue string, n int) []string {
	d.Helper()
	var out []string
	for range n {
		out = append(out, d.do(control, &wire.BasicGet{Queue: queue, NoAck: true})...)
	}
	return out
}

func ack(tag uint64) wire.Method   { return &wire.BasicAck{DeliveryTag: tag} }
func ackTo(tag uint64) wire.Method { return &wire.BasicAck{DeliveryTag: tag, Multiple: true} }
func back(tag uint64) wire.Method  { return &wire.BasicNack{DeliveryTag: tag, Requeue: true} }
func backTo(tag uint64) wire.Method {
	return &wire.BasicNack{DeliveryTag: tag, Requeue: true, Multiple: true}
}
func away(tag uint64) wire.Method    { return &wire.BasicNack{DeliveryTag: tag} }
func rejBack(tag uint64) wire.Method { return &wire.BasicReject{DeliveryTag: tag, Requeue: true} }
func rejAway(tag uint64) wire.Method { return &wire.BasicReject{DeliveryTag: tag} }
func closeChannel() wire.Method      { return &wire.ChannelClose{ReplyCode: 200} }
func cancel(tag string) wire.Method  { return &wire.BasicCancel{ConsumerTag: tag} }
func get() wire.Method               { return &wire.BasicGet{Queue: "q"} }
func tagOf(delivered string) (n uint64) {
	_, _ = fmt.Sscan(strings.Fields(delivered)[2], &n)
	return n
}

func (d *driver) want(got []string, want ...string) {
	d.Helper()
	if !slices.Equal(got, want) {
		d.Errorf("got  %q\nwant %q", got, want)
	}
}

func (d *driver) counts(ready, unacked int) {
	d.Helper()
	if info, _ := d.b.Queue("/", "q"); info.Ready != ready || info.Unacked != unacked {
		d.Errorf("%d ready, %d unacked, want %d, %d", info.Ready, info.Unacked, ready, unacked)
	}
}

// advance moves the time and returns what came of it.
func (d *driver) advance(by time.Duration) []string {
	d.Helper()
	d.b.Advance(by)
	return d.sync()
}

// eachQueue runs a test for versions and types of queues.
func eachQueue(t *testing.T, versions []Version, kinds []string, test func(t *testing.T, v Version, kind string)) {
	for _, v := range versions {
		for _, kind := range kinds {
			t.Run(string(v)+" "+kind, func(t *testing.T) { test(t, v, kind) })
		}
	}
}
