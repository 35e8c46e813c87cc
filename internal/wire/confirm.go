package wire

// Ids of the methods of class confirm.
const (
	MethodConfirmSelect   = 10
	MethodConfirmSelectOk = 11
)

var confirmMethods = map[uint32]methodInfo{
	methodKey(ClassConfirm, MethodConfirmSelect):   info[ConfirmSelect]("confirm.select"),
	methodKey(ClassConfirm, MethodConfirmSelectOk): info[ConfirmSelectOk]("confirm.select_ok"),
}

// ConfirmSelect puts the channel in confirm mode.
type ConfirmSelect struct {
	NoWait bool
}

// ID is 85, 10.
func (*ConfirmSelect) ID() (class, method uint16) { return ClassConfirm, MethodConfirmSelect }

func (m *ConfirmSelect) decode(f *fields) {
	b := f.bits()
	m.NoWait = b.at(0)
}

func (m *ConfirmSelect) append(dst []byte) []byte {
	return append(dst, bit(m.NoWait, 0))
}

// ConfirmSelectOk answers confirm.select.
type ConfirmSelectOk struct{}

// ID is 85, 11.
func (*ConfirmSelectOk) ID() (class, method uint16) { return ClassConfirm, MethodConfirmSelectOk }

func (*ConfirmSelectOk) decode(*fields) {}

func (*ConfirmSelectOk) append(dst []byte) []byte { return dst }
