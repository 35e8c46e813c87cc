package wire

import "encoding/binary"

// Types of frames, and their sizes in octets.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8

	FrameEnd      = 0xCE // ends each frame
	FrameOverhead = 8    // type, channel, size and end

	// FrameMinSize is the frame_max that holds until it is negotiated, and the
	// lowest that may be. From RabbitMQ 4.1 on it is 8192.
	FrameMinSize = 4096
	// FrameMaxSize is the largest frame that a Reader takes, whatever was
	// negotiated: 16 MiB. RabbitMQ has no such bound.
	FrameMaxSize = 16 << 20
)

const frameHeaderSize = 7

// Frame is one frame as it came.
type Frame struct {
	Type    uint8
	Channel uint16
	Payload []byte // valid until the next Read
}

// known says whether the frame is one that RabbitMQ can take apart. A heartbeat
// is empty, a method has its ids, a header all that is before the properties.
func (f Frame) known() bool {
	switch f.Type {
	case FrameMethod:
		return len(f.Payload) >= 4
	case FrameHeader:
		return len(f.Payload) >= contentHeaderSize
	case FrameBody:
		return true
	case FrameHeartbeat:
		return len(f.Payload) == 0
	}
	return false
}

// begin appends the first octets of a frame, the size still open.
func begin(dst []byte, frame uint8, channel uint16) []byte {
	return append(dst, frame, byte(channel>>8), byte(channel), 0, 0, 0, 0)
}

// end fills in the size of the frame that begins at start, and ends it.
func end(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-frameHeaderSize))
	return append(dst, FrameEnd)
}

// AppendMethod appends a method frame. The frame is not held to any frame_max:
// a method cannot be split.
func AppendMethod(dst []byte, channel uint16, m Method) []byte {
	start := len(dst)
	class, method := m.ID()
	dst = appendID(begin(dst, FrameMethod, channel), class, method)
	return end(m.append(dst), start)
}

// AppendHeader appends a content header frame of class basic. The properties
// are octets as [AppendProperties] makes them, and are written as they are.
func AppendHeader(dst []byte, channel uint16, bodySize uint64, properties []byte) []byte {
	start := len(dst)
	dst = appendID(begin(dst, FrameHeader, channel), ClassBasic, 0)
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	return end(append(dst, properties...), start)
}

// AppendBody appends the body as one or more frames of at most frameMax octets
// each, and nothing when it is empty. A frameMax of 0 sets no limit; one below
// [FrameMinSize] counts as that.
func AppendBody(dst []byte, channel uint16, body []byte, frameMax uint32) []byte {
	size := len(body)
	if frameMax > 0 {
		size = int(max(frameMax, FrameMinSize)) - FrameOverhead
	}
	for len(body) > 0 {
		n := min(size, len(body))
		start := len(dst)
		dst = end(append(begin(dst, FrameBody, channel), body[:n]...), start)
		body = body[n:]
	}
	return dst
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(dst []byte) []byte {
	return append(dst, FrameHeartbeat, 0, 0, 0, 0, 0, 0, FrameEnd)
}

const contentHeaderSize = 12

// DecodeHeader takes the payload of a content header frame apart. The properties
// alias the payload: decode or copy them before the next Read. A weight other
// than 0 is an *Error as RabbitMQ answers it to a basic.publish.
func DecodeHeader(payload []byte) (classID uint16, bodySize uint64, properties []byte, err error) {
	if len(payload) < contentHeaderSize {
		return 0, 0, nil, NewFrameError(Frame{Type: FrameHeader, Payload: payload}, "unknown_frame")
	}
	if weight := binary.BigEndian.Uint16(payload[2:]); weight != 0 {
		return 0, 0, nil, NewError(UnexpectedFrame, ClassBasic, MethodBasicPublish,
			"expected content header for class %d, got non content header frame instead", ClassBasic)
	}
	return binary.BigEndian.Uint16(payload), binary.BigEndian.Uint64(payload[4:]), payload[contentHeaderSize:], nil
}
