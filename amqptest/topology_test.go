package amqptest

import (
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// topology is a channel without a client, for what a method answers to be
// looked at without frames.
type topology struct {
	*channel
	t testing.TB
	b *Broker
}

func newTopology(t testing.TB, c Config) *topology {
	t.Helper()
	b := c.New(t)
	nobody := &conn{broker: b, vhost: b.vhosts["/"], gone: true}
	return &topology{&channel{conn: nobody, id: 1}, t, b}
}

// do does a method and returns the text of its error, or "".
func (p *topology) do(m wire.Method) string {
	p.t.Helper()
	p.b.lock()
	defer p.b.unlock()
	var err *amqpError
	switch m := m.(type) {
	case *wire.ExchangeDeclare:
		err = p.exchangeDeclare(m)
	case *wire.ExchangeDelete:
		err = p.exchangeDelete(m)
	case *wire.ExchangeBind:
		err = p.exchangeBind(m)
	case *wire.ExchangeUnbind:
		err = p.exchangeUnbind(m)
	case *wire.QueueDeclare:
		err = p.queueDeclare(m)
	case *wire.QueueBind:
		err = p.queueBind(m)
	case *wire.QueueUnbind:
		err = p.queueUnbind(m)
	case *wire.QueueDelete:
		err = p.queueDelete(m)
	case *wire.QueuePurge:
		err = p.queuePurge(m)
	default:
		p.t.Fatalf("%T is not of the topology", m)
	}
	if err == nil {
		return ""
	}
	if err.hard {
		return "connection: " + err.text
	}
	return err.text
}

// must does methods that are fine.
func (p *topology) must(methods ...wire.Method) {
	p.t.Helper()
	for _, m := range methods {
		if text := p.do(m); text != "" {
			p.t.Fatalf("%T%+v: %s", m, m, text)
		}
	}
}

// refused does a method that gets the error.
func (p *topology) refused(want string, m wire.Method) {
	p.t.Helper()
	if got := p.do(m); got != want {
		p.t.Errorf("%T%+v:\n got %q\nwant %q", m, m, got, want)
	}
}

// queues routes a message and returns the names of the queues.
func (p *topology) queues(m *message) []string {
	p.b.lock()
	defer p.b.unlock()
	vh := p.conn.vhost
	names := []string{}
	for _, q := range vh.route(vh.exchanges[m.exchange], m) {
		names = append(names, q.name)
	}
	return names
}

// eachTopology runs the test on a broker of each version.
func eachTopology(t *testing.T, do func(t *testing.T, v Version, p *topology)) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) { do(t, v, newTopology(t, Config{Version: v})) })
	}
}

func declareQueue(name string, args ...any) *wire.QueueDeclare {
	return &wire.QueueDeclare{Queue: name, Durable: true, Arguments: table(args...)}
}

func declareExchange(name, kind string, args ...any) *wire.ExchangeDeclare {
	return &wire.ExchangeDeclare{Exchange: name, Type: kind, Durable: true, Arguments: table(args...)}
}

func bindQueue(exchange, key, queue string, args ...any) *wire.QueueBind {
	return &wire.QueueBind{Exchange: exchange, RoutingKey: key, Queue: queue, Arguments: table(args...)}
}

func bindExchange(source, key, destination string, args ...any) *wire.ExchangeBind {
	return &wire.ExchangeBind{Source: source, RoutingKey: key, Destination: destination, Arguments: table(args...)}
}
