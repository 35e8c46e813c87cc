package amqptest

import (
	"math/big"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// publication is a publish that was checked.
type publication struct {
	msg       *message
	exchange  *exchange
	mandatory bool
	seq       uint64 // its number on a channel that confirms; 0: none
	// routed are the queues that it was for when it was published, in a
	// transaction.
	routed []*queue
}

// publish does a basic.publish.
func (ch *channel) publish(in *content) *amqpError {
	p := publication{mandatory: in.mandatory}
	if e := ch.checkPublish(in, &p); e != nil {
		return e
	}
	if e := ch.conn.broker.checkReplyNames(p.msg); e != nil {
		return e
	}
	ch.counts.publish++
	if ch.tx != nil {
		p.routed = slices.Clone(ch.conn.vhost.route(p.exchange, p.msg))
		if ch.answersAtOnce() {
			ch.conn.broker.answer(p.msg)
		}
		ch.tx.publications = append(ch.tx.publications, p)
		return nil
	}
	return ch.deliver(&p, ch.conn.vhost.route(p.exchange, p.msg))
}

// checkPublish makes the message of a publish, or refuses it, in RabbitMQ's
// order.
func (ch *channel) checkPublish(in *content, p *publication) *amqpError {
	c := ch.conn
	if in.immediate {
		return hardError(codeNotImplemented, "immediate=true")
	}
	if e := c.broker.checkSize(in.size); e != nil {
		return e
	}
	if e := ch.may(write, "exchange", in.exchange); e != nil {
		return e
	}
	p.exchange = c.vhost.exchanges[in.exchange]
	if p.exchange == nil {
		return softError(codeNotFound, "no exchange '%s' in vhost '%s'", in.exchange, c.vhost.name)
	}
	if p.exchange.internal {
		return softError(codeAccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", in.exchange, c.vhost.name)
	}
	header := in.data[:in.properties:in.properties]
	props, err := wire.DecodeProperties(header)
	if err != nil {
		// The process that reads them fails in RabbitMQ.
		return crashError()
	}
	p.msg = &message{exchange: in.exchange, key: in.key, props: props, header: header, body: in.data[in.properties:]}
	return ch.checkMessage(p)
}

// checkMessage checks the properties.
func (ch *channel) checkMessage(p *publication) *amqpError {
	v := ch.conn.broker.cfg.Version
	if e := ch.setReplyTo(p.msg); e != nil {
		return e
	}
	if !v.atLeast40() {
		if e := ch.checkUserID(p.msg); e != nil {
			return e
		}
	}
	if e := checkExpiration(p.msg, v); e != nil {
		return e
	}
	if ch.confirming || ch.tx != nil {
		ch.published++
		p.seq = ch.published
	}
	if e := readExtraKeys(p.msg); e != nil {
		return e
	}
	if v.atLeast40() {
		return ch.checkUserID(p.msg)
	}
	if mode := p.msg.props.DeliveryMode; p.msg.props.Has(wire.FlagDeliveryMode) && mode != 1 && mode != 2 {
		return softError(codePreconditionFailed, "invalid message: {delivery_mode_unknown,%d}", mode)
	}
	return nil
}

func (b *Broker) checkSize(size uint64) *amqpError {
	most := uint64(b.cfg.MaxMessageSize)
	if size <= most {
		return nil
	}
	if most == maxSize {
		return softError(codePreconditionFailed, "message size %d is larger than max size %d", size, most)
	}
	return softError(codePreconditionFailed, "message size %d is larger than configured max size %d", size, most)
}

func (ch *channel) checkUserID(m *message) *amqpError {
	if !m.props.Has(wire.FlagUserID) || m.props.UserID == ch.conn.user || ch.conn.impersonates() {
		return nil
	}
	return softError(codePreconditionFailed, "user_id property set to '%s' but authenticated user was '%s'",
		m.props.UserID, ch.conn.user)
}

// maxExpiry is the longest time to live, ten years of 365 days, in
// milliseconds.
const maxExpiry = 315_360_000_000

// checkExpiration refuses an expiration that is no number of milliseconds. Since
// 4.0 it is delivered as the broker writes it: without a plus and zeros before.
func checkExpiration(m *message, v Version) *amqpError {
	if !m.props.Has(wire.FlagExpiration) {
		return nil
	}
	s := m.props.Expiration
	var why any
	switch n, rest := leadingInt(s); {
	case n == nil:
		why = termAtom("no_integer")
	case rest != "":
		why = termTuple{termAtom("leftover_string"), characters(rest)}
	case n.Sign() < 0:
		return invalidExpiration(s, "{value_negative,"+n.String()+"}")
	case n.Cmp(big.NewInt(maxExpiry)) > 0:
		return invalidExpiration(s, "{value_too_large,"+n.String()+"}")
	default:
		if v.atLeast40() && n.String() != s {
			m.props.Expiration, m.header = n.String(), nil
		}
		return nil
	}
	return invalidExpiration(s, termOf(v, why))
}

// characters is a list of characters as a term: a string if all of them can be
// printed.
func characters(s string) any {
	list := make(termList, len(s))
	printable := true
	for i := range len(s) {
		list[i] = int64(s[i])
		printable = printable && s[i] >= ' ' && s[i] != 0x7f && (s[i] < 0x80 || s[i] >= 0xa0)
	}
	if printable {
		return termString(s)
	}
	return list
}

func invalidExpiration(s, why string) *amqpError {
	return softError(codePreconditionFailed, "invalid expiration '%s': %s", s, why)
}

// leadingInt reads the number that s begins with as Erlang's
// string:to_integer does; nil: there is none.
func leadingInt(s string) (*big.Int, string) {
	digits := strings.TrimLeft(s, "0123456789")
	signed := len(digits) == len(s) && len(s) > 0 && (s[0] == '+' || s[0] == '-')
	if signed {
		digits = strings.TrimLeft(s[1:], "0123456789")
	}
	number := strings.TrimPrefix(s[:len(s)-len(digits)], "+")
	n, ok := new(big.Int).SetString(number, 10)
	if !ok {
		return nil, s
	}
	return n, digits
}

// readExtraKeys reads the routing keys in the headers CC and BCC. BCC is taken
// out of the message.
func readExtraKeys(m *message) *amqpError {
	if len(m.props.Headers) == 0 {
		return nil
	}
	for _, name := range [...]string{"CC", "BCC"} {
		v, ok := m.props.Headers.Get(name)
		if !ok {
			continue
		}
		keys, ok := v.([]any)
		if !ok {
			return softError(codePreconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name, fieldType(v))
		}
		for _, k := range keys {
			if s, ok := k.(string); ok {
				m.extra = append(m.extra, s)
				if name == "BCC" {
					m.bcc = append(m.bcc, s)
				}
			}
		}
	}
	if _, ok := m.props.Headers.Get("BCC"); ok {
		m.props.Headers = m.props.Headers.Without("BCC")
		m.header = nil
	}
	return nil
}

// deliver puts a publication into its queues; then it is returned or confirmed
// as need be.
func (ch *channel) deliver(p *publication, queues []*queue) *amqpError {
	b := ch.conn.broker
	var effect faultEffect
	if b.faults.on {
		effect = b.fault(publishPoint(ch, p.msg.exchange, p.msg.key, queues))
		switch {
		case effect.cutBefore:
			ch.conn.cut()
			return nil
		case effect.err != nil:
			return effect.err
		case effect.cutAfter:
			ch.conn.sendConfirms()
			ch.conn.mute = true
			b.later(ch.conn.cut)
		}
	}
	if effect.nack {
		ch.tracePublished(p, nil, "fault")
		ch.conclude(p, false, &effect)
		return nil
	}
	var answered []string // of queues
	switch {
	case !ch.answersAtOnce():
		answered = b.answer(p.msg)
	case ch.tx == nil:
		b.answer(p.msg)
	}
	routed := len(queues) + len(answered)
	switch {
	case routed == 0 && p.mandatory:
		ch.returnMessage(p.msg)
	case routed == 0:
		ch.counts.unroutable++
	}
	accepted := ch.enqueue(p, queues, answered)
	ch.conclude(p, accepted, &effect)
	if routed == 0 && p.seq != 0 && effect.confirm == nil && ch.tx == nil {
		// RabbitMQ confirms these on the spot.
		ch.flushConfirms()
	}
	return nil
}

// enqueue puts a publication into queues; false: one of them refused it. took
// are those that have it already.
func (ch *channel) enqueue(p *publication, queues []*queue, took []string) bool {
	accepted := true
	tracing := ch.conn.broker.tracer.on
	for _, q := range queues {
		if !q.enqueue(p.msg) {
			accepted = false
			continue
		}
		if tracing {
			took = append(took, q.name)
		}
	}
	if tracing {
		reason := ""
		switch {
		case len(queues)+len(took) == 0:
			reason = "unroutable"
		case !accepted:
			reason = "refused"
		}
		ch.tracePublished(p, took, reason)
	}
	return accepted
}

// returnMessage sends basic.return. It goes out before the confirm.
func (ch *channel) returnMessage(m *message) {
	const noRoute = "NO_ROUTE"
	ch.counts.returned++
	ch.conn.sendContent(ch.id, &wire.BasicReturn{
		ReplyCode: codeNoRoute, ReplyText: noRoute, Exchange: m.exchange, RoutingKey: m.key,
	}, m.encoded(), m.body)
	if b := ch.conn.broker; b.tracer.on {
		b.trace(Event{
			Kind: EventReturned, Connection: ch.conn.id, Channel: ch.id, VHost: ch.conn.vhost.name,
			Exchange: m.exchange, Key: m.key, MessageID: m.props.MessageID, Code: codeNoRoute, Text: noRoute,
		})
	}
}

// encoded are the message's properties as on the wire.
func (m *message) encoded() []byte {
	if m.header != nil {
		return m.header
	}
	return wire.AppendProperties(nil, &m.props)
}

func (ch *channel) tracePublished(p *publication, took []string, reason string) {
	b := ch.conn.broker
	if !b.tracer.on {
		return
	}
	e := Event{
		Kind: EventPublished, Connection: ch.conn.id, Channel: ch.id, VHost: ch.conn.vhost.name,
		Exchange: p.msg.exchange, Key: p.msg.key, MessageID: p.msg.props.MessageID, Queues: took, Reason: reason,
	}
	if ch.confirming {
		e.Tag = p.seq
	}
	b.trace(e)
}
