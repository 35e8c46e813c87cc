package wire

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// refused checks that err is an *Error of the code, and returns it.
func refused(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error, code uint16) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error of code %d", err, code)
	}
	if e.Code != code {
		t.Fatalf("got %v, want code %d", e, code)
	}
	return e
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// anyValue draws a value of a field, to the given depth.
func anyValue(depth int) *rapid.Generator[any] {
	gens := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Int8().AsAny(), rapid.Uint8().AsAny(),
		rapid.Int16().AsAny(), rapid.Uint16().AsAny(),
		rapid.Int32().AsAny(), rapid.Uint32().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Float32().AsAny(), rapid.Float64().AsAny(),
		rapid.Custom(func(t *rapid.T) Decimal {
			return Decimal{rapid.Uint8().Draw(t, "scale"), rapid.Uint32().Draw(t, "value")}
		}).AsAny(),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "longstr")) }).AsAny(),
		rapid.SliceOfN(rapid.Byte(), 0, 50).AsAny(),
		rapid.Custom(func(t *rapid.T) time.Time { return time.Unix(rapid.Int64().Draw(t, "seconds"), 0).UTC() }).AsAny(),
	}
	if depth > 0 {
		gens = append(gens,
			anyTable(depth-1).AsAny(),
			rapid.Custom(func(t *rapid.T) []any {
				return append([]any{}, rapid.SliceOfN(anyValue(depth-1), 0, 4).Draw(t, "array")...)
			}).AsAny())
	}
	return rapid.OneOf(gens...)
}

func anyTable(depth int) *rapid.Generator[Table] {
	return rapid.Custom(func(t *rapid.T) Table {
		table := Table{}
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			table = append(table, Field{anyShortstr().Draw(t, "key"), anyValue(depth).Draw(t, "value")})
		}
		return table
	})
}

// anyShortstr draws a short string that is UTF-8.
func anyShortstr() *rapid.Generator[string] { return rapid.StringN(-1, -1, 255) }
