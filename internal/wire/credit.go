package wire

import "encoding/binary"

// BasicCredit gives a consumer credit, an extension of RabbitMQ.
type BasicCredit struct {
	ConsumerTag string
	Credit      uint32
	Drain       bool
}

// ID is 60, 200.
func (*BasicCredit) ID() (class, method uint16) { return ClassBasic, MethodBasicCredit }

func (m *BasicCredit) decode(f *fields) {
	m.ConsumerTag = f.shortstr()
	m.Credit = f.long()
	b := f.bits()
	m.Drain = b.at(0)
}

func (m *BasicCredit) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.ConsumerTag)
	dst = binary.BigEndian.AppendUint32(dst, m.Credit)
	return append(dst, bit(m.Drain, 0))
}

// BasicCreditOk answers basic.credit.
type BasicCreditOk struct {
	Available uint32
}

// ID is 60, 201.
func (*BasicCreditOk) ID() (class, method uint16) { return ClassBasic, MethodBasicCreditOk }

func (m *BasicCreditOk) decode(f *fields) {
	m.Available = f.long()
}

func (m *BasicCreditOk) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, m.Available)
}

// BasicCreditDrained tells how much credit of a drain found no message.
type BasicCreditDrained struct {
	ConsumerTag   string
	CreditDrained uint32
}

// ID is 60, 202.
func (*BasicCreditDrained) ID() (class, method uint16) { return ClassBasic, MethodBasicCreditDrained }

func (m *BasicCreditDrained) decode(f *fields) {
	m.ConsumerTag = f.shortstr()
	m.CreditDrained = f.long()
}

func (m *BasicCreditDrained) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.ConsumerTag)
	return binary.BigEndian.AppendUint32(dst, m.CreditDrained)
}
