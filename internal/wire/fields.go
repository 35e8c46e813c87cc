package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// fields reads the fields of a method in order. What it could not read shows in
// err: the caller reads all fields first, as RabbitMQ matches the whole method
// before it looks at tables and at UTF-8.
type fields struct {
	b     []byte
	short bool   // a field lacked octets
	first *Error // of a table or a string
}

// take returns the next n octets, or zero octets when there are not so many.
func (f *fields) take(n int) []byte {
	if f.short || n > len(f.b) {
		f.short = true
		return make([]byte, min(n, 8))
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) octet() uint8     { return f.take(1)[0] }
func (f *fields) word() uint16     { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) long() uint32     { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) longlong() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

// bits reads an octet of bits, the first bit the lowest.
func (f *fields) bits() bits { return bits(f.octet()) }

// text reads a short string of a method with content: RabbitMQ takes any octets.
func (f *fields) text() []byte {
	n := int(f.octet())
	if f.short {
		return nil
	}
	return f.take(n)
}

// shortstr reads a short string of another method, which must be UTF-8.
func (f *fields) shortstr() string {
	b := f.text()
	if !f.short && f.first == nil && !utf8.Valid(b) {
		f.first = NewError(FrameError, 0, 0, "Malformed UTF-8 in shortstr")
	}
	return string(b)
}

func (f *fields) longbytes() []byte {
	n := f.long()
	if f.short || uint64(n) > uint64(len(f.b)) {
		f.short = true
		return nil
	}
	return f.take(int(n))
}

func (f *fields) longstr() string { return string(f.longbytes()) }

func (f *fields) table() Table {
	b := f.longbytes()
	if f.short {
		return nil
	}
	t, err := DecodeTable(b)
	if e := (*Error)(nil); errors.As(err, &e) && f.first == nil {
		f.first = e
	}
	return t
}

// bits are the bits of an octet.
type bits uint8

func (b bits) at(i int) bool { return b>>i&1 != 0 }

func bit(v bool, i int) byte {
	if v {
		return 1 << i
	}
	return 0
}

// octets is what long strings are written from.
type octets interface{ ~string | ~[]byte }

// appendShortstr appends a short string. One over 255 octets is cut, at the end
// of a character where it is UTF-8.
func appendShortstr(dst []byte, s string) []byte {
	s = cut(s, math.MaxUint8)
	return append(append(dst, byte(len(s))), s...)
}

func appendLongstr[T octets](dst []byte, s T) []byte {
	if uint64(len(s)) > math.MaxUint32 {
		s = s[:math.MaxUint32]
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

func appendID(dst []byte, class, method uint16) []byte {
	return append(dst, byte(class>>8), byte(class), byte(method>>8), byte(method))
}

// cut shortens s to at most n octets. It does not split a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n] // not UTF-8
}
