package amqptest

import (
	"fmt"
	"slices"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// fuzzProgram makes methods of octets: each says which comes next, or what is
// in it. All are well formed, of few queues, exchanges and channels, so that
// they meet.
type fuzzProgram struct {
	in  []byte
	out []byte
	// unacked are the delivery tags by channel, as far as the client knows.
	unacked map[uint16][]uint64
}

func (p *fuzzProgram) next() int {
	if len(p.in) == 0 {
		return 0
	}
	n := p.in[0]
	p.in = p.in[1:]
	return int(n)
}

func (p *fuzzProgram) bit() bool { return p.next()&1 != 0 }

func pick[T any](p *fuzzProgram, from ...T) T { return from[p.next()%len(from)] }

func (p *fuzzProgram) channel() uint16 { return uint16(p.next()%3 + 1) }

func (p *fuzzProgram) queue() string {
	const others = 32
	if n := p.next() % others; n > 1 {
		return string(rune('a' + n%4))
	} else if n == 1 {
		return ""
	}
	return replyToQueue
}

func (p *fuzzProgram) exchange() string {
	return pick(p, "", "x", "y", "z", "amq.direct", "amq.topic", "amq.fanout", "amq.headers")
}

func (p *fuzzProgram) key() string {
	return pick(p, "a", "b", "c", "d", "", "a.b", "#", "*.b", "#.#.b", "1", "3", replyToQueue+".amqptest.1")
}

// deliveryTag is most often one that can be settled.
func (p *fuzzProgram) deliveryTag(channel uint16) (uint64, bool) {
	n, known := p.next(), p.unacked[channel]
	if n%32 == 31 {
		return uint64(n / 32), true
	}
	if len(known) == 0 {
		return 0, false
	}
	i := n % len(known)
	tag := known[i]
	p.unacked[channel] = slices.Delete(known, i, i+1)
	return tag, true
}

func (p *fuzzProgram) tag() string { return pick(p, "t", "u", "v") }

func (p *fuzzProgram) number() any {
	return pick[any](p, int32(0), int32(1), int32(2), int32(10), int64(1000), int32(-1), "1", int64(1)<<62, float64(1), true, nil)
}

func (p *fuzzProgram) text() any {
	return pick[any](p, "", "x", "y", "a", "b", "drop-head", "reject-publish", "reject-publish-dlx", "at-least-once", "all",
		"first", "last", "next", "any", "1h", int32(1), []any{"a", "b"})
}

// table has arguments, of which each may be wrong.
func (p *fuzzProgram) table() wire.Table {
	t := wire.Table{}
	for range p.next() % 3 {
		if p.bit() {
			t = append(t, wire.Field{Key: pick(p, "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority",
				"x-delivery-limit", "x-priority", "x-single-active-consumer", "x-consumer-timeout", "x-delayed-retry-min",
				"x-stream-offset", "k"), Value: p.number()})
			continue
		}
		t = append(t, wire.Field{Key: pick(p, "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-overflow", "x-dead-letter-strategy",
			"x-delayed-retry-type", "x-stream-offset", "alternate-exchange", "x-match", "hash-header", "x-max-age", "k"), Value: p.text()})
	}
	return t
}

// arguments has those of a queue, which the broker takes.
func (p *fuzzProgram) arguments() wire.Table {
	kind := pick(p, "classic", "quorum", "quorum", "stream")
	t := wire.Table{{Key: "x-queue-type", Value: kind}}
	if kind == "stream" {
		if p.bit() {
			t = append(t, wire.Field{Key: "x-max-length-bytes", Value: int32(20)}, wire.Field{Key: "x-stream-max-segment-size-bytes", Value: int32(10)})
		}
		return t
	}
	fields := [...]wire.Field{
		{Key: "x-message-ttl", Value: int32(p.next() % 4 * 500)},
		{Key: "x-expires", Value: int32(2000)},
		{Key: "x-max-length", Value: int32(p.next() % 4)},
		{Key: "x-max-length-bytes", Value: int32(25)},
		{Key: "x-single-active-consumer", Value: p.bit()},
		{Key: "x-consumer-timeout", Value: int32(60_000 + p.next()*1000)},
		{Key: "x-delivery-limit", Value: int32(p.next() % 4)},
		{Key: "x-delayed-retry-type", Value: pick(p, "all", "failed", "returned")},
	}
	wants := p.next()
	for i, f := range fields {
		if wants&(1<<i) != 0 && (kind == "quorum" || i < 6) {
			t = append(t, f)
		}
	}
	if wants&0x80 != 0 && kind == "quorum" {
		t = append(t, wire.Field{Key: "x-delayed-retry-min", Value: int32(1000)}, wire.Field{Key: "x-delayed-retry-max", Value: int32(5000)})
	}
	if kind == "classic" && p.bit() {
		t = append(t, wire.Field{Key: "x-max-priority", Value: int32(p.next() % 6)})
	}
	overflow := pick(p, "drop-head", "reject-publish", "reject-publish-dlx")
	if overflow != "reject-publish-dlx" || kind == "classic" {
		t = append(t, wire.Field{Key: "x-overflow", Value: overflow})
	}
	if p.next()%4 > 0 {
		t = append(t, wire.Field{Key: "x-dead-letter-exchange", Value: pick(p, "", "", "x", "amq.fanout")})
		if p.bit() {
			t = append(t, wire.Field{Key: "x-dead-letter-routing-key", Value: pick(p, "a", "b", "c", "d")})
		}
		if kind == "quorum" && overflow == "reject-publish" && p.bit() {
			t = append(t, wire.Field{Key: "x-dead-letter-strategy", Value: "at-least-once"})
		}
	}
	return t
}

func (p *fuzzProgram) properties() wire.Properties {
	var props wire.Properties
	flags := p.next()
	if flags&1 != 0 {
		props.Set(wire.FlagExpiration)
		props.Expiration = pick(p, "0", "1", "10", "1000", "100000", "5000", "+1", "01", "20", "30", "40", "50", "60", "70", "80", "x")
	}
	if flags&2 != 0 {
		props.SetHeaders(wire.Table{{
			Key: pick(p, "CC", "BCC", "k", "x-death", "x-delivery-count"), Value: pick[any](p, []any{"a", "b"}, []any{"c"}, []any{}, []any{int64(1), "d"}, []any{wire.Table{}}, "a", int64(1), wire.Table{}),
		}})
	}
	if flags&4 != 0 {
		props.Set(wire.FlagPriority)
		props.Priority = uint8(p.next())
	}
	if flags&8 != 0 {
		props.Set(wire.FlagDeliveryMode)
		props.DeliveryMode = uint8(p.next() % 3)
	}
	if flags&16 != 0 {
		props.Set(wire.FlagReplyTo)
		props.ReplyTo = pick(p, "a", "b", "c", "d", "e", "f", "g", replyToQueue)
	}
	return props
}

func (p *fuzzProgram) declaration() wire.Method {
	switch p.next() % 12 {
	case 0:
		return &wire.ExchangeDeclare{
			Exchange: pick(p, "x", "y", "z"), Type: pick(p, "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-local-random", "none"),
			Durable: p.bit(), AutoDelete: p.bit(), Internal: p.next()%8 == 1, NoWait: p.bit(), Arguments: p.table(),
		}
	case 1:
		return &wire.ExchangeDelete{Exchange: p.exchange(), IfUnused: p.bit(), NoWait: p.bit()}
	case 2:
		return &wire.ExchangeBind{Destination: p.exchange(), Source: p.exchange(), RoutingKey: p.key(), Arguments: p.table()}
	case 3:
		return &wire.ExchangeUnbind{Destination: p.exchange(), Source: p.exchange(), RoutingKey: p.key(), Arguments: p.table()}
	case 4:
		return &wire.QueueBind{Queue: p.queue(), Exchange: p.exchange(), RoutingKey: p.key(), Arguments: p.table()}
	case 5:
		if p.bit() {
			return &wire.QueueBind{Queue: p.queue(), Exchange: pick(p, "x", "y", "z"), RoutingKey: p.key()}
		}
		return &wire.QueueUnbind{Queue: p.queue(), Exchange: pick(p, "x", "y", "z"), RoutingKey: p.key()}
	case 6:
		return &wire.QueueDelete{Queue: p.queue(), IfUnused: p.bit(), IfEmpty: p.bit(), NoWait: p.bit()}
	default:
		return &wire.QueuePurge{Queue: p.queue(), NoWait: p.bit()}
	}
}

func (p *fuzzProgram) mode() wire.Method {
	switch p.next() % 8 {
	case 0:
		if p.bit() {
			return &wire.TxSelect{}
		}
		return pick[wire.Method](p, &wire.TxCommit{}, &wire.TxCommit{}, &wire.TxRollback{})
	case 1, 2, 3, 4:
		return &wire.BasicQos{PrefetchCount: uint16(p.next() % 8)}
	case 5:
		return &wire.ChannelFlow{Active: p.next()%32 != 1}
	case 6:
		return &wire.ConfirmSelect{NoWait: p.bit()}
	default:
		return &wire.ChannelClose{}
	}
}

// method is the next one; nil: it is a publish, or no method.
func (p *fuzzProgram) method(channel uint16) wire.Method {
	switch p.next() % 16 {
	case 0:
		return p.declaration()
	case 1:
		return p.mode()
	case 2:
		return &wire.QueueDeclare{
			Queue: p.queue(), Passive: p.next()%4 == 1, Durable: !p.bit(), Exclusive: p.next()%4 == 1, AutoDelete: p.bit(), NoWait: p.bit(),
			Arguments: p.table(),
		}
	case 3:
		return &wire.QueueDeclare{
			Queue: pick(p, "a", "b", "c", "d"), Durable: true, AutoDelete: p.next()%8 == 1, Arguments: p.arguments(),
		}
	case 4:
		m := &wire.BasicConsume{
			Queue: p.queue(), ConsumerTag: p.tag(), NoAck: p.next()%4 == 1, Exclusive: p.next()%16 == 1, NoWait: p.bit(),
		}
		if p.next()%4 == 1 {
			m.Arguments = p.table()
		} else if p.bit() {
			m.Arguments = wire.Table{{Key: "x-priority", Value: int32(p.next() % 3)}}
		}
		return m
	case 5:
		return &wire.BasicCancel{ConsumerTag: p.tag(), NoWait: p.bit()}
	case 6:
		return &wire.BasicQos{PrefetchCount: uint16(p.next() % 4), Global: p.bit()}
	case 7:
		if p.bit() {
			return &wire.BasicGet{Queue: p.queue(), NoAck: p.bit()}
		}
	case 8:
		if tag, ok := p.deliveryTag(channel); ok {
			return &wire.BasicAck{DeliveryTag: tag, Multiple: p.bit()}
		}
	case 9:
		if tag, ok := p.deliveryTag(channel); ok {
			return &wire.BasicNack{DeliveryTag: tag, Multiple: p.bit(), Requeue: p.bit()}
		}
	case 10:
		if tag, ok := p.deliveryTag(channel); ok {
			return &wire.BasicReject{DeliveryTag: tag, Requeue: p.bit()}
		}
	case 11:
		return &wire.BasicRecover{Requeue: p.next()%32 != 1}
	case 12:
		if p.next()%32 == 1 {
			return pick[wire.Method](p, &wire.ChannelOpen{}, &wire.ChannelCloseOk{})
		}
	}
	return nil
}

// fuzzStep says what ended a run of methods.
type fuzzStep uint8

const (
	fuzzOver fuzzStep = iota
	fuzzMore
	fuzzAdvance
	fuzzRestart
)

// run appends up to most methods to out, until something is to be done beside.
func (p *fuzzProgram) run(most int) fuzzStep {
	for ; len(p.in) > 0 && most > 0; most-- {
		channel := p.channel()
		if m := p.method(channel); m != nil {
			p.out = wire.AppendMethod(p.out, channel, m)
			if _, ok := m.(*wire.ChannelClose); ok {
				p.out = wire.AppendMethod(p.out, channel, &wire.ChannelOpen{})
			}
			continue
		}
		switch p.next() % 16 {
		case 0, 1, 2:
			return fuzzAdvance
		case 3:
			if p.next()%16 == 1 {
				return fuzzRestart
			}
		}
		m := &wire.BasicPublish{Exchange: pick(p, "", "", p.exchange()), RoutingKey: p.key(), Mandatory: p.bit()}
		p.out = appendPublish(p.out, channel, m, p.properties(), "0123456789"[:p.next()%10])
	}
	if len(p.in) > 0 {
		return fuzzMore
	}
	return fuzzOver
}

// beside does what no client can.
func (p *fuzzProgram) beside(b *Broker, step fuzzStep) {
	switch step {
	case fuzzRestart:
		b.Restart()
	case fuzzAdvance:
		b.Advance(pick(p, time.Millisecond, time.Second, 10*time.Minute, time.Hour))
		_ = fmt.Sprint(b.Dump(), b.Trace(nil), b.Queues(""), b.Messages("/", "a"), b.Unacked("/", "a"), b.Channels(), b.Consumers(""))
	}
}

// sync sends octets and waits until the broker has done what they say: it
// answers a method on a channel of its own. Channels that the broker closed
// are opened again. false: the connection is over.
func (p *fuzzProgram) sync(r *raw, octets []byte) bool {
	const channel = 9
	octets = wire.AppendMethod(octets, channel, &wire.ChannelOpen{})
	octets = wire.AppendMethod(octets, channel, &wire.ChannelClose{})
	if _, err := r.nc.Write(octets); err != nil {
		r.talk(nil)
		return false
	}
	for over := false; !over; {
		got, err := r.read()
		over = err != nil
		switch m := got.method.(type) {
		case *wire.ChannelCloseOk:
			delete(p.unacked, got.channel)
			if got.channel == channel {
				return true
			}
		case *wire.ChannelClose:
			delete(p.unacked, got.channel)
			_, _ = r.nc.Write(wire.AppendMethod(wire.AppendMethod(nil, got.channel, &wire.ChannelCloseOk{}), got.channel, &wire.ChannelOpen{}))
		case *wire.BasicDeliver:
			p.unacked[got.channel] = append(p.unacked[got.channel], m.DeliveryTag)
		case *wire.BasicGetOk:
			p.unacked[got.channel] = append(p.unacked[got.channel], m.DeliveryTag)
		case *wire.ConnectionClose:
			over = true
		}
	}
	clear(p.unacked)
	r.talk(nil)
	return false
}
