package amqptest

import (
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func TestTermsPrintAsErlangs(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "undefined"},
		{true, "true"},
		{int8(-3), "-3"},
		{uint32(7), "7"},
		{5.0, "5.0"},
		{100000.0, "1.0e5"},
		{1e22, "1.0e22"},
		{0.0001, "0.0001"},
		{31415926535.897934, "31415926535.897934"},
		{float32(0.1), "0.10000000149011612"},
		{time.Unix(5, 0), "5"},
		{wire.Decimal{Scale: 1, Value: 5}, "{1,5}"},
		{"", "<<>>"},
		{"any", `<<"any">>`},
		{"a\"b\\", `<<"a\"b\\">>`},
		{"a\nb", `<<"a\nb">>`},
		{"\xff\x00", "<<255,0>>"},
		{"ü", `<<"ü"/utf8>>`},
		{[]byte("b"), `<<"b">>`},
		{[]any{"a", int32(1)}, `[{longstr,<<"a">>},{signedint,1}]`},
		{wire.Table{{Key: "a", Value: int32(1)}}, `[{<<"a">>,signedint,1}]`},
		{termAtom("x-local-random"), `'x-local-random'`},
		{termAtom("classic"), `classic`},
		{termTuple{termAtom("value_zero"), int64(0)}, "{value_zero,0}"},
		{termString("expected integer"), `"expected integer"`},
		{termString("a\x01"), "[97,1]"},
		{termString("€"), "[8364]"},
		{termString("ü"), `"ü"`},
		{termString("b\xfcg"), `"büg"`},
	} {
		if got := termOf(V40, c.value); got != c.want {
			t.Errorf("%#v: %s, not %s", c.value, got, c.want)
		}
	}
}

func TestTermsOfOldReleasesAreOctets(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"ü", `<<"ü">>`},
		{termString("€"), "[226,130,172]"},
		{termString("b\xfcg"), "\"b\xfcg\""},
	} {
		if got := termOf(V310, c.value); got != c.want {
			t.Errorf("%#v: %s, not %s", c.value, got, c.want)
		}
	}
}

func TestTermEquality(t *testing.T) {
	for _, c := range []struct {
		a, b         any
		equal, loose bool
	}{
		{int32(1), int64(1), true, true},
		{int32(1), 1.0, false, true},
		{1.0, float32(1), true, true},
		{"a", []byte("a"), true, true},
		{"1", int32(1), false, false},
		{true, "true", false, false},
		{time.Unix(5, 0), int64(5), true, true},
		{nil, nil, true, true},
		{nil, false, false, false},
		{[]any{int32(1)}, []any{int32(1)}, true, true},
		{[]any{int32(1)}, []any{int64(1)}, false, false}, // the types are part of the terms
		{[]any{}, wire.Table{}, true, true},
		{wire.Decimal{Scale: 1, Value: 2}, wire.Decimal{Scale: 1, Value: 2}, true, true},
		{wire.Table{{Key: "a", Value: "b"}}, wire.Table{{Key: "a", Value: "b"}}, true, true},
		{wire.Table{{Key: "a", Value: "b"}}, wire.Table{{Key: "a", Value: "c"}}, false, false},
		{wire.Table{{Key: "a", Value: "b"}}, "a", false, false},
	} {
		for range 2 {
			if got := termsEqual(c.a, c.b); got != c.equal {
				t.Errorf("%v =:= %v: %v", c.a, c.b, got)
			}
			if got := looselyEqual(c.a, c.b); got != c.loose {
				t.Errorf("%v == %v: %v", c.a, c.b, got)
			}
			c.a, c.b = c.b, c.a
		}
	}
}
