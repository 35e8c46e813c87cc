package amqptest

import (
	"math"

	"github.com/hareline/hareline/internal/wire"
)

// plainTable makes a field table what a test can compare: see [QueueInfo.Arguments].
func plainTable(t wire.Table) map[string]any {
	m := make(map[string]any, len(t))
	for i := len(t) - 1; i >= 0; i-- { // of a key that is there twice, the first counts
		m[t[i].Key] = plain(t[i].Value)
	}
	return m
}

// plain turns every integer into an int64, every other number into a float64,
// and tables and arrays into maps and slices.
func plain(v any) any {
	if n, ok := wire.Int(v); ok {
		return n
	}
	switch v := v.(type) {
	case float32:
		return float64(v)
	case wire.Decimal:
		return float64(v.Value) / math.Pow10(int(v.Scale))
	case wire.Table:
		return plainTable(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case []byte:
		return append([]byte{}, v...)
	}
	return v
}
