package wire

import "encoding/binary"

// BasicPublish publishes the content that follows.
type BasicPublish struct {
	Exchange, RoutingKey string
	Mandatory, Immediate bool
}

// ID is 60, 40.
func (*BasicPublish) ID() (class, method uint16) { return ClassBasic, MethodBasicPublish }

func (m *BasicPublish) decode(f *fields) {
	f.word() // ticket
	m.Exchange = string(f.text())
	m.RoutingKey = string(f.text())
	b := f.bits()
	m.Mandatory, m.Immediate = b.at(0), b.at(1)
}

func (m *BasicPublish) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Exchange)
	dst = appendShortstr(dst, m.RoutingKey)
	return append(dst, bit(m.Mandatory, 0)|bit(m.Immediate, 1))
}

// BasicReturn returns the content that follows to its publisher.
type BasicReturn struct {
	ReplyCode                       uint16
	ReplyText, Exchange, RoutingKey string
}

// ID is 60, 50.
func (*BasicReturn) ID() (class, method uint16) { return ClassBasic, MethodBasicReturn }

func (m *BasicReturn) decode(f *fields) {
	m.ReplyCode = f.word()
	m.ReplyText = string(f.text())
	m.Exchange = string(f.text())
	m.RoutingKey = string(f.text())
}

func (m *BasicReturn) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ReplyCode)
	dst = appendShortstr(dst, m.ReplyText)
	dst = appendShortstr(dst, m.Exchange)
	return appendShortstr(dst, m.RoutingKey)
}

// BasicDeliver delivers the content that follows to a consumer.
type BasicDeliver struct {
	ConsumerTag          string
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
}

// ID is 60, 60.
func (*BasicDeliver) ID() (class, method uint16) { return ClassBasic, MethodBasicDeliver }

func (m *BasicDeliver) decode(f *fields) {
	m.ConsumerTag = string(f.text())
	m.DeliveryTag = f.longlong()
	b := f.bits()
	m.Redelivered = b.at(0)
	m.Exchange = string(f.text())
	m.RoutingKey = string(f.text())
}

func (m *BasicDeliver) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.ConsumerTag)
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	dst = append(dst, bit(m.Redelivered, 0))
	dst = appendShortstr(dst, m.Exchange)
	return appendShortstr(dst, m.RoutingKey)
}

// PublishKeys reads a basic.publish without an allocation, for a caller that
// interns the names. The exchange and the key alias the payload. The error is
// that of [DecodeMethod].
func PublishKeys(payload []byte) (exchange, key []byte, mandatory, immediate bool, err error) {
	if c, i := MethodID(payload); c != ClassBasic || i != MethodBasicPublish {
		return nil, nil, false, false, wrongMethod(payload, ClassBasic, MethodBasicPublish)
	}
	f := fields{b: payload[4:]}
	f.word() // ticket
	exchange, key = f.text(), f.text()
	b := f.bits()
	if err := f.finish(ClassBasic, MethodBasicPublish, payload[4:]); err != nil {
		return nil, nil, false, false, err
	}
	return exchange, key, b.at(0), b.at(1), nil
}

// DecodePublish decodes the payload of a basic.publish into m. It allocates no
// more than the two strings.
func DecodePublish(payload []byte, m *BasicPublish) error {
	exchange, key, mandatory, immediate, err := PublishKeys(payload)
	if err != nil {
		return err
	}
	*m = BasicPublish{Exchange: string(exchange), RoutingKey: string(key), Mandatory: mandatory, Immediate: immediate}
	return nil
}

// AppendDeliver is [AppendMethod] for a basic.deliver, without an allocation
// wherever m lies.
func AppendDeliver(dst []byte, channel uint16, m *BasicDeliver) []byte {
	start := len(dst)
	dst = appendID(begin(dst, FrameMethod, channel), ClassBasic, MethodBasicDeliver)
	return end(m.append(dst), start)
}
