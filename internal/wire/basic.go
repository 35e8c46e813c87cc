package wire

import "encoding/binary"

// Ids of the methods of class basic.
const (
	MethodBasicQos           = 10
	MethodBasicQosOk         = 11
	MethodBasicConsume       = 20
	MethodBasicConsumeOk     = 21
	MethodBasicCancel        = 30
	MethodBasicCancelOk      = 31
	MethodBasicPublish       = 40
	MethodBasicReturn        = 50
	MethodBasicDeliver       = 60
	MethodBasicGet           = 70
	MethodBasicGetOk         = 71
	MethodBasicGetEmpty      = 72
	MethodBasicAck           = 80
	MethodBasicReject        = 90
	MethodBasicRecoverAsync  = 100
	MethodBasicRecover       = 110
	MethodBasicRecoverOk     = 111
	MethodBasicNack          = 120
	MethodBasicCredit        = 200
	MethodBasicCreditOk      = 201
	MethodBasicCreditDrained = 202
)

var basicMethods = map[uint32]methodInfo{
	methodKey(ClassBasic, MethodBasicQos):           info[BasicQos]("basic.qos"),
	methodKey(ClassBasic, MethodBasicQosOk):         info[BasicQosOk]("basic.qos_ok"),
	methodKey(ClassBasic, MethodBasicConsume):       info[BasicConsume]("basic.consume"),
	methodKey(ClassBasic, MethodBasicConsumeOk):     info[BasicConsumeOk]("basic.consume_ok"),
	methodKey(ClassBasic, MethodBasicCancel):        info[BasicCancel]("basic.cancel"),
	methodKey(ClassBasic, MethodBasicCancelOk):      info[BasicCancelOk]("basic.cancel_ok"),
	methodKey(ClassBasic, MethodBasicPublish):       info[BasicPublish]("basic.publish"),
	methodKey(ClassBasic, MethodBasicReturn):        info[BasicReturn]("basic.return"),
	methodKey(ClassBasic, MethodBasicDeliver):       info[BasicDeliver]("basic.deliver"),
	methodKey(ClassBasic, MethodBasicGet):           info[BasicGet]("basic.get"),
	methodKey(ClassBasic, MethodBasicGetOk):         info[BasicGetOk]("basic.get_ok"),
	methodKey(ClassBasic, MethodBasicGetEmpty):      info[BasicGetEmpty]("basic.get_empty"),
	methodKey(ClassBasic, MethodBasicAck):           info[BasicAck]("basic.ack"),
	methodKey(ClassBasic, MethodBasicReject):        info[BasicReject]("basic.reject"),
	methodKey(ClassBasic, MethodBasicRecoverAsync):  info[BasicRecoverAsync]("basic.recover_async"),
	methodKey(ClassBasic, MethodBasicRecover):       info[BasicRecover]("basic.recover"),
	methodKey(ClassBasic, MethodBasicRecoverOk):     info[BasicRecoverOk]("basic.recover_ok"),
	methodKey(ClassBasic, MethodBasicNack):          info[BasicNack]("basic.nack"),
	methodKey(ClassBasic, MethodBasicCredit):        info[BasicCredit]("basic.credit"),
	methodKey(ClassBasic, MethodBasicCreditOk):      info[BasicCreditOk]("basic.credit_ok"),
	methodKey(ClassBasic, MethodBasicCreditDrained): info[BasicCreditDrained]("basic.credit_drained"),
}

// BasicQos limits what is delivered and not acknowledged: PrefetchSize in octets, which RabbitMQ does not have, PrefetchCount in messages.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

// ID is 60, 10.
func (*BasicQos) ID() (class, method uint16) { return ClassBasic, MethodBasicQos }

func (m *BasicQos) decode(f *fields) {
	m.PrefetchSize = f.long()
	m.PrefetchCount = f.word()
	b := f.bits()
	m.Global = b.at(0)
}

func (m *BasicQos) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, m.PrefetchSize)
	dst = binary.BigEndian.AppendUint16(dst, m.PrefetchCount)
	return append(dst, bit(m.Global, 0))
}

// BasicQosOk answers basic.qos.
type BasicQosOk struct{}

// ID is 60, 11.
func (*BasicQosOk) ID() (class, method uint16) { return ClassBasic, MethodBasicQosOk }

func (*BasicQosOk) decode(*fields) {}

func (*BasicQosOk) append(dst []byte) []byte { return dst }

// BasicConsume starts a consumer.
type BasicConsume struct {
	Queue, ConsumerTag                string
	NoLocal, NoAck, Exclusive, NoWait bool
	Arguments                         Table
}

// ID is 60, 20.
func (*BasicConsume) ID() (class, method uint16) { return ClassBasic, MethodBasicConsume }

func (m *BasicConsume) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	m.ConsumerTag = f.shortstr()
	b := f.bits()
	m.NoLocal, m.NoAck, m.Exclusive, m.NoWait = b.at(0), b.at(1), b.at(2), b.at(3)
	m.Arguments = f.table()
}

