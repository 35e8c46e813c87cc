package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// AppendTable appends a table with its length before it. A key over 255 octets
// is cut as all short strings are; see [Field] for values of other types.
func AppendTable(dst []byte, t Table) []byte { return appendTable(dst, t, 0) }

func appendTable(dst []byte, t Table, depth int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for i := range t {
		dst = appendShortstr(dst, t[i].Key)
		dst = appendValue(dst, t[i].Value, depth)
	}
	setSize(dst, start)
	return dst
}

func appendArray(dst []byte, a []any, depth int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, v := range a {
		dst = appendValue(dst, v, depth)
	}
	setSize(dst, start)
	return dst
}

func appendValue(dst []byte, v any, depth int) []byte {
	switch v := v.(type) {
	case string:
		return appendLongstr(append(dst, 'S'), v)
	case []byte:
		return appendLongstr(append(dst, 'x'), v)
	case bool:
		return append(dst, 't', bit(v, 0))
	case time.Time:
		return binary.BigEndian.AppendUint64(append(dst, 'T'), uint64(v.Unix()))
	case Decimal:
		return binary.BigEndian.AppendUint32(append(dst, 'D', v.Scale), v.Value)
	case float32:
		return binary.BigEndian.AppendUint32(append(dst, 'f'), math.Float32bits(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(dst, 'd'), math.Float64bits(v))
	case Table:
		if depth < maxDepth {
			return appendTable(append(dst, 'F'), v, depth+1)
		}
	case []any:
		// A slice can hold itself, so the depth is bounded here too.
		if depth < maxDepth {
			return appendArray(append(dst, 'A'), v, depth+1)
		}
	}
	return appendInteger(dst, v)
}

func appendInteger(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(dst, 'l'), uint64(v))
	case int:
		return binary.BigEndian.AppendUint64(append(dst, 'l'), uint64(v))
	case int32:
		return binary.BigEndian.AppendUint32(append(dst, 'I'), uint32(v))
	case uint32:
		return binary.BigEndian.AppendUint32(append(dst, 'i'), v)
	case int16:
		return binary.BigEndian.AppendUint16(append(dst, 's'), uint16(v))
	case uint16:
		return binary.BigEndian.AppendUint16(append(dst, 'u'), v)
	case int8:
		return append(dst, 'b', byte(v))
	case uint8:
		return append(dst, 'B', v)
	}
	return append(dst, 'V')
}
