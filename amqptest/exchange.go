package amqptest

import (
	"slices"

	"github.com/hareline/hareline/internal/wire"
)

// The types of exchanges.
const (
	kindDirect         = "direct"
	kindFanout         = "fanout"
	kindTopic          = "topic"
	kindHeaders        = "headers"
	kindConsistentHash = "x-consistent-hash" // of a plugin
	kindLocalRandom    = "x-local-random"    // since 4.0
	kindModulusHash    = "x-modulus-hash"    // since 4.3; before, of a plugin
)

// exchange is one exchange; the default exchange is the one named "".
type exchange struct {
	vhost                         *vhost
	name, kind                    string
	durable, autoDelete, internal bool
	args                          wire.Table
	alternate                     string // name of the alternate exchange, or ""
	// bindings of which this exchange is the source, in the order they were made.
	bindings []*binding
	// index finds a binding of bindings again.
	index map[bindingID]*binding
	// into are the bindings that lead here from other exchanges.
	into []*binding
	// router is the kind's index over bindings.
	router router
	// seen is the number of the route that came by last.
	seen uint64
	// in and out count messages, for rates.
	in, out uint64
}

// hasExchangeKind is whether the broker has exchanges of the type.
func (b *Broker) hasExchangeKind(kind string) bool {
	switch kind {
	case kindDirect, kindFanout, kindTopic, kindHeaders:
		return true
	case kindLocalRandom:
		return b.cfg.Version.atLeast40()
	case kindModulusHash:
		return b.cfg.Version.atLeast43()
	case kindConsistentHash:
		return b.cfg.plugin(pluginConsistentHash)
	}
	return false
}

// bind adds a binding from the exchange; one that is there already stays.
func (x *exchange) bind(b *binding) {
	id := b.id()
	if _, ok := x.index[id]; ok {
		return
	}
	x.index[id] = b
	x.bindings = append(x.bindings, b)
	x.router.add(b)
	if b.queue != nil {
		b.queue.into = append(b.queue.into, b)
	} else {
		b.exchange.into = append(b.exchange.into, b)
	}
}

// unbind removes a binding, and with its last one an exchange that is deleted
// then.
func (x *exchange) unbind(b *binding) {
	b.forget()
	x.drop(b)
	x.autoDeleteIfUnused()
}

// drop removes a binding of which the destination knows nothing any more.
func (x *exchange) drop(b *binding) {
	if i := slices.Index(x.bindings, b); i >= 0 {
		x.bindings = slices.Delete(x.bindings, i, i+1)
		delete(x.index, b.id())
		x.router.remove(b)
	}
}

func (x *exchange) autoDeleteIfUnused() {
	if x.autoDelete && len(x.bindings) == 0 {
		x.vhost.deleteExchange(x)
	}
}
