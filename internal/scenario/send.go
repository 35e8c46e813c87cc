package scenario

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/hareline/hareline/internal/wire"
)

// rawBytes is what a step "send" writes:
//
//	send bytes "..."                     as they are
//	send frame TYPE "PAYLOAD" [end=N]    a frame on the step's channel; TYPE is method, header, body, heartbeat or a number
//	send method CLASS METHOD ["FIELDS"]  a method frame
//	send header CLASS SIZE ["REST"]      a header frame; REST is the property flags (none by default) and what follows
//	send body "..."                      a body frame; or size=N: that many bytes
func rawBytes(c *call, channel uint16) ([]byte, error) {
	var out []byte
	switch kind := c.pos("kind"); kind {
	case "bytes":
		out = []byte(c.pos("bytes"))
	case "frame":
		typ := frameType(c)
		out = frame(typ, channel, []byte(c.pos("payload")))
		out[len(out)-1] = byte(c.optNumber("end", wire.FrameEnd, 8))
	case "method":
		payload := binary.BigEndian.AppendUint16(nil, uint16(c.posNumber("class", 16)))
		payload = binary.BigEndian.AppendUint16(payload, uint16(c.posNumber("method", 16)))
		if c.more() {
			payload = append(payload, c.pos("fields")...)
		}
		out = frame(wire.FrameMethod, channel, payload)
	case "header":
		payload := binary.BigEndian.AppendUint16(nil, uint16(c.posNumber("class", 16)))
		payload = binary.BigEndian.AppendUint16(payload, 0)
		payload = binary.BigEndian.AppendUint64(payload, c.posNumber("body size", 64))
		rest := "\x00\x00"
		if c.more() {
			rest = c.pos("rest")
		}
		out = frame(wire.FrameHeader, channel, append(payload, rest...))
	case "body":
		if n := c.optNumber("size", 0, 28); n > 0 {
			out = frame(wire.FrameBody, channel, make([]byte, n))
		} else {
			out = frame(wire.FrameBody, channel, []byte(c.pos("bytes")))
		}
	default:
		return nil, fmt.Errorf("send %s: want bytes, frame, method, header or body", kind)
	}
	return out, c.end()
}

func frameType(c *call) uint8 {
	text := c.pos("type")
	switch text {
	case "method":
		return wire.FrameMethod
	case "header":
		return wire.FrameHeader
	case "body":
		return wire.FrameBody
	case "heartbeat":
		return wire.FrameHeartbeat
	}
	n, err := strconv.ParseUint(text, 10, 8)
	c.fail(err)
	return uint8(n)
}

func frame(typ uint8, channel uint16, payload []byte) []byte {
	out := append([]byte{typ}, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(out[1:], channel)
	binary.BigEndian.PutUint32(out[3:], uint32(len(payload)))
	return append(append(out, payload...), wire.FrameEnd)
}
