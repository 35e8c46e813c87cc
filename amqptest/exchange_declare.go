package amqptest

import (
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// argAlternate is an exchange's argument that names its alternate exchange.
const argAlternate = "alternate-exchange"

func (ch *channel) exchangeDeclare(m *wire.ExchangeDeclare) *amqpError {
	err := ch.declareExchange(m)
	if err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeDeclareOk{})
	return nil
}

func (ch *channel) declareExchange(m *wire.ExchangeDeclare) *amqpError {
	name := stripped(m.Exchange)
	if m.Passive {
		return ch.findExchange(name)
	}
	vh := ch.conn.vhost
	if err := vh.broker.checkExchangeKind(m.Type); err != nil {
		return err
	}
	if name == "" {
		return notOnTheDefaultExchange()
	}
	if err := ch.may(configure, "exchange", name); err != nil {
		return err
	}
	if x, ok := vh.exchanges[name]; ok {
		return x.checkEquivalent(m)
	}
	if err := ch.checkNewExchange(name, m); err != nil {
		return err
	}
	vh.addExchange(&exchange{
		name: name, kind: m.Type, durable: m.Durable, autoDelete: m.AutoDelete, internal: m.Internal, args: m.Arguments,
	})
	if vh.broker.tracer.on {
		vh.broker.trace(Event{
			Kind: EventExchangeDeclared, Connection: ch.conn.id, Channel: ch.id, VHost: vh.name, Exchange: name, Type: m.Type,
		})
	}
	return nil
}

// findExchange is a passive declaration.
func (ch *channel) findExchange(name string) *amqpError {
	vh := ch.conn.vhost
	if vh.broker.cfg.Version.atLeast43() {
		if err := ch.conn.mayAny("exchange", name); err != nil {
			return err
		}
	}
	if name == "" {
		return notOnTheDefaultExchange()
	}
	if _, ok := vh.exchanges[name]; !ok {
		return vh.notFound("exchange", name)
	}
	return nil
}

// checkExchangeKind refuses types of exchanges that the broker does not have.
func (b *Broker) checkExchangeKind(kind string) *amqpError {
	if b.hasExchangeKind(kind) {
		return nil
	}
	what := "unknown"
	if b.cfg.Version.isAtom(kind) {
		what = "invalid"
	}
	if !b.cfg.Version.atLeast40() {
		return hardError(codeCommandInvalid, "%s exchange type '%s'", what, kind)
	}
	return softError(codePreconditionFailed, "%s exchange type '%s'", what, kind)
}

// commonAtoms are words that a running RabbitMQ has as atoms, as far as anybody
// may take them for a type of exchange; it has each letter from a to z, too.
const commonAtoms = " X absent all any bad bar binding broadcast classic dead default dlx error exchange false foo hash header " +
	"internal invalid key kind local match message missing multicast name nil no none normal nothing null queue quorum " +
	"rabbit rabbitmq random retry route simple stream sub system test true type undefined unknown yes "

// isAtom is whether RabbitMQ has the word as an atom: then a type of that name
// is invalid, else it is unknown.
func (v Version) isAtom(word string) bool {
	more := map[Version]string{
		V310: " Direct special work ",
		V40:  " special ",
		V43:  " delayed work x-jms-topic x-random ",
	}[v]
	if len(word) < 2 {
		return word == "" || word[0] >= 'a' && word[0] <= 'z' || word == "X"
	}
	return !strings.Contains(word, " ") && (strings.Contains(commonAtoms, " "+word+" ") || strings.Contains(more, " "+word+" "))
}

func (ch *channel) checkNewExchange(name string, m *wire.ExchangeDeclare) *amqpError {
	if err := checkNewName("exchange", name); err != nil {
		return err
	}
	if v, ok := m.Arguments.Get(argAlternate); ok {
		alternate, isText := v.(string)
		if !isText {
			return softError(codePreconditionFailed, "invalid type '%s' for arg '%s' in %s",
				string(fieldType(v)), argAlternate, ch.conn.vhost.resource("exchange", name))
		}
		if err := ch.may(read, "exchange", name); err != nil {
			return err
		}
		if err := ch.may(write, "exchange", alternate); err != nil {
			return err
		}
	}
	if m.Type == kindConsistentHash {
		return checkHashExchange(m.Arguments)
	}
	return nil
}

func (ch *channel) exchangeDelete(m *wire.ExchangeDelete) *amqpError {
	name := stripped(m.Exchange)
	vh := ch.conn.vhost
	if name == "" {
		return notOnTheDefaultExchange()
	}
	if strings.HasPrefix(name, "amq.") {
		return softError(codeAccessRefused, "deletion of system %s not allowed", vh.resource("exchange", name))
	}
	if err := ch.may(configure, "exchange", name); err != nil {
		return err
	}
	if x, ok := vh.exchanges[name]; ok {
		if m.IfUnused && len(x.bindings) > 0 {
			return softError(codePreconditionFailed, "%s in use", vh.resource("exchange", name))
		}
		vh.deleteExchange(x)
	}
	ch.reply(m.NoWait, &wire.ExchangeDeleteOk{})
	return nil
}
