package amqptest

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hareline/hareline/internal/wire"
)

// RabbitMQ is written in Erlang, and its reply texts show values as Erlang
// does. So a value of a field table is also an Erlang term here: string and
// []byte are binaries, a time.Time is a number of seconds, nil is the atom
// undefined, arrays are lists of {type, value}, tables lists of {key, type,
// value}. Terms that no field holds:
type (
	termAtom   string
	termBinary string
	termString string // in double quotes
	termTuple  []any
	termList   []any
)

// fieldType is RabbitMQ's name for the type of a field's value.
func fieldType(v any) termAtom {
	if t := integerType(v); t != "" {
		return t
	}
	switch v.(type) {
	case bool:
		return "bool"
	case float32:
		return "float"
	case float64:
		return "double"
	case wire.Decimal:
		return "decimal"
	case string:
		return "longstr"
	case []byte:
		return "binary"
	case time.Time:
		return "timestamp"
	case wire.Table:
		return "table"
	case []any:
		return "array"
	}
	return "void"
}

func integerType(v any) termAtom {
	switch v.(type) {
	case int8:
		return "byte"
	case int16:
		return "short"
	case int32:
		return "signedint"
	case int64, int:
		return "long"
	case uint8:
		return "unsignedbyte"
	case uint16:
		return "unsignedshort"
	case uint32:
		return "unsignedint"
	}
	return ""
}

// typeClass is the same for types whose values RabbitMQ compares as numbers.
func typeClass(v any) termAtom {
	t := fieldType(v)
	switch {
	case integerType(v) != "" || t == "decimal":
		return "int"
	case t == "double":
		return "float"
	}
	return t
}

// erlangTerm makes the value of a field one of int64, float64, bool,
// termAtom, termBinary, termTuple, termList.
func erlangTerm(v any) any {
	if n, ok := wire.Int(v); ok {
		return n
	}
	switch v := v.(type) {
	case nil:
		return termAtom("undefined")
	case float32:
		return float64(v)
	case string:
		return termBinary(v)
	case []byte:
		return termBinary(v)
	case time.Time:
		return v.Unix()
	case wire.Decimal:
		return termTuple{int64(v.Scale), int64(v.Value)}
	case []any:
		list := make(termList, len(v))
		for i := range v {
			list[i] = termTuple{fieldType(v[i]), erlangTerm(v[i])}
		}
		return list
	case wire.Table:
		list := make(termList, len(v))
		for i, f := range v {
			list[i] = termTuple{termBinary(f.Key), fieldType(f.Value), erlangTerm(f.Value)}
		}
		return list
	}
	return v
}

func unixTime(v any) (int64, bool) {
	t, ok := v.(time.Time)
	if !ok {
		return 0, false
	}
	return t.Unix(), true
}

// termsEqual compares two values of fields as Erlang's =:= does: without regard
// to their AMQP types, except that an integer is no float.
func termsEqual(a, b any) bool { return equalTerms(erlangTerm(a), erlangTerm(b), false) }

// looselyEqual compares as Erlang's == does: 1 is 1.0.
func looselyEqual(a, b any) bool { return equalTerms(erlangTerm(a), erlangTerm(b), true) }

func equalTerms(a, b any, loose bool) bool {
	switch a := a.(type) {
	case int64:
		if f, ok := b.(float64); ok && loose {
			return float64(a) == f
		}
	case float64:
		if n, ok := b.(int64); ok && loose {
			return a == float64(n)
		}
	case termTuple:
		t, ok := b.(termTuple)
		return ok && equalLists(a, t, loose)
	case termList:
		l, ok := b.(termList)
		return ok && equalLists(a, l, loose)
	}
	switch b.(type) {
	case termTuple, termList:
		return false
	}
	return a == b
}

func equalLists(a, b []any, loose bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equalTerms(a[i], b[i], loose) {
			return false
		}
	}
	return true
}

// termOf prints the value of a field, or a term, as Erlang's ~tp does in that
// version of RabbitMQ, on one line.
func termOf(version Version, v any) string {
	p := termPrinter{version: version}
	p.term(erlangTerm(v))
	return p.String()
}

