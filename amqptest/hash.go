package amqptest

import (
	"errors"
	"math"
	"math/big"
	"sort"
	"strconv"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// hashRouter spreads messages over the destinations by a consistent hash
// (x-consistent-hash). The binding key is a destination's weight.
type hashRouter struct {
	version          Version
	header, property string // what is hashed; none: the routing key
	ring             []hashBuckets
}

// hashBuckets are the buckets of one destination, which are in sequence.
type hashBuckets struct {
	binding *binding
	weight  int
	end     int // number of the bucket after the last
}

func newHashRouter(x *exchange) *hashRouter {
	h := &hashRouter{version: x.vhost.broker.cfg.Version}
	if v, ok := x.args.Get("hash-header"); ok {
		h.header, _ = v.(string)
	}
	if v, ok := x.args.Get("hash-property"); ok {
		h.property, _ = v.(string)
	}
	return h
}

// add gives a destination its buckets. One that has some keeps them, whatever
// its further bindings weigh.
func (h *hashRouter) add(b *binding) {
	if h.find(b) >= 0 {
		return
	}
	weight, _ := erlangInteger(b.key)
	h.ring = append(h.ring, hashBuckets{binding: b, weight: weight})
	h.count()
}

// remove takes the destination's buckets away, those of another binding too.
func (h *hashRouter) remove(b *binding) {
	if i := h.find(b); i >= 0 {
		h.ring = append(h.ring[:i], h.ring[i+1:]...)
		h.count()
	}
}

func (h *hashRouter) find(b *binding) int {
	for i := range h.ring {
		if h.ring[i].binding.queue == b.queue && h.ring[i].binding.exchange == b.exchange {
			return i
		}
	}
	return -1
}

func (h *hashRouter) count() {
	end := 0
	for i := range h.ring {
		end += h.ring[i].weight
		h.ring[i].end = end
	}
}

func (h *hashRouter) match(m *message, r *routing) {
	if len(h.ring) == 0 {
		return
	}
	bucket := jumpHash(h.key(m), h.ring[len(h.ring)-1].end)
	i := sort.Search(len(h.ring), func(i int) bool { return h.ring[i].end > bucket })
	if i < len(h.ring) {
		r.take(h.ring[i].binding)
	}
}

// key is the number that decides on the bucket.
func (h *hashRouter) key(m *message) int64 {
	switch {
	case h.header != "":
		return hashKey(h.headerTerm(m))
	case h.property != "":
		return hashKey(h.propertyTerm(m))
	}
	return hashKey(termBinary(m.key))
}

// headerTerm is the header that is hashed: in 3.10 with its type.
func (h *hashRouter) headerTerm(m *message) any {
	value, ok := headerValues{table: m.props.Headers, version: h.version}.get(h.header)
	if !ok {
		return termAtom("undefined")
	}
	if !h.version.atLeast40() {
		return termTuple{fieldType(value), erlangTerm(value)}
	}
	return erlangTerm(value)
}

func (h *hashRouter) propertyTerm(m *message) any {
	p := &m.props
	switch {
	case h.property == "correlation_id" && p.Has(wire.FlagCorrelationID):
		return termBinary(p.CorrelationID)
	case h.property == "message_id" && p.Has(wire.FlagMessageID):
		return termBinary(p.MessageID)
	case h.property == "timestamp" && p.Has(wire.FlagTimestamp):
		return termBinary(strconv.FormatInt(unixOf(p.Timestamp), 10))
	}
	return termAtom("undefined")
}

func unixOf(t time.Time) int64 { return t.Unix() }

// hashKey: an integer is its own hash; of a list the first element is hashed.
func hashKey(term any) int64 {
	switch v := term.(type) {
	case int64:
		return v
	case termList:
		if len(v) > 0 {
			return hashKey(v[0])
		}
	}
	return int64(phash2(term))
}

// jumpHash is Lamping and Veach's jump consistent hash with Erlang's generator
// exs1024, as the plugin has it: a bucket below n.
func jumpHash(key int64, n int) int {
	if n <= 1 {
		return 0
	}
	g := newExs1024(key)
	bucket, next := -1.0, 0.0
	for next < float64(n) {
		bucket = next
		next = math.Trunc((bucket + 1) / g.uniform())
	}
	return int(bucket)
}

// exs1024 is Erlang's rand algorithm of that name: xorshift1024*.
type exs1024 struct {
	state [16]uint64
	at    int
}

// newExs1024 seeds it with {key, key, key}.
func newExs1024(key int64) *exs1024 {
	const mask = 1<<21 - 1
	part := func(prime uint64) uint64 { return (uint64(key)&mask + 1) * prime & mask }
	r := part(2097131)<<43 | part(2097133)<<22 | part(2097143)<<1 | 1
	g := &exs1024{}
	for i := range g.state {
		r ^= r >> 12
		r ^= r << 25
		r ^= r >> 27
		g.state[len(g.state)-1-i] = r * 2685821657736338717
	}
	return g
}

// uniform is a number above 0, up to 1.
func (g *exs1024) uniform() float64 {
	s0 := g.state[g.at]
	g.at = (g.at + 1) % len(g.state)
	s1 := g.state[g.at]
	s1 ^= s1 << 31
	s1 ^= s1>>11 ^ s0 ^ s0>>30
	g.state[g.at] = s1
	return math.Max(float64(s1*1181783497276652981), 1) / (1 << 64)
}

// checkHashExchange refuses arguments of an x-consistent-hash exchange.
func checkHashExchange(args wire.Table) *amqpError {
	header, hasHeader := args.Get("hash-header")
	property, hasProperty := args.Get("hash-property")
	if _, ok := header.(string); hasHeader && !ok {
		return crashError()
	}
	name, ok := property.(string)
	if hasProperty && !ok {
		return crashError()
	}
	if hasHeader && hasProperty {
		return softError(codePreconditionFailed, "hash-header and hash-property are mutually exclusive")
	}
	if hasProperty && name != "correlation_id" && name != "message_id" && name != "timestamp" {
		return softError(codePreconditionFailed, "Unsupported property: %s", name)
	}
	return nil
}

// maxHashWeight is the largest weight of a binding, since 4.3. Before, what
// many buckets would take is memory; here they take none.
const maxHashWeight = 10_000

func checkHashBinding(b *binding, v Version) *amqpError {
	weight, err := erlangInteger(b.key)
	switch {
	case err != nil:
		return softError(codePreconditionFailed, "The binding key must be an integer: %s", termOf(v, b.key))
	case weight < 1:
		return softError(codePreconditionFailed, "The binding key must be greater than 0")
	case v.atLeast43() && weight > maxHashWeight:
		return softError(codePreconditionFailed, "The binding key must not exceed %d", maxHashWeight)
	}
	return nil
}

// erlangInteger reads an integer as Erlang's list_to_integer does: of any
// size. One that does not fit is cut to a third of the largest int, so that
// sums of weights stay whole numbers.
func erlangInteger(s string) (int, error) {
	for i, c := range s {
		if (c < '0' || c > '9') && (i > 0 || c != '+' && c != '-') {
			return 0, errNoInteger
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return 0, errNoInteger
	}
	const limit = 1 << 31
	switch {
	case n.Cmp(big.NewInt(limit)) > 0:
		return limit, nil
	case n.Cmp(big.NewInt(-limit)) < 0:
		return -limit, nil
	}
	return int(n.Int64()), nil
}

var errNoInteger = errors.New("no integer")
