package amqptest

import (
	"testing"
)

// The numbers are those of Erlang/OTP 25, 27 and 29.
func TestPhash2IsErlangs(t *testing.T) {
	for _, c := range []struct {
		name string
		term any
		want uint32
	}{
		{"binary", termBinary("abc"), 98228475},
		{"long binary", termBinary("abcdefghijklmnopqrstuvwxyz"), 21348335},
		{"empty binary", termBinary(""), 13708901},
		{"list of a binary", termList{termBinary("abc")}, 63525141},
		{"list of two", termList{termBinary("a"), termBinary("bcdefghijklmnopqrstuvwxyz")}, 128950667},
		{"empty list", termList{}, 113427502},
		{"list of an empty list", termList{termList{}}, 96416884},
		{"list of an empty binary", termList{termBinary("")}, 38220213},
		{"octets", termList{int64(1), int64(2), int64(3), int64(4), int64(5)}, 66056394},
		{"octets and more", termList{int64(1), int64(2), termAtom("a"), int64(256), int64(-1)}, 112780101},
		{"atom", termAtom("undefined"), 45914356},
		{"true", true, 506293},
		{"tuple", termTuple{termAtom("longstr"), termBinary("abc")}, 101716503},
		{"void", termTuple{termAtom("void"), termAtom("undefined")}, 27077197},
		{"empty tuple", termTuple{}, 87486268},
		{"nested", termTuple{termAtom("array"), termList{
			termTuple{termAtom("longstr"), termBinary("a")}, termTuple{termAtom("bool"), true},
		}}, 89353060},
		{"integer", int64(17), 98123014},
		{"negative", int64(-17), 100458094},
		{"27 bits", int64(134217727), 112602999},
		{"28 bits", int64(134217728), 12354923},
		{"negative 27 bits", int64(-134217728), 69672967},
		{"negative 28 bits", int64(-134217729), 76739502},
		{"large", int64(1099511627776), 13893919},
		{"largest", int64(9223372036854775807), 28179613},
		{"smallest", int64(-9223372036854775808), 126213383},
		{"large in a tuple", termTuple{termAtom("long"), int64(1099511627776)}, 93748608},
		{"float", 1.5, 10380315},
		{"zero", 0.0, 20875736},
		{"negative float", -2.5, 63894875},
	} {
		if got := phash2(c.term); got != c.want {
			t.Errorf("%s: %d, Erlang has %d", c.name, got, c.want)
		}
	}
}

func TestExs1024IsErlangs(t *testing.T) {
	// rand:seed_s(exs1024, {5, 5, 5})
	want := [16]uint64{
		17873131353354250451, 879263521381138123, 17571579912719008926, 10446557098425368900,
		6604882327976418027, 15762477100019947656, 15883163982131628804, 6294966190838202859,
		13294357887040197721, 6617778197404215056, 3734505710640704725, 10893502182502262447,
		13710259350616204691, 3880547535979750953, 7530875737812875435, 2294903908738986871,
	}
	if got := newExs1024(5).state; got != want {
		t.Errorf("state %v", got)
	}
}

func TestJumpHashIsThePlugins(t *testing.T) {
	for _, c := range []struct {
		key  int64
		n    int
		want int
	}{
		{0, 1, 0},
		{0, 2, 0},
		{1, 10, 3},
		{5, 10, 4},
		{17, 100, 84},
		{98228475, 1000, 543},
		{-1, 50, 13},
		{9223372036854775807, 10000, 9916},
		{45914356, 7, 1},
	} {
		if got := jumpHash(c.key, c.n); got != c.want {
			t.Errorf("key %d of %d buckets: %d, not %d", c.key, c.n, got, c.want)
		}
	}
}
