package scenario

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// value is the AMQP value that w spells.
func (w word) value() (any, error) {
	if w.quoted {
		return w.text, nil
	}
	p := &valueParser{rest: w.text}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("%q after a value", p.rest)
	}
	return v, nil
}

// valueParser reads values of the package's notation.
type valueParser struct{ rest string }

func (p *valueParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *valueParser) take(c byte) bool {
	p.space()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *valueParser) value() (any, error) {
	p.space()
	switch {
	case p.take('{'):
		return p.table()
	case p.take('['):
		return p.array()
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	}
	bare := p.bare()
	if kind, text, ok := strings.Cut(bare, ":"); ok && isKind(kind) {
		if text == "" && strings.HasPrefix(p.rest, `"`) {
			s, err := p.quoted()
			if err != nil {
				return nil, err
			}
			text = s
		}
		if kind == "decimal" && p.take(',') {
			text += "," + p.bare()
		}
		return typed(kind, text)
	}
	return untyped(bare), nil
}

func (p *valueParser) quoted() (string, error) {
	q, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		return "", fmt.Errorf("no closed string: %s", p.rest)
	}
	p.rest = p.rest[len(q):]
	return strconv.Unquote(q)
}

// bare is the text up to what ends a value.
func (p *valueParser) bare() string {
	end := strings.IndexAny(p.rest, ` ,]}"=`)
	if end < 0 {
		end = len(p.rest)
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	return text
}

func (p *valueParser) table() (any, error) {
	table := wire.Table{}
	for !p.take('}') {
		p.space()
		key := ""
		if strings.HasPrefix(p.rest, `"`) {
			var err error
			if key, err = p.quoted(); err != nil {
				return nil, err
			}
		} else {
			key = p.bare()
		}
		if !p.take('=') {
			return nil, fmt.Errorf("no = after %q in a table", key)
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		table = append(table, wire.Field{Key: key, Value: v})
		if !p.take(',') && !strings.HasPrefix(p.rest, "}") {
			return nil, fmt.Errorf("no , or } in a table before %q", p.rest)
		}
	}
	return table, nil
}

func (p *valueParser) array() (any, error) {
	list := []any{}
	for !p.take(']') {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if !p.take(',') && !strings.HasPrefix(p.rest, "]") {
			return nil, fmt.Errorf("no , or ] in an array before %q", p.rest)
		}
	}
	return list, nil
}

func untyped(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	case "void":
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return text
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return int32(n)
	}
	return n
}

// bits are the sizes of the integer types; those that have no sign start with u.
var bits = map[string]int{"byte": 8, "ubyte": 8, "short": 16, "ushort": 16, "int": 32, "uint": 32, "long": 64}

func isKind(kind string) bool {
	switch kind {
	case "float", "double", "decimal", "string", "bytes", "time":
		return true
	}
	return bits[kind] > 0
}

func typed(kind, text string) (any, error) {
	if bits[kind] > 0 {
		return integer(kind, text)
	}
	switch kind {
	case "float", "double":
		f, err := strconv.ParseFloat(text, 64)
		if kind == "float" {
			return float32(f), err
		}
		return f, err
	case "decimal":
		scale, n, _ := strings.Cut(text, ",")
		s, err := strconv.ParseUint(scale, 10, 8)
		if err != nil {
			return nil, err
		}
		v, err := strconv.ParseUint(n, 10, 31)
		d := wire.Decimal{Scale: uint8(s)}
		setNumber(&d.Value, v)
		return d, err
	case "bytes":
		if h, ok := strings.CutPrefix(text, "hex:"); ok {
			return hex.DecodeString(h)
		}
		return []byte(text), nil
	case "time":
		n, err := strconv.ParseInt(text, 10, 64)
		return time.Unix(n, 0).UTC(), err
	}
	return text, nil
}

// setNumber spares the package to know which integer type a field has.
func setNumber[T ~int32 | ~uint32](to *T, n uint64) { *to = T(n) }

func integer(kind, text string) (any, error) {
	if kind[0] == 'u' {
		n, err := strconv.ParseUint(text, 10, bits[kind])
		if err != nil {
			return nil, err
		}
		switch kind {
		case "ubyte":
			return uint8(n), nil
		case "ushort":
			return uint16(n), nil
		}
		return uint32(n), nil
	}
	n, err := strconv.ParseInt(text, 10, bits[kind])
	if err != nil {
		return nil, err
	}
	switch kind {
	case "byte":
		return int8(n), nil
	case "short":
		return int16(n), nil
	case "int":
		return int32(n), nil
	}
	return n, nil
}