func (m *BasicConsume) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	dst = appendShortstr(dst, m.ConsumerTag)
	dst = append(dst, bit(m.NoLocal, 0)|bit(m.NoAck, 1)|bit(m.Exclusive, 2)|bit(m.NoWait, 3))
	return AppendTable(dst, m.Arguments)
}

// BasicConsumeOk answers basic.consume.
type BasicConsumeOk struct {
	ConsumerTag string
}

// ID is 60, 21.
func (*BasicConsumeOk) ID() (class, method uint16) { return ClassBasic, MethodBasicConsumeOk }

func (m *BasicConsumeOk) decode(f *fields) {
	m.ConsumerTag = f.shortstr()
}

func (m *BasicConsumeOk) append(dst []byte) []byte {
	return appendShortstr(dst, m.ConsumerTag)
}

// BasicCancel ends a consumer. The broker sends it too.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// ID is 60, 30.
func (*BasicCancel) ID() (class, method uint16) { return ClassBasic, MethodBasicCancel }

func (m *BasicCancel) decode(f *fields) {
	m.ConsumerTag = f.shortstr()
	b := f.bits()
	m.NoWait = b.at(0)
}

func (m *BasicCancel) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.ConsumerTag)
	return append(dst, bit(m.NoWait, 0))
}

// BasicCancelOk answers basic.cancel.
type BasicCancelOk struct {
	ConsumerTag string
}

// ID is 60, 31.
func (*BasicCancelOk) ID() (class, method uint16) { return ClassBasic, MethodBasicCancelOk }

func (m *BasicCancelOk) decode(f *fields) {
	m.ConsumerTag = f.shortstr()
}

func (m *BasicCancelOk) append(dst []byte) []byte {
	return appendShortstr(dst, m.ConsumerTag)
}

// BasicGet asks for one message.
type BasicGet struct {
	Queue string
	NoAck bool
}

// ID is 60, 70.
func (*BasicGet) ID() (class, method uint16) { return ClassBasic, MethodBasicGet }

func (m *BasicGet) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	b := f.bits()
	m.NoAck = b.at(0)
}

func (m *BasicGet) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	return append(dst, bit(m.NoAck, 0))
}

// BasicGetOk answers basic.get with the content that follows.
type BasicGetOk struct {
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
	MessageCount         uint32
}

// ID is 60, 71.
func (*BasicGetOk) ID() (class, method uint16) { return ClassBasic, MethodBasicGetOk }

func (m *BasicGetOk) decode(f *fields) {
	m.DeliveryTag = f.longlong()
	b := f.bits()
	m.Redelivered = b.at(0)
	m.Exchange = string(f.text())
	m.RoutingKey = string(f.text())
	m.MessageCount = f.long()
}

func (m *BasicGetOk) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	dst = append(dst, bit(m.Redelivered, 0))
	dst = appendShortstr(dst, m.Exchange)
	dst = appendShortstr(dst, m.RoutingKey)
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

// BasicGetEmpty answers basic.get when there is no message.
type BasicGetEmpty struct{}

// ID is 60, 72.
func (*BasicGetEmpty) ID() (class, method uint16) { return ClassBasic, MethodBasicGetEmpty }

func (*BasicGetEmpty) decode(f *fields) {
	f.shortstr()
}

func (*BasicGetEmpty) append(dst []byte) []byte {
	return append(dst, 0)
}

// BasicRecoverAsync gives all that is not acknowledged back, without an answer.
type BasicRecoverAsync struct {
	Requeue bool
}

// ID is 60, 100.
func (*BasicRecoverAsync) ID() (class, method uint16) { return ClassBasic, MethodBasicRecoverAsync }

func (m *BasicRecoverAsync) decode(f *fields) {
	b := f.bits()
	m.Requeue = b.at(0)
}

func (m *BasicRecoverAsync) append(dst []byte) []byte {
	return append(dst, bit(m.Requeue, 0))
}

// BasicRecover gives all that is not acknowledged back.
type BasicRecover struct {
	Requeue bool
}

// ID is 60, 110.
func (*BasicRecover) ID() (class, method uint16) { return ClassBasic, MethodBasicRecover }

func (m *BasicRecover) decode(f *fields) {
	b := f.bits()
	m.Requeue = b.at(0)
}

func (m *BasicRecover) append(dst []byte) []byte {
	return append(dst, bit(m.Requeue, 0))
}

// BasicRecoverOk answers basic.recover.
type BasicRecoverOk struct{}

// ID is 60, 111.
func (*BasicRecoverOk) ID() (class, method uint16) { return ClassBasic, MethodBasicRecoverOk }

func (*BasicRecoverOk) decode(*fields) {}

func (*BasicRecoverOk) append(dst []byte) []byte { return dst }
