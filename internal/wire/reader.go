package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	bufferSize   = 32 << 10
	bufferKeep   = 1 << 20 // a larger buffer is let go once it is empty
	emptyReads   = 100
	protocolSize = 8
)

// Reader reads frames. A frame over its limit, a wrong end octet, or a frame of
// an unknown type is an [*Error] with the text that RabbitMQ answers.
//
// It buffers, and grows its buffer only as octets arrive, whatever size a frame
// claims. It belongs to one goroutine.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int    // the octets in buf that are not yet taken
	frameMax   uint32 // never 0
	pending    error  // of r, returned when buf is used up
	fatal      *Error
}

// NewReader makes a Reader whose limit is [FrameMinSize] until SetLimit.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: r, buf: make([]byte, bufferSize), frameMax: FrameMinSize}
}

// SetLimit sets the frame_max in octets, the 8 octets around the payload
// included. 0, which is "no limit" in AMQP, and all above it are [FrameMaxSize].
// As RabbitMQ, the Reader lets a frame pass that is up to 8 octets larger.
func (r *Reader) SetLimit(frameMax uint32) {
	if frameMax == 0 || frameMax > FrameMaxSize {
		frameMax = FrameMaxSize
	}
	r.frameMax = max(frameMax, FrameOverhead)
}

// ProtocolHeader reads the 8 octets that a client begins with. It does not judge
// them.
func (r *Reader) ProtocolHeader() ([protocolSize]byte, error) {
	var h [protocolSize]byte
	if err := r.fill(protocolSize); err != nil {
		return h, err
	}
	copy(h[:], r.buf[r.start:])
	r.start += protocolSize
	return h, nil
}

// Read reads one frame. It allocates only to grow its buffer.
//
// An [*Error] that is Fatal comes again with each further call. One that is not
// comes with the frame it is about, and the next Read goes on behind it. Other
// errors are the underlying reader's: io.EOF between frames, io.ErrUnexpectedEOF
// within one. After a timeout Read may be called again and loses nothing.
func (r *Reader) Read() (Frame, error) {
	if r.fatal != nil {
		return Frame{}, r.fatal
	}
	if r.start == r.end && len(r.buf) > bufferKeep {
		r.buf, r.start, r.end = make([]byte, bufferSize), 0, 0
	}
	if err := r.fill(frameHeaderSize); err != nil {
		return Frame{}, err
	}
	f, size := r.header()
	if size > r.frameMax {
		return Frame{}, r.fail(f, fmt.Sprintf("{frame_too_large,%d,%d}", size, r.frameMax-FrameOverhead))
	}
	whole := int(size) + FrameOverhead
	if err := r.fill(whole); err != nil {
		return Frame{}, err
	}
	b := r.buf[r.start : r.start+whole]
	f.Payload = b[frameHeaderSize : whole-1 : whole-1]
	if last := b[whole-1]; last != FrameEnd {
		return Frame{}, r.fail(f, fmt.Sprintf("{invalid_frame_end_marker,%d}", last))
	}
	r.start += whole
	if !f.known() {
		return f, NewFrameError(f, "unknown_frame")
	}
	return f, nil
}

// Buffered says whether the next Read has all it needs and will not block.
func (r *Reader) Buffered() bool {
	if r.fatal != nil {
		return true
	}
	n := r.end - r.start
	if n < frameHeaderSize {
		return false
	}
	_, size := r.header()
	return size > r.frameMax || n >= int(size)+FrameOverhead
}

// header reads what the buffer begins with; at least frameHeaderSize octets.
func (r *Reader) header() (Frame, uint32) {
	b := r.buf[r.start : r.start+frameHeaderSize]
	return Frame{Type: b[0], Channel: binary.BigEndian.Uint16(b[1:])}, binary.BigEndian.Uint32(b[3:])
}

func (r *Reader) fail(f Frame, what string) error {
	r.fatal = NewFrameError(f, what)
	r.fatal.Fatal = true
	return r.fatal
}

// fill reads until n octets are in the buffer.
func (r *Reader) fill(n int) error {
	for empty := 0; r.end-r.start < n; {
		if r.pending != nil {
			return r.failure()
		}
		r.room(n)
		m, err := r.r.Read(r.buf[r.end:])
		if m < 0 || m > len(r.buf)-r.end {
			return errors.New("wire: the reader returned a count outside of its buffer")
		}
		r.end += m
		r.pending = err
		if m > 0 {
			empty = 0
		} else if empty++; empty == emptyReads && err == nil {
			return io.ErrNoProgress
		}
	}
	return nil
}

// failure returns what the underlying reader reported, once: a timeout passes.
func (r *Reader) failure() error {
	err := r.pending
	r.pending = nil
	if errors.Is(err, io.EOF) && r.end > r.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// room makes space behind the end, for a sum of n octets. The buffer grows only
// when it is full, so that its size follows what came, not what was announced.
func (r *Reader) room(n int) {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.start+n > len(r.buf) && r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf)
		r.buf = grown
	}
}
