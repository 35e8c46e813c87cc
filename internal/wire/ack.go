package wire

import "encoding/binary"

// BasicAck acknowledges deliveries, or confirms publishes.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

// ID is 60, 80.
func (*BasicAck) ID() (class, method uint16) { return ClassBasic, MethodBasicAck }

func (m *BasicAck) decode(f *fields) {
	m.DeliveryTag = f.longlong()
	b := f.bits()
	m.Multiple = b.at(0)
}

func (m *BasicAck) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return append(dst, bit(m.Multiple, 0))
}

// BasicReject rejects a delivery.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// ID is 60, 90.
func (*BasicReject) ID() (class, method uint16) { return ClassBasic, MethodBasicReject }

func (m *BasicReject) decode(f *fields) {
	m.DeliveryTag = f.longlong()
	b := f.bits()
	m.Requeue = b.at(0)
}

func (m *BasicReject) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return append(dst, bit(m.Requeue, 0))
}

// BasicNack rejects deliveries, or refuses publishes.
type BasicNack struct {
	DeliveryTag       uint64
	Multiple, Requeue bool
}

// ID is 60, 120.
func (*BasicNack) ID() (class, method uint16) { return ClassBasic, MethodBasicNack }

func (m *BasicNack) decode(f *fields) {
	m.DeliveryTag = f.longlong()
	b := f.bits()
	m.Multiple, m.Requeue = b.at(0), b.at(1)
}

func (m *BasicNack) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return append(dst, bit(m.Multiple, 0)|bit(m.Requeue, 1))
}

// DecodeAck decodes the payload of a basic.ack into m, without an allocation.
// The error is that of [DecodeMethod].
func DecodeAck(payload []byte, m *BasicAck) error {
	tag, b, err := tagAndBits(payload, MethodBasicAck)
	if err == nil {
		*m = BasicAck{DeliveryTag: tag, Multiple: b.at(0)}
	}
	return err
}

// DecodeReject is [DecodeAck] for a basic.reject.
func DecodeReject(payload []byte, m *BasicReject) error {
	tag, b, err := tagAndBits(payload, MethodBasicReject)
	if err == nil {
		*m = BasicReject{DeliveryTag: tag, Requeue: b.at(0)}
	}
	return err
}

// DecodeNack is [DecodeAck] for a basic.nack.
func DecodeNack(payload []byte, m *BasicNack) error {
	tag, b, err := tagAndBits(payload, MethodBasicNack)
	if err == nil {
		*m = BasicNack{DeliveryTag: tag, Multiple: b.at(0), Requeue: b.at(1)}
	}
	return err
}

// tagAndBits reads a method of class basic that has a delivery tag and one octet
// of bits.
func tagAndBits(payload []byte, method uint16) (uint64, bits, error) {
	if c, i := MethodID(payload); c != ClassBasic || i != method {
		return 0, 0, wrongMethod(payload, ClassBasic, method)
	}
	f := fields{b: payload[4:]}
	tag, b := f.longlong(), f.bits()
	return tag, b, f.finish(ClassBasic, method, payload[4:])
}

// AppendAck is [AppendMethod] for a basic.ack, without an allocation.
func AppendAck(dst []byte, channel uint16, tag uint64, multiple bool) []byte {
	return appendTagAndBits(dst, channel, MethodBasicAck, tag, bit(multiple, 0))
}

// AppendNack is [AppendMethod] for a basic.nack that a broker sends, which has no
// requeue, without an allocation.
func AppendNack(dst []byte, channel uint16, tag uint64, multiple bool) []byte {
	return appendTagAndBits(dst, channel, MethodBasicNack, tag, bit(multiple, 0))
}

func appendTagAndBits(dst []byte, channel, method uint16, tag uint64, b byte) []byte {
	start := len(dst)
	dst = appendID(begin(dst, FrameMethod, channel), ClassBasic, method)
	dst = binary.BigEndian.AppendUint64(dst, tag)
	return end(append(dst, b), start)
}
