package wire

import (
	"encoding/binary"
	"fmt"
)

// Method is a pointer to one of the structs of this package that are named after
// a class and a method, such as [BasicPublish].
type Method interface {
	// ID is the class and the method, as on the wire.
	ID() (class, method uint16)

	decode(f *fields)
	append(dst []byte) []byte
}

// Ids of the classes.
const (
	ClassConnection = 10
	ClassChannel    = 20
	ClassAccess     = 30
	ClassExchange   = 40
	ClassQueue      = 50
	ClassBasic      = 60
	ClassConfirm    = 85
	ClassTx         = 90
)

type methodInfo struct {
	name string
	make func() Method
}

func info[T any, P interface {
	*T
	Method
}](name string) methodInfo {
	return methodInfo{name, func() Method { return P(new(T)) }}
}

// methodKey is a class and a method in one.
func methodKey(class, method uint16) uint32 { return uint32(class)<<16 | uint32(method) }

// methods is only read. Each class has its part in its own file.
var methods = join(connectionMethods, channelMethods, accessMethods, exchangeMethods, queueMethods, basicMethods, confirmMethods, txMethods)

func join(classes ...map[uint32]methodInfo) map[uint32]methodInfo {
	all := make(map[uint32]methodInfo)
	for _, c := range classes {
		for k, v := range c {
			all[k] = v
		}
	}
	return all
}

// MethodName is the name of a method, such as "basic.publish" or
// "queue.declare_ok"; of one that RabbitMQ does not have its numbers, "60.99".
func MethodName(class, method uint16) string {
	if m, ok := methods[methodKey(class, method)]; ok {
		return m.name
	}
	return fmt.Sprintf("%d.%d", class, method)
}

// MethodID returns the class and the method of a method frame's payload. They
// are 0, 0 when it has less than four octets.
func MethodID(payload []byte) (class, method uint16) {
	if len(payload) < 4 {
		return 0, 0
	}
	return binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
}

// DecodeMethod decodes the payload of a method frame, its ids included. What it
// refuses is an [*Error] as RabbitMQ answers it:
//
//   - a method that it does not have: 503 (COMMAND_INVALID), with Drop set;
//   - fields that end too early or too late: 501 (FRAME_ERROR), but 541
//     (INTERNAL_ERROR) where the method is one of class connection;
//   - a short string that is not UTF-8: 501, but anything goes in methods with
//     content, as basic.publish. RabbitMQ 3.10 lets surrogates pass, this does not;
//   - a table that [DecodeTable] refuses: 541 (INTERNAL_ERROR), and with Drop set
//     where the method is one on a channel.
//
// Bits that have no meaning are ignored, so are the fields that AMQP reserves:
// no struct has them, and they are written as zero.
func DecodeMethod(payload []byte) (Method, error) {
	if len(payload) < 4 {
		return nil, NewFrameError(Frame{Type: FrameMethod, Payload: payload}, "unknown_frame")
	}
	class, method := MethodID(payload)
	mi, ok := methods[methodKey(class, method)]
	if !ok {
		e := NewError(CommandInvalid, 0, 0, "")
		e.Reason = fmt.Sprintf("there is no method %d of class %d", method, class)
		e.Drop = true
		return nil, e
	}
	m := mi.make()
	f := fields{b: payload[4:]}
	m.decode(&f)
	if err := f.finish(class, method, payload[4:]); err != nil {
		return nil, err
	}
	return m, nil
}

// wrongMethod is for a caller that mixed up two methods. No client causes it.
func wrongMethod(payload []byte, class, method uint16) error {
	e := NewError(InternalError, class, method, "")
	c, i := MethodID(payload)
	e.Reason = "the frame is one of " + MethodName(c, i)
	return e
}

// finish says what was wrong with the fields, in RabbitMQ's order.
func (f *fields) finish(class, method uint16, all []byte) error {
	// RabbitMQ's reader catches what goes wrong with the methods of channel 0,
	// and adds their names where it has none. With others it crashes.
	channel0 := class == ClassConnection
	switch e := f.first; {
	case (f.short || len(f.b) > 0) && channel0:
		return malformed("cannot decode %s", MethodName(class, method))
	case f.short || len(f.b) > 0:
		return undecodable(class, method, all)
	case e == nil:
		return nil
	case e.Code == InternalError:
		e.Drop = !channel0
		return e
	default:
		if channel0 {
			e.Class, e.Method = class, method
		}
		return e
	}
}
