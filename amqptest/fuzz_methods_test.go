package amqptest

import (
	"math/rand/v2"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// FuzzMethods: whatever methods come, in whatever order, the broker stays, and
// its books are right once the client is gone.
func FuzzMethods(f *testing.F) {
	seed := func(steps ...byte) {
		for version := range byte(6) {
			f.Add(append([]byte{version}, steps...))
		}
	}
	const declare, consume, nack, publish, mode = 3, 4, 9, 14, 1
	aQuorum := []byte{0, declare, 0, 2, 0}
	seed(aQuorum...)
	seed(append(aQuorum, 0, publish, 2, 0, 0, 0, 0, 5, 0, consume, 0, 0, 0, 0, 0, 0, 0, 0, nack, 1, 1, 1)...)
	seed(append(aQuorum, 0, mode, 0, 0, publish, 2, 0, 0, 0, 0, 5, 0, mode, 1)...)
	seed(append(aQuorum, 0, declare, 1, 1, 2, 1, 0, 1, 0, 0, 0, 3, 0, publish, 2, 0, 1, 0, 1, 1, 0, 0, publish, 0)...)
	seed(0, 2, 0, 0, 0, 1, 1, 0, 0, 0, 0, consume, 0, 0, 0, 0, 0, 0, 0, publish, 1, 1)
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4<<10 {
			return // what goes wrong goes wrong with less
		}
		runProgram(t, in)
	})
}

// TestRandomMethods is FuzzMethods with long inputs.
func TestRandomMethods(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		in := make([]byte, 2<<10)
		for i := range in {
			in[i] = byte(random.Uint32())
		}
		runProgram(t, in)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// runProgram runs what in says, either all at once, or method by method: then
// with a client that opens again what was closed.
func runProgram(t *testing.T, in []byte) {
	version, octets := fuzzVersion(in)
	cfg := Config{Version: version, Plugins: []string{"rabbitmq_consistent_hash_exchange"}, Trace: 100}
	atOnce := len(in) > 0 && in[0]/3%2 == 1
	survives(t, cfg, len(in), func(b *Broker) {
		p, most := &fuzzProgram{in: octets, unacked: make(map[uint16][]uint64)}, 1
		if atOnce {
			most = len(in)
		}
		r := dialTwo(t, b)
		for i, name := range []string{"x", "y", "z"} {
			call[*wire.ExchangeDeclareOk](r, &wire.ExchangeDeclare{Exchange: name, Type: []string{"direct", "topic", "headers"}[i]})
		}
		for {
			step := p.run(most)
			out := p.out
			p.out = nil
			switch {
			case step == fuzzOver:
				r.talk(out)
				return
			case !p.sync(r, out):
				if atOnce {
					return
				}
				r = dialTwo(t, b)
			}
			p.beside(b, step)
		}
	})
}

// dialTwo connects and opens the channels that programs use.
func dialTwo(t testing.TB, b *Broker) *raw {
	r := dialRaw(t, b)
	r.open(2)
	r.open(3)
	return r
}
