package wire

import "encoding/binary"

// Ids of the methods of class queue.
const (
	MethodQueueDeclare   = 10
	MethodQueueDeclareOk = 11
	MethodQueueBind      = 20
	MethodQueueBindOk    = 21
	MethodQueuePurge     = 30
	MethodQueuePurgeOk   = 31
	MethodQueueDelete    = 40
	MethodQueueDeleteOk  = 41
	MethodQueueUnbind    = 50
	MethodQueueUnbindOk  = 51
)

var queueMethods = map[uint32]methodInfo{
	methodKey(ClassQueue, MethodQueueDeclare):   info[QueueDeclare]("queue.declare"),
	methodKey(ClassQueue, MethodQueueDeclareOk): info[QueueDeclareOk]("queue.declare_ok"),
	methodKey(ClassQueue, MethodQueueBind):      info[QueueBind]("queue.bind"),
	methodKey(ClassQueue, MethodQueueBindOk):    info[QueueBindOk]("queue.bind_ok"),
	methodKey(ClassQueue, MethodQueuePurge):     info[QueuePurge]("queue.purge"),
	methodKey(ClassQueue, MethodQueuePurgeOk):   info[QueuePurgeOk]("queue.purge_ok"),
	methodKey(ClassQueue, MethodQueueDelete):    info[QueueDelete]("queue.delete"),
	methodKey(ClassQueue, MethodQueueDeleteOk):  info[QueueDeleteOk]("queue.delete_ok"),
	methodKey(ClassQueue, MethodQueueUnbind):    info[QueueUnbind]("queue.unbind"),
	methodKey(ClassQueue, MethodQueueUnbindOk):  info[QueueUnbindOk]("queue.unbind_ok"),
}

// QueueDeclare declares a queue.
type QueueDeclare struct {
	Queue                                           string
	Passive, Durable, Exclusive, AutoDelete, NoWait bool
	Arguments                                       Table
}

// ID is 50, 10.
func (*QueueDeclare) ID() (class, method uint16) { return ClassQueue, MethodQueueDeclare }

func (m *QueueDeclare) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	b := f.bits()
	m.Passive, m.Durable, m.Exclusive, m.AutoDelete, m.NoWait = b.at(0), b.at(1), b.at(2), b.at(3), b.at(4)
	m.Arguments = f.table()
}

func (m *QueueDeclare) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	dst = append(dst, bit(m.Passive, 0)|bit(m.Durable, 1)|bit(m.Exclusive, 2)|bit(m.AutoDelete, 3)|bit(m.NoWait, 4))
	return AppendTable(dst, m.Arguments)
}

// QueueDeclareOk answers queue.declare.
type QueueDeclareOk struct {
	Queue                       string
	MessageCount, ConsumerCount uint32
}

// ID is 50, 11.
func (*QueueDeclareOk) ID() (class, method uint16) { return ClassQueue, MethodQueueDeclareOk }

func (m *QueueDeclareOk) decode(f *fields) {
	m.Queue = f.shortstr()
	m.MessageCount = f.long()
	m.ConsumerCount = f.long()
}

func (m *QueueDeclareOk) append(dst []byte) []byte {
	dst = appendShortstr(dst, m.Queue)
	dst = binary.BigEndian.AppendUint32(dst, m.MessageCount)
	return binary.BigEndian.AppendUint32(dst, m.ConsumerCount)
}

// QueueBind binds a queue to an exchange.
type QueueBind struct {
	Queue, Exchange, RoutingKey string
	NoWait                      bool
	Arguments                   Table
}

// ID is 50, 20.
func (*QueueBind) ID() (class, method uint16) { return ClassQueue, MethodQueueBind }

func (m *QueueBind) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	m.Exchange = f.shortstr()
	m.RoutingKey = f.shortstr()
	b := f.bits()
	m.NoWait = b.at(0)
	m.Arguments = f.table()
}

func (m *QueueBind) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	dst = appendShortstr(dst, m.Exchange)
	dst = appendShortstr(dst, m.RoutingKey)
	dst = append(dst, bit(m.NoWait, 0))
	return AppendTable(dst, m.Arguments)
}

// QueueBindOk answers queue.bind.
type QueueBindOk struct{}

// ID is 50, 21.
func (*QueueBindOk) ID() (class, method uint16) { return ClassQueue, MethodQueueBindOk }

func (*QueueBindOk) decode(*fields) {}

func (*QueueBindOk) append(dst []byte) []byte { return dst }

// QueuePurge removes the ready messages of a queue.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

// ID is 50, 30.
func (*QueuePurge) ID() (class, method uint16) { return ClassQueue, MethodQueuePurge }

func (m *QueuePurge) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	b := f.bits()
	m.NoWait = b.at(0)
}

func (m *QueuePurge) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	return append(dst, bit(m.NoWait, 0))
}

// QueuePurgeOk answers queue.purge.
type QueuePurgeOk struct {
	MessageCount uint32
}

// ID is 50, 31.
func (*QueuePurgeOk) ID() (class, method uint16) { return ClassQueue, MethodQueuePurgeOk }

func (m *QueuePurgeOk) decode(f *fields) {
	m.MessageCount = f.long()
}

func (m *QueuePurgeOk) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

// QueueDelete deletes a queue.
type QueueDelete struct {
	Queue                     string
	IfUnused, IfEmpty, NoWait bool
}

// ID is 50, 40.
func (*QueueDelete) ID() (class, method uint16) { return ClassQueue, MethodQueueDelete }

func (m *QueueDelete) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	b := f.bits()
	m.IfUnused, m.IfEmpty, m.NoWait = b.at(0), b.at(1), b.at(2)
}

func (m *QueueDelete) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	return append(dst, bit(m.IfUnused, 0)|bit(m.IfEmpty, 1)|bit(m.NoWait, 2))
}

// QueueDeleteOk answers queue.delete.
type QueueDeleteOk struct {
	MessageCount uint32
}

// ID is 50, 41.
func (*QueueDeleteOk) ID() (class, method uint16) { return ClassQueue, MethodQueueDeleteOk }

func (m *QueueDeleteOk) decode(f *fields) {
	m.MessageCount = f.long()
}

func (m *QueueDeleteOk) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

// QueueUnbind removes a binding of a queue.
type QueueUnbind struct {
	Queue, Exchange, RoutingKey string
	Arguments                   Table
}

// ID is 50, 50.
func (*QueueUnbind) ID() (class, method uint16) { return ClassQueue, MethodQueueUnbind }

func (m *QueueUnbind) decode(f *fields) {
	f.word() // ticket
	m.Queue = f.shortstr()
	m.Exchange = f.shortstr()
	m.RoutingKey = f.shortstr()
	m.Arguments = f.table()
}

func (m *QueueUnbind) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Queue)
	dst = appendShortstr(dst, m.Exchange)
	dst = appendShortstr(dst, m.RoutingKey)
	return AppendTable(dst, m.Arguments)
}

// QueueUnbindOk answers queue.unbind.
type QueueUnbindOk struct{}

// ID is 50, 51.
func (*QueueUnbindOk) ID() (class, method uint16) { return ClassQueue, MethodQueueUnbindOk }

func (*QueueUnbindOk) decode(*fields) {}

func (*QueueUnbindOk) append(dst []byte) []byte { return dst }
