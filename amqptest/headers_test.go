package amqptest

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func table(pairs ...any) wire.Table {
	var t wire.Table
	for i := 0; i < len(pairs); i += 2 {
		t = append(t, wire.Field{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return t
}

func TestHeadersMatch(t *testing.T) {
	for _, c := range []struct {
		name          string
		args, headers wire.Table
		v310, v40     bool
	}{
		{"nothing asked", nil, table("a", "b"), true, true},
		{"nothing asked, any", table("x-match", "any"), table("a", "b"), false, false},
		{"all", table("a", "1", "b", "2"), table("b", "2", "a", "1", "c", "3"), true, true},
		{"one of all is missing", table("a", "1", "b", "2"), table("a", "1"), false, false},
		{"any", table("x-match", "any", "a", "1", "b", "2"), table("b", "2"), true, true},
		{"none of any", table("x-match", "any", "a", "1"), table("a", "2"), false, false},
		{"presence", table("a", nil), table("a", int32(5)), true, true},
		{"absence", table("a", nil), nil, false, false},
		{"x- is left out", table("x-a", "1"), nil, true, true},
		{"x- is left out of any", table("x-match", "any", "x-a", "1"), table("x-a", "1"), false, false},
		{"all with x", table("x-match", "all-with-x", "x-a", "1"), nil, false, false},
		{"any with x", table("x-match", "any-with-x", "x-a", "1"), table("x-a", "1"), true, true},
		{"widths", table("a", int32(1)), table("a", int64(1)), true, true},
		{"float", table("a", int32(1)), table("a", 1.0), true, false},
		{"bytes", table("a", "b"), table("a", []byte("b")), true, true},
		{"timestamp", table("a", time.Unix(5, 0)), table("a", time.Unix(5, 0)), true, false},
		{"timestamp as number", table("a", int64(5000)), table("a", time.Unix(5, 0)), false, true},
		{"void is no value", table("a", "b"), table("a", nil), false, false},
		{"first of two", table("a", "1"), table("a", "1", "a", "2"), true, false},
		{"last of two", table("a", "2"), table("a", "1", "a", "2"), false, true},
	} {
		p := newHeadersPattern(c.args)
		if got := p.matches(headerValues{c.headers, V310}); got != c.v310 {
			t.Errorf("%s, 3.10: %v", c.name, got)
		}
		for _, v := range []Version{V40, V43} {
			if got := p.matches(headerValues{c.headers, v}); got != c.v40 {
				t.Errorf("%s, %s: %v", c.name, v, got)
			}
		}
	}
}
