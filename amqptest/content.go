package amqptest

import (
	"github.com/hareline/hareline/internal/wire"
)

// content assembles one publish from its frames.
type content struct {
	// wants says which frame comes next.
	wants                contentFrame
	exchange, key        string
	mandatory, immediate bool
	size                 uint64 // announced
	remaining            int64  // of the body; negative: the client sent too much
	// data is the encoded properties, then the body as far as it came.
	data       []byte
	properties int // of data
}

type contentFrame uint8

const (
	wantsMethod contentFrame = iota
	wantsHeader
	wantsBody
)

// eagerBody is the largest body for which room is made before it comes.
const eagerBody = 64 << 10

// maxSize is the largest size of a message that RabbitMQ can be configured to.
const maxSize = 512 << 20

// frame does what a frame on the channel says. The error is a hard one.
func (ch *channel) frame(f wire.Frame) error {
	in := &ch.incoming
	switch in.wants {
	case wantsHeader:
		return ch.header(f)
	case wantsBody:
		return ch.body(f)
	}
	if f.Type != wire.FrameMethod {
		return hardError(codeUnexpectedFrame, "expected method frame, got non method frame instead")
	}
	class, method := wire.MethodID(f.Payload)
	if class == wire.ClassBasic && method == wire.MethodBasicAck {
		m := &ch.conn.scratch.ack
		if err := wire.DecodeAck(f.Payload, m); err != nil {
			return err
		}
		ch.method(m)
		return nil
	}
	if class == wire.ClassBasic && method == wire.MethodBasicPublish {
		exchange, key, mandatory, immediate, err := wire.PublishKeys(f.Payload)
		if err != nil {
			return err
		}
		names := &ch.conn.names
		*in = content{wants: wantsHeader, exchange: names.get(exchange), key: names.get(key), mandatory: mandatory, immediate: immediate}
		return nil
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	ch.method(m)
	return nil
}

func unexpectedContent(text string, args ...any) error {
	e := hardError(codeUnexpectedFrame, text, args...)
	e.class, e.method = wire.ClassBasic, wire.MethodBasicPublish
	return e
}

// badContent is 4.3's error for content that is not of its announced size.
// Older brokers take what comes, and then wait for a size that never comes.
func badContent(text string, args ...any) error {
	e := hardError(codeFrameError, text, args...)
	e.class, e.method = wire.ClassBasic, wire.MethodBasicPublish
	return e
}

// header takes the content header.
func (ch *channel) header(f wire.Frame) error {
	in := &ch.incoming
	if f.Type != wire.FrameHeader {
		return unexpectedContent("expected content header for class %d, got non content header frame instead", wire.ClassBasic)
	}
	class, size, properties, err := wire.DecodeHeader(f.Payload)
	if err != nil {
		return err
	}
	if size > maxSize && ch.version().atLeast43() && class == wire.ClassBasic {
		return badContent("content body size %d exceeds maximum allowed size %d", size, maxSize)
	}
	if class != wire.ClassBasic {
		return unexpectedContent("expected content header for class %d, got one for class %d instead", wire.ClassBasic, class)
	}
	room := len(properties)
	if size <= eagerBody {
		room += int(size)
	}
	in.data = append(make([]byte, 0, room), properties...)
	in.properties, in.size, in.remaining = len(properties), size, int64(size)
	if size == 0 {
		ch.publishReceived()
	} else {
		in.wants = wantsBody
	}
	ch.conn.publishSeen()
	return nil
}

// body takes a body frame.
func (ch *channel) body(f wire.Frame) error {
	in := &ch.incoming
	if f.Type != wire.FrameBody {
		return unexpectedContent("expected content body, got non content body frame instead")
	}
	if int64(len(f.Payload)) > in.remaining && ch.version().atLeast43() {
		return badContent("content body frame exceeds remaining content size")
	}
	// A body that will be refused for its size is counted, not kept.
	if in.remaining > 0 && in.size <= uint64(ch.conn.broker.cfg.MaxMessageSize) {
		in.data = append(in.data, f.Payload[:min(int64(len(f.Payload)), in.remaining)]...)
	}
	in.remaining -= int64(len(f.Payload))
	if in.remaining == 0 {
		ch.publishReceived()
	}
	ch.conn.publishSeen()
	return nil
}

// publishReceived does the publish that is now complete.
func (ch *channel) publishReceived() {
	in := ch.incoming
	ch.incoming = content{}
	if !ch.ready(wire.ClassBasic, wire.MethodBasicPublish) {
		return
	}
	ch.failed(ch.publish(&in), wire.ClassBasic, wire.MethodBasicPublish)
}