// termPrinter writes terms. RabbitMQ 3.10 prints octets where later releases
// print characters.
type termPrinter struct {
	strings.Builder
	version Version
}

func (p *termPrinter) term(v any) {
	switch v := v.(type) {
	case bool:
		p.WriteString(strconv.FormatBool(v))
	case int64:
		p.WriteString(strconv.FormatInt(v, 10))
	case float64:
		p.WriteString(erlangFloat(v))
	case termAtom:
		p.WriteString(v.quoted())
	case termBinary:
		p.binary(string(v))
	case termString:
		p.string(string(v))
	case termTuple:
		p.terms("{", v, "}")
	case termList:
		p.terms("[", v, "]")
	}
}

func (p *termPrinter) terms(open string, terms []any, end string) {
	p.WriteString(open)
	for i, t := range terms {
		if i > 0 {
			p.WriteByte(',')
		}
		p.term(t)
	}
	p.WriteString(end)
}

// binary prints a binary as text if it is text, else as numbers.
func (p *termPrinter) binary(s string) {
	octets := units(s, false)
	switch {
	case s == "":
		p.WriteString("<<>>")
	case isASCII(s) && printable(octets, isLatin1) || !p.version.atLeast40() && printable(octets, isLatin1):
		p.WriteString("<<" + quoteTerm(s) + ">>")
	case p.version.atLeast40() && utf8.ValidString(s) && printable(units(s, true), unicode.IsPrint):
		p.WriteString("<<" + quoteTerm(s) + "/utf8>>")
	default:
		p.numbers("<<", octets, ">>")
	}
}

// string prints a string that RabbitMQ formatted itself: a list of characters
// (3.10: of octets), which is shown as text only if it is Latin-1.
func (p *termPrinter) string(s string) {
	list := units(s, p.version.atLeast40())
	if printable(list, isLatin1) {
		p.WriteString(quoteTerm(plainText(p.version, s)))
		return
	}
	p.numbers("[", list, "]")
}

func (p *termPrinter) numbers(open string, numbers []rune, end string) {
	p.WriteString(open)
	for i, n := range numbers {
		if i > 0 {
			p.WriteByte(',')
		}
		p.WriteString(strconv.Itoa(int(n)))
	}
	p.WriteString(end)
}

// units are the characters of a text that is UTF-8, if they are wanted, else
// its octets.
func units(s string, characters bool) []rune {
	if characters && utf8.ValidString(s) {
		return []rune(s)
	}
	octets := make([]rune, len(s))
	for i := range len(s) {
		octets[i] = rune(s[i])
	}
	return octets
}

// plainText is how a text of a client gets into a reply text: since 4.0, what
// is no UTF-8 is taken for Latin-1.
func plainText(version Version, s string) string {
	if !version.atLeast40() || utf8.ValidString(s) {
		return s
	}
	return string(units(s, false))
}

// quoted is an atom as Erlang prints it: in single quotes if it needs some.
func (a termAtom) quoted() string {
	plain := len(a) > 0 && a[0] >= 'a' && a[0] <= 'z'
	for _, c := range a {
		plain = plain && (c == '_' || c == '@' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	if plain {
		return string(a)
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(string(a)) + "'"
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const erlangEscapes = "\b\t\n\v\f\r\x1b"

func isLatin1(c rune) bool { return c >= ' ' && c <= '~' || c >= 0xa0 && c <= 0xff }

func printable(text []rune, is func(rune) bool) bool {
	for _, c := range text {
		if !is(c) && !strings.ContainsRune(erlangEscapes, c) {
			return false
		}
	}
	return true
}

// quoteTerm puts text into double quotes as Erlang does.
func quoteTerm(s string) string {
	const letters = "btnvfre"
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		c := s[i]
		if at := strings.IndexByte(erlangEscapes, c); at >= 0 {
			b.WriteByte('\\')
			b.WriteByte(letters[at])
			continue
		}
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// erlangFloat is the shortest text that reads as the same float, as Erlang
// writes it: always with a point, with an exponent where that is shorter.
func erlangFloat(f float64) string {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'g', -1, 64) // Erlang has no such
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	short := mantissa + "e" + strconv.Itoa(n)
	if len(plain) <= len(short) {
		return plain
	}
	return short
}
