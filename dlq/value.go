package dlq

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Headers in JSON keep their AMQP types: strings, booleans and null are those of
// JSON, any other value is an object whose one key is its type:
//
//	{"tenant": "acme", "n": {"int64": 7}, "at": {"time": "2026-11-23T12:00:00Z"},
//	 "list": {"array": ["x", {"float64": "1.5"}]}, "map": {"table": {"a": true}}}
const (
	typeInt8    = "int8"
	typeUint8   = "uint8"
	typeInt16   = "int16"
	typeUint16  = "uint16"
	typeInt32   = "int32"
	typeUint32  = "uint32"
	typeInt64   = "int64"
	typeFloat32 = "float32"
	typeFloat64 = "float64"
	typeDecimal = "decimal" // "VALUEe-SCALE"
	typeTime    = "time"
	typeBytes   = "bytes" // base64
	typeArray   = "array"
	typeTable   = "table"
)

// integers are the types with their bits, and whether they have a sign.
var integers = map[string]struct {
	bits   int
	signed bool
	make   func(int64) any
}{
	typeInt8:   {8, true, func(n int64) any { return int8(n) }},
	typeUint8:  {8, false, func(n int64) any { return uint8(n) }},
	typeInt16:  {16, true, func(n int64) any { return int16(n) }},
	typeUint16: {16, false, func(n int64) any { return uint16(n) }},
	typeInt32:  {32, true, func(n int64) any { return int32(n) }},
	typeUint32: {32, false, func(n int64) any { return uint32(n) }},
	typeInt64:  {64, true, func(n int64) any { return n }},
}

func writeTable(t amqp.Table) (map[string]any, error) {
	if t == nil {
		return nil, nil
	}
	out := make(map[string]any, len(t))
	for name, v := range t {
		w, err := writeValue(v)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", name, err)
		}
		out[writeText(name)] = w
	}
	return out, nil
}

func writeValue(v any) (any, error) {
	one := func(kind string, v any) (any, error) { return map[string]any{kind: v}, nil }
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		return writeText(v), nil
	case int8:
		return one(typeInt8, v)
	case uint8:
		return one(typeUint8, v)
	case int16:
		return one(typeInt16, v)
	case uint16:
		return one(typeUint16, v)
	case int32:
		return one(typeInt32, v)
	case uint32:
		return one(typeUint32, v)
	case int64:
		return one(typeInt64, v)
	case float32:
		return one(typeFloat32, strconv.FormatFloat(float64(v), 'g', -1, 32))
	case float64:
		return one(typeFloat64, strconv.FormatFloat(v, 'g', -1, 64))
	case amqp.Decimal:
		return one(typeDecimal, fmt.Sprintf("%de-%d", v.Value, v.Scale))
	case time.Time:
		return one(typeTime, writeTime(v))
	case []byte:
		return one(typeBytes, base64.StdEncoding.EncodeToString(v))
	}
	return writeNested(v)
}

func writeNested(v any) (any, error) {
	switch v := v.(type) {
	case amqp.Table:
		t, err := writeTable(v)
		return map[string]any{typeTable: t}, err
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = writeValue(item); err != nil {
				return nil, err
			}
		}
		return map[string]any{typeArray: list}, nil
	}
	return nil, fmt.Errorf("a %T is no value of AMQP", v)
}

// maxNesting bounds what is read: the client carries less.
const maxNesting = 64

func readTable(t map[string]any, depth int) (amqp.Table, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("it is more than %d deep", maxNesting)
	}
	if t == nil {
		return nil, nil
	}
	out := make(amqp.Table, len(t))
	for name, v := range t {
		plain, err := readText(name)
		if err == nil {
			out[plain], err = readValue(v, depth)
		}
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", name, err)
		}
	}
	return out, nil
}

func readValue(v any, depth int) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		return readText(v)
	case map[string]any:
		if len(v) == 1 {
			for kind, v := range v {
				return readTyped(kind, v, depth)
			}
		}
	}
	return nil, fmt.Errorf(`%.60s is no value: write {"TYPE": VALUE}, a string, a boolean or null`, fmt.Sprint(v))
}

func readTyped(kind string, v any, depth int) (any, error) {
	switch v := v.(type) {
	case json.Number:
		return readInteger(kind, v)
	case string:
		return readScalar(kind, v)
	case map[string]any:
		if kind == typeTable {
			return readTable(v, depth+1)
		}
	case nil:
		if kind == typeTable {
			return amqp.Table(nil), nil
		}
	case []any:
		if kind == typeArray && depth < maxNesting {
			list := make([]any, len(v))
			for i, item := range v {
				var err error
				if list[i], err = readValue(item, depth+1); err != nil {
					return nil, err
				}
			}
			return list, nil
		}
	}
	return nil, fmt.Errorf("%.20q of %.40s is no value", kind, fmt.Sprint(v))
}

func readInteger(kind string, n json.Number) (any, error) {
	t, ok := integers[kind]
	if !ok {
		return nil, fmt.Errorf("%.20q has no number", kind)
	}
	if t.signed {
		i, err := strconv.ParseInt(n.String(), 10, t.bits)
		return t.make(i), err
	}
	u, err := strconv.ParseUint(n.String(), 10, t.bits)
	return t.make(int64(u)), err //nolint:gosec // at most 32 bits
}

func readScalar(kind, s string) (any, error) {
	switch kind {
	case typeFloat32:
		f, err := strconv.ParseFloat(s, 32)
		return float32(f), err
	case typeFloat64:
		f, err := strconv.ParseFloat(s, 64)
		return f, err
	case typeTime:
		return readTime(s)
	case typeBytes:
		b, err := base64.StdEncoding.DecodeString(s)
		return b, err
	case typeDecimal:
		value, scale, _ := strings.Cut(s, "e-")
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return nil, err
		}
		e, err := strconv.ParseUint(scale, 10, 8)
		return amqp.Decimal{Scale: uint8(e), Value: int32(n)}, err
	}
	return nil, fmt.Errorf("%.20q has no text", kind)
}

// AMQP's times are seconds since 1970, of which RFC 3339 has not all.
func writeTime(t time.Time) string {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return "@" + strconv.FormatInt(t.Unix(), 10)
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

func readTime(s string) (time.Time, error) {
	if seconds, ok := strings.CutPrefix(s, "@"); ok {
		n, err := strconv.ParseInt(seconds, 10, 64)
		return time.Unix(n, 0).UTC(), err
	}
	return time.Parse(time.RFC3339, s)
}
