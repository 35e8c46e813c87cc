package amqptest

import (
	"encoding/binary"
	"math"
)

// The golden ratio, which Erlang's hash mixes in. a multiple of it tells terms of
// different kinds apart.
const goldenRatio = 0x9e3779b9

// phash2 is Erlang's erlang:phash2/1, by which exchanges spread messages over
// queues: a number of 27 bits. Terms are as in erlangTerm; anything else counts
// as the empty list.
func phash2(v any) uint32 {
	h := termHash{}
	h.top(v)
	return h.sum & (1<<27 - 1)
}

// termHash is Bob Jenkins' hash over a term.
type termHash struct{ sum uint32 }

func (h *termHash) top(v any) {
	switch v := v.(type) {
	case termAtom:
		h.sum = atomHash(string(v))
	case bool:
		h.top(boolAtom(v))
	default:
		h.term(v)
	}
}

func boolAtom(v bool) termAtom {
	if v {
		return "true"
	}
	return "false"
}

func (h *termHash) term(v any) {
	switch v := v.(type) {
	case int64:
		h.integer(v)
	case float64:
		if v == 0 {
			v = 0 // not -0
		}
		bits := math.Float64bits(v)
		h.mix(uint32(bits>>32), uint32(bits), 12)
	case bool:
		h.term(boolAtom(v))
	case termAtom:
		if h.sum == 0 {
			h.sum = atomHash(string(v))
			return
		}
		h.mix(atomHash(string(v)), 0, 3)
	case termBinary:
		h.octets([]byte(v))
	case termTuple:
		h.mix(uint32(len(v)), 0, 9)
		for _, t := range v {
			h.term(t)
		}
	case termList:
		h.list(v)
	default:
		h.list(nil)
	}
}

// list hashes the elements, small numbers at the front four at a time, and the
// end of the list.
func (h *termHash) list(v termList) {
	var word uint32
	count := 0
	for len(v) > 0 {
		n, ok := v[0].(int64)
		if !ok || n < 0 || n > 255 {
			if count > 0 {
				h.mix(word, 0, 4)
				word, count = 0, 0
			}
			h.term(v[0])
			v = v[1:]
			continue
		}
		word = word<<8 + uint32(n)
		if count++; count == 4 {
			h.mix(word, 0, 4)
			word, count = 0, 0
		}
		v = v[1:]
	}
	if count > 0 {
		h.mix(word, 0, 4)
	}
	if h.sum == 0 {
		h.sum = 3468870702
		return
	}
	h.mix(nilDef, 0, 2)
}

const nilDef = 2

func (h *termHash) integer(n int64) {
	if n >= -1<<27 && n < 1<<27 {
		if n < 0 {
			h.mix(uint32(-n), 0, 1)
		}
		h.mix(uint32(n), 0, 1)
		return
	}
	kind := uint32(11)
	u := uint64(n)
	if n < 0 {
		kind, u = 10, -u
	}
	h.mix(uint32(u), uint32(u>>32), kind)
}

func (h *termHash) octets(k []byte) {
	a, b, c := uint32(goldenRatio), uint32(goldenRatio), h.sum+goldenRatio*13&math.MaxUint32
	length := uint32(len(k))
	if length == 0 {
		h.sum = c
		return
	}
	for len(k) >= 12 {
		a += binary.LittleEndian.Uint32(k)
		b += binary.LittleEndian.Uint32(k[4:])
		c += binary.LittleEndian.Uint32(k[8:])
		a, b, c = jenkins(a, b, c)
		k = k[12:]
	}
	var last [12]byte
	copy(last[:8], k)
	if len(k) > 8 {
		copy(last[9:], k[8:]) // its first octet is the length's
	}
	a += binary.LittleEndian.Uint32(last[:])
	b += binary.LittleEndian.Uint32(last[4:])
	c += length + binary.LittleEndian.Uint32(last[8:])
	_, _, h.sum = jenkins(a, b, c)
}

func (h *termHash) mix(x, y, kind uint32) {
	con := goldenRatio * uint64(kind)
	_, _, h.sum = jenkins(uint32(con)+x, uint32(con)+y, h.sum)
}

func jenkins(a, b, c uint32) (uint32, uint32, uint32) {
	a = a - b - c ^ c>>13
	b = b - c - a ^ a<<8
	c = c - a - b ^ b>>13
	a = a - b - c ^ c>>12
	b = b - c - a ^ a<<16
	c = c - a - b ^ b>>5
	a = a - b - c ^ c>>3
	b = b - c - a ^ a<<10
	c = c - a - b ^ b>>15
	return a, b, c
}

// atomHash is P. J. Weinberger's hash of an atom's name.
func atomHash(name string) uint32 {
	var h uint32
	for i := range len(name) {
		h = h<<4 + uint32(name[i])
		if g := h & 0xf0000000; g != 0 {
			h ^= g>>24 | g
		}
	}
	return h
}
