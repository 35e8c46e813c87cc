package wire

import "encoding/binary"

// Ids of the methods of class access.
const (
	MethodAccessRequest   = 10
	MethodAccessRequestOk = 11
)

var accessMethods = map[uint32]methodInfo{
	methodKey(ClassAccess, MethodAccessRequest):   info[AccessRequest]("access.request"),
	methodKey(ClassAccess, MethodAccessRequestOk): info[AccessRequestOk]("access.request_ok"),
}

// AccessRequest asks for a ticket, as clients of AMQP 0-8 do. RabbitMQ grants any.
type AccessRequest struct {
	Realm                                   string
	Exclusive, Passive, Active, Write, Read bool
}

// ID is 30, 10.
func (*AccessRequest) ID() (class, method uint16) { return ClassAccess, MethodAccessRequest }

func (m *AccessRequest) decode(f *fields) {
	m.Realm = f.shortstr()
	b := f.bits()
	m.Exclusive, m.Passive, m.Active, m.Write, m.Read = b.at(0), b.at(1), b.at(2), b.at(3), b.at(4)
}

func (m *AccessRequest) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.Realm)
	return append(dst, bit(m.Exclusive, 0)|bit(m.Passive, 1)|bit(m.Active, 2)|bit(m.Write, 3)|bit(m.Read, 4))
}

// AccessRequestOk answers access.request; RabbitMQ's ticket is 1.
type AccessRequestOk struct {
	Ticket uint16
}

// ID is 30, 11.
func (*AccessRequestOk) ID() (class, method uint16) { return ClassAccess, MethodAccessRequestOk }

func (m *AccessRequestOk) decode(f *fields) {
	m.Ticket = f.word()
}

func (m *AccessRequestOk) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint16(dst, m.Ticket)
}
