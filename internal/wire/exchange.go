package wire

// Ids of the methods of class exchange.
const (
	MethodExchangeDeclare   = 10
	MethodExchangeDeclareOk = 11
	MethodExchangeDelete    = 20
	MethodExchangeDeleteOk  = 21
	MethodExchangeBind      = 30
	MethodExchangeBindOk    = 31
	MethodExchangeUnbind    = 40
	MethodExchangeUnbindOk  = 51
)

var exchangeMethods = map[uint32]methodInfo{
	methodKey(ClassExchange, MethodExchangeDeclare):   info[ExchangeDeclare]("exchange.declare"),
	methodKey(ClassExchange, MethodExchangeDeclareOk): info[ExchangeDeclareOk]("exchange.declare_ok"),
	methodKey(ClassExchange, MethodExchangeDelete):    info[ExchangeDelete]("exchange.delete"),
	methodKey(ClassExchange, MethodExchangeDeleteOk):  info[ExchangeDeleteOk]("exchange.delete_ok"),
	methodKey(ClassExchange, MethodExchangeBind):      info[ExchangeBind]("exchange.bind"),
	methodKey(ClassExchange, MethodExchangeBindOk):    info[ExchangeBindOk]("exchange.bind_ok"),
	methodKey(ClassExchange, MethodExchangeUnbind):    info[ExchangeUnbind]("exchange.unbind"),
	methodKey(ClassExchange, MethodExchangeUnbindOk):  info[ExchangeUnbindOk]("exchange.unbind_ok"),
}

// ExchangeDeclare declares an exchange.
type ExchangeDeclare struct {
	Exchange, Type                                 string
	Passive, Durable, AutoDelete, Internal, NoWait bool
	Arguments                                      Table
}

// ID is 40, 10.
func (*ExchangeDeclare) ID() (class, method uint16) { return ClassExchange, MethodExchangeDeclare }

func (m *ExchangeDeclare) decode(f *fields) {
	f.word() // ticket
	m.Exchange = f.shortstr()
	m.Type = f.shortstr()
	b := f.bits()
	m.Passive, m.Durable, m.AutoDelete, m.Internal, m.NoWait = b.at(0), b.at(1), b.at(2), b.at(3), b.at(4)
	m.Arguments = f.table()
}

func (m *ExchangeDeclare) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Exchange)
	dst = appendShortstr(dst, m.Type)
	dst = append(dst, bit(m.Passive, 0)|bit(m.Durable, 1)|bit(m.AutoDelete, 2)|bit(m.Internal, 3)|bit(m.NoWait, 4))
	return AppendTable(dst, m.Arguments)
}

// ExchangeDeclareOk answers exchange.declare.
type ExchangeDeclareOk struct{}

// ID is 40, 11.
func (*ExchangeDeclareOk) ID() (class, method uint16) { return ClassExchange, MethodExchangeDeclareOk }

func (*ExchangeDeclareOk) decode(*fields) {}

func (*ExchangeDeclareOk) append(dst []byte) []byte { return dst }

// ExchangeDelete deletes an exchange.
type ExchangeDelete struct {
	Exchange         string
	IfUnused, NoWait bool
}

// ID is 40, 20.
func (*ExchangeDelete) ID() (class, method uint16) { return ClassExchange, MethodExchangeDelete }

func (m *ExchangeDelete) decode(f *fields) {
	f.word() // ticket
	m.Exchange = f.shortstr()
	b := f.bits()
	m.IfUnused, m.NoWait = b.at(0), b.at(1)
}

func (m *ExchangeDelete) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Exchange)
	return append(dst, bit(m.IfUnused, 0)|bit(m.NoWait, 1))
}

// ExchangeDeleteOk answers exchange.delete.
type ExchangeDeleteOk struct{}

// ID is 40, 21.
func (*ExchangeDeleteOk) ID() (class, method uint16) { return ClassExchange, MethodExchangeDeleteOk }

func (*ExchangeDeleteOk) decode(*fields) {}

func (*ExchangeDeleteOk) append(dst []byte) []byte { return dst }

// ExchangeBind binds an exchange to an exchange.
type ExchangeBind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// ID is 40, 30.
func (*ExchangeBind) ID() (class, method uint16) { return ClassExchange, MethodExchangeBind }

func (m *ExchangeBind) decode(f *fields) {
	f.word() // ticket
	m.Destination = f.shortstr()
	m.Source = f.shortstr()
	m.RoutingKey = f.shortstr()
	b := f.bits()
	m.NoWait = b.at(0)
	m.Arguments = f.table()
}

func (m *ExchangeBind) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Destination)
	dst = appendShortstr(dst, m.Source)
	dst = appendShortstr(dst, m.RoutingKey)
	dst = append(dst, bit(m.NoWait, 0))
	return AppendTable(dst, m.Arguments)
}

// ExchangeBindOk answers exchange.bind.
type ExchangeBindOk struct{}

// ID is 40, 31.
func (*ExchangeBindOk) ID() (class, method uint16) { return ClassExchange, MethodExchangeBindOk }

func (*ExchangeBindOk) decode(*fields) {}

func (*ExchangeBindOk) append(dst []byte) []byte { return dst }

// ExchangeUnbind removes a binding between exchanges.
type ExchangeUnbind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// ID is 40, 40.
func (*ExchangeUnbind) ID() (class, method uint16) { return ClassExchange, MethodExchangeUnbind }

func (m *ExchangeUnbind) decode(f *fields) {
	f.word() // ticket
	m.Destination = f.shortstr()
	m.Source = f.shortstr()
	m.RoutingKey = f.shortstr()
	b := f.bits()
	m.NoWait = b.at(0)
	m.Arguments = f.table()
}

func (m *ExchangeUnbind) append(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShortstr(dst, m.Destination)
	dst = appendShortstr(dst, m.Source)
	dst = appendShortstr(dst, m.RoutingKey)
	dst = append(dst, bit(m.NoWait, 0))
	return AppendTable(dst, m.Arguments)
}

// ExchangeUnbindOk answers exchange.unbind. Its id is 51, not 41.
type ExchangeUnbindOk struct{}

// ID is 40, 51.
func (*ExchangeUnbindOk) ID() (class, method uint16) { return ClassExchange, MethodExchangeUnbindOk }

func (*ExchangeUnbindOk) decode(*fields) {}

func (*ExchangeUnbindOk) append(dst []byte) []byte { return dst }
