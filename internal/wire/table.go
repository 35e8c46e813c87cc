package wire

import (
	"slices"
	"strings"
)

// Table is a field table in the order of the wire. A key may be there more than
// once; then the first counts, as in RabbitMQ.
type Table []Field

// Field is one entry of a Table. The value is one of
//
//	nil        V    void
//	bool       t
//	int8       b    uint8   B
//	int16      s    uint16  u
//	int32      I    uint32  i
//	int64      l    read from L too, as RabbitMQ does
//	float32    f    float64 d
//	Decimal    D
//	string     S    any octets, not UTF-8 only
//	[]byte     x
//	time.Time  T    whole seconds, UTC
//	Table      F
//	[]any      A
//
// An int is written as an int64. Whatever else is written as void.
type Field struct {
	Key   string
	Value any
}

// Decimal is Value / 10^Scale. RabbitMQ reads the value without a sign.
type Decimal struct {
	Scale uint8
	Value uint32
}

// Get returns the value of a key, and whether the key is there.
func (t Table) Get(key string) (any, bool) {
	for i := range t {
		if t[i].Key == key {
			return t[i].Value, true
		}
	}
	return nil, false
}

// Set returns a copy in which the key has the value, at its old place or else at
// the end. The values are shared, the table is not.
func (t Table) Set(key string, v any) Table {
	c := make(Table, len(t), len(t)+1)
	copy(c, t)
	for i := range c {
		if c[i].Key == key {
			c[i].Value = v
			return c
		}
	}
	return append(c, Field{key, v})
}

// Without returns a copy without any field of the keys. The values are shared.
func (t Table) Without(keys ...string) Table {
	if t == nil {
		return nil
	}
	c := make(Table, 0, len(t))
	for _, f := range t {
		if !slices.Contains(keys, f.Key) {
			c = append(c, f)
		}
	}
	return c
}

// Sorted returns a copy in the order of the keys, by octets; fields of one key
// stay in their order. RabbitMQ does this whenever it sets a header itself.
func (t Table) Sorted() Table {
	c := slices.Clone(t)
	slices.SortStableFunc(c, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	return c
}

// Clone returns a copy that shares no table, array or []byte. What lies deeper
// than the decoder reads becomes nil.
func (t Table) Clone() Table { return t.clone(0) }

func (t Table) clone(depth int) Table {
	if t == nil {
		return nil
	}
	c := make(Table, len(t))
	for i, f := range t {
		c[i] = Field{f.Key, cloneValue(f.Value, depth)}
	}
	return c
}

func cloneValue(v any, depth int) any {
	if depth == maxDepth {
		return nil
	}
	switch v := v.(type) {
	case Table:
		return v.clone(depth + 1)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i], depth+1)
		}
		return c
	case []byte:
		return append([]byte{}, v...)
	}
	return v
}

// Int returns the value of any integer type, and whether v is one that fits.
func Int(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int:
		return int64(v), true
	}
	return 0, false
}
