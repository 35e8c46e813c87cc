package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// maxDepth bounds how deep tables and arrays may nest. RabbitMQ has no bound; a
// frame of its default frame_max, 128 KiB, holds at most 26214 levels.
const maxDepth = 1 << 15

// DecodeTable decodes a table, given without its length. The error is an
// [*Error] 541 (INTERNAL_ERROR), for RabbitMQ crashes over such a table: on type
// letters that it does not have, on floats that are not finite, and on lengths
// that do not fit. The strings in the table share one allocation.
func DecodeTable(b []byte) (Table, error) {
	if len(b) == 0 {
		return Table{}, nil
	}
	return decodeTable(string(b), 0)
}

func decodeTable(s string, depth int) (Table, error) {
	n, err := count(s, true)
	if err != nil {
		return nil, err
	}
	t := make(Table, 0, n)
	for s != "" {
		key := s[1 : 1+int(s[0])]
		s = s[1+len(key):]
		size := valueSize(s)
		v, err := decodeValue(s[:size], depth)
		if err != nil {
			return nil, err
		}
		t = append(t, Field{key, v})
		s = s[size:]
	}
	return t, nil
}

func decodeArray(s string, depth int) ([]any, error) {
	n, err := count(s, false)
	if err != nil {
		return nil, err
	}
	a := make([]any, 0, n)
	for s != "" {
		size := valueSize(s)
		v, err := decodeValue(s[:size], depth)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		s = s[size:]
	}
	return a, nil
}

// count says how many fields or elements s has, and refuses one that has not all
// its octets. It does not look into nested ones.
func count(s string, keyed bool) (int, error) {
	n := 0
	for rest := s; rest != ""; n++ {
		if keyed {
			if len(rest) < 1+int(rest[0]) {
				return 0, malformed("table: key of entry %d is cut", n)
			}
			rest = rest[1+int(rest[0]):]
		}
		size := valueSize(rest)
		if size < 0 {
			return 0, malformed("table: value of entry %d is cut or of no known type", n)
		}
		rest = rest[size:]
	}
	return n, nil
}

// valueSize is how many octets the value takes that s begins with, its type
// letter included; negative when s has less, or the letter is unknown.
func valueSize(s string) int {
	if s == "" {
		return -1
	}
	size := 0
	switch s[0] {
	case 'V':
		size = 1
	case 't', 'b', 'B':
		size = 2
	case 's', 'u':
		size = 3
	case 'I', 'i', 'f':
		size = 5
	case 'D':
		size = 6
	case 'l', 'L', 'd', 'T':
		size = 9
	case 'S', 'x', 'F', 'A':
		if len(s) < 5 || uint64(u32(s[1:])) > uint64(len(s)-5) {
			return -1
		}
		size = 5 + int(u32(s[1:]))
	default:
		return -1
	}
	if size > len(s) {
		return -1
	}
	return size
}

// decodeValue decodes one value of exactly its size.
func decodeValue(s string, depth int) (any, error) {
	switch s[0] {
	case 'S':
		return s[5:], nil
	case 'x':
		return []byte(s[5:]), nil
	case 'F', 'A':
		return decodeNested(s, depth+1)
	case 'f':
		v := math.Float32frombits(u32(s[1:]))
		return v, finite(float64(v))
	case 'd':
		v := math.Float64frombits(u64(s[1:]))
		return v, finite(v)
	}
	return decodeScalar(s), nil
}

func decodeNested(s string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, malformed("table: nested deeper than %d levels", maxDepth)
	}
	if s[0] == 'A' {
		return decodeArray(s[5:], depth)
	}
	return decodeTable(s[5:], depth)
}

func decodeScalar(s string) any {
	switch s[0] {
	case 't':
		return s[1] != 0
	case 'b':
		return int8(s[1])
	case 'B':
		return s[1]
	case 's':
		return int16(u16(s[1:]))
	case 'u':
		return u16(s[1:])
	case 'I':
		return int32(u32(s[1:]))
	case 'i':
		return u32(s[1:])
	case 'l', 'L':
		return int64(u64(s[1:]))
	case 'T':
		return seconds(u64(s[1:]))
	case 'D':
		return Decimal{Scale: s[1], Value: u32(s[2:])}
	}
	return nil // V
}

// finite refuses what an Erlang float cannot be (F 1).
func finite(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return malformed("table: %v is no float to RabbitMQ", v)
	}
	return nil
}

func seconds(v uint64) time.Time { return time.Unix(int64(v), 0).UTC() }

func u16(s string) uint16 { return uint16(s[0])<<8 | uint16(s[1]) }

func u32(s string) uint32 { return uint32(u16(s))<<16 | uint32(u16(s[2:])) }

func u64(s string) uint64 { return uint64(u32(s))<<32 | uint64(u32(s[4:])) }

// setSize writes the length of all behind the 4 octets at start into them.
func setSize(dst []byte, start int) {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
}
