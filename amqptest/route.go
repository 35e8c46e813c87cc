package amqptest

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// router finds the bindings of an exchange that a message takes.
type router interface {
	add(b *binding)
	remove(b *binding)
	// match has r take each binding that one of the message's keys, or its
	// headers, lead through; one binding may be taken more than once.
	match(m *message, r *routing)
}

func newRouter(x *exchange) router {
	switch x.kind {
	case kindFanout:
		return fanoutRouter{x}
	case kindTopic:
		return newTopicRouter()
	case kindHeaders:
		return headersRouter{x}
	case kindConsistentHash:
		return newHashRouter(x)
	case kindLocalRandom:
		return randomRouter{x}
	case kindModulusHash:
		return modulusRouter{x}
	default:
		return directRouter{}
	}
}

// routing is one message on its way through exchanges.
type routing struct {
	seq       uint64 // of this route; marks what it came by
	queues    []*queue
	exchanges []*exchange // to go through yet
	taken     bool        // the exchange in hand has a binding for the message
}

// sortedRoutes is up to how many queues RabbitMQ takes them by name.
const sortedRoutes = 32

// route finds the queues that a message goes to from an exchange, each once.
// The slice is valid until the next route in this virtual host.
func (vh *vhost) route(x *exchange, m *message) []*queue {
	r := &vh.routing
	r.seq++
	r.queues, r.exchanges = r.queues[:0], r.exchanges[:0]
	x.in++
	if x.name == "" {
		r.enter(vh.queues[m.key])
		for _, key := range m.extra {
			r.enter(vh.queues[key])
		}
	} else {
		x.seen = r.seq
		r.exchanges = append(r.exchanges, x)
		for i := 0; i < len(r.exchanges); i++ {
			vh.pass(r.exchanges[i], m)
		}
	}
	if n := len(r.queues); n > 1 && n <= sortedRoutes {
		slices.SortFunc(r.queues, func(a, b *queue) int { return strings.Compare(a.name, b.name) })
	}
	x.out += uint64(len(r.queues))
	return r.queues
}

// pass takes a message through one exchange and, where that has no binding for
// it, on to its alternate exchange.
func (vh *vhost) pass(x *exchange, m *message) {
	r := &vh.routing
	r.taken = false
	x.router.match(m, r)
	if r.taken || x.alternate == "" {
		return
	}
	if alternate, ok := vh.exchanges[x.alternate]; ok {
		r.visit(alternate)
	}
}

func (r *routing) take(b *binding) {
	r.taken = true
	if b.queue != nil {
		r.enter(b.queue)
		return
	}
	r.visit(b.exchange)
}

func (r *routing) takeAll(bindings []*binding) {
	for _, b := range bindings {
		r.take(b)
	}
}

func (r *routing) enter(q *queue) {
	if q == nil || q.routed == r.seq {
		return
	}
	q.routed = r.seq
	r.queues = append(r.queues, q)
}

func (r *routing) visit(x *exchange) {
	if x.seen == r.seq {
		return
	}
	x.seen = r.seq
	r.exchanges = append(r.exchanges, x)
}

// checkBinding refuses a new binding that the exchange's type cannot have.
func (x *exchange) checkBinding(b *binding) *amqpError {
	version := x.vhost.broker.cfg.Version
	switch x.kind {
	case kindHeaders:
		return checkHeadersBinding(b, version)
	case kindConsistentHash:
		return checkHashBinding(b, version)
	case kindLocalRandom:
		return checkRandomBinding(b)
	}
	return nil
}

// directRouter has the bindings by key.
type directRouter map[string][]*binding

func (d directRouter) add(b *binding) { d[b.key] = append(d[b.key], b) }

func (d directRouter) remove(b *binding) {
	rest := without(d[b.key], b)
	if len(rest) == 0 {
		delete(d, b.key)
		return
	}
	d[b.key] = rest
}

func (d directRouter) match(m *message, r *routing) {
	r.takeAll(d[m.key])
	for _, key := range m.extra {
		r.takeAll(d[key])
	}
}

// fanoutRouter takes all bindings.
type fanoutRouter struct{ x *exchange }

func (fanoutRouter) add(*binding)                   {}
func (fanoutRouter) remove(*binding)                {}
func (f fanoutRouter) match(_ *message, r *routing) { r.takeAll(f.x.bindings) }

// randomRouter takes any one binding (x-local-random).
type randomRouter struct{ x *exchange }

func (randomRouter) add(*binding)    {}
func (randomRouter) remove(*binding) {}

func (f randomRouter) match(_ *message, r *routing) {
	if n := len(f.x.bindings); n > 0 {
		r.take(f.x.bindings[rand.IntN(n)])
	}
}

func checkRandomBinding(b *binding) *amqpError {
	switch {
	case b.key != "":
		return softError(codePreconditionFailed, "Non empty binding '%s' key not permitted", b.key)
	case b.queue == nil:
		return softError(codePreconditionFailed, "Destination not found")
	case b.queue.kind != classic:
		return softError(codePreconditionFailed, "Queue type %s not valid for this exchange type", b.queue.kind.module())
	}
	return nil
}

// modulusRouter takes one binding by a hash of the routing keys
// (x-modulus-hash).
type modulusRouter struct{ x *exchange }

func (modulusRouter) add(*binding)    {}
func (modulusRouter) remove(*binding) {}

func (f modulusRouter) match(m *message, r *routing) {
	if len(f.x.bindings) == 0 {
		return
	}
	sorted := slices.Clone(f.x.bindings)
	slices.SortStableFunc(sorted, byDestination)
	keys := termList{termBinary(m.key)}
	for _, key := range m.extra {
		keys = append(keys, termBinary(key))
	}
	r.take(sorted[phash2(keys)%uint32(len(sorted))])
}

// byDestination orders bindings as Erlang orders the names of where they lead.
func byDestination(a, b *binding) int {
	switch {
	case a.queue == nil && b.queue == nil:
		return strings.Compare(a.exchange.name, b.exchange.name)
	case a.queue == nil:
		return -1
	case b.queue == nil:
		return 1
	}
	return strings.Compare(a.queue.name, b.queue.name)
}
