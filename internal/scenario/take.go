package scenario

import (
	"context"

	"github.com/hareline/hareline/internal/wire"
)

// isReply tells whether m answers the method of that class and number. Numbers follow each other, but for basic.get,
// which has two answers, and exchange.unbind (40, 40), whose is 51.
func isReply(m wire.Method, class, method uint16) bool {
	c, n := m.ID()
	switch {
	case c != class:
		return false
	case class == 60 && method == 70:
		return n == 71 || n == 72
	case class == 40 && method == 40:
		return n == 51
	}
	return n == method+1
}

// take shows an event and answers it where the protocol wants it. It is true when the channel or the connection ended.
func (p *player) take(ctx context.Context, c *conn, number uint16, e event) (over bool) {
	if c.closed && e.text == ended {
		return true
	}
	ch := p.state(c, number)
	for kind, n := range p.kinds(ch, e) {
		ch.seen[kind] += n
	}
	if tags, acked := confirmed(ch, e.method); tags != nil {
		p.out.confirm(c, number, tags, acked)
		return false
	}
	p.out.add(c, number, e.lines()...)
	if c.raw {
		c.closed = e.text == ended
		return c.closed
	}
	return p.answer(ctx, c, number, ch, e)
}

func (p *player) answer(ctx context.Context, c *conn, number uint16, ch *channel, e event) (over bool) {
	switch e.method.(type) {
	case nil:
		c.closed = e.text == ended
		return c.closed
	case *wire.ConfirmSelectOk:
		ch.confirming = true
	case *wire.ChannelOpenOk:
		ch.open = true
	case *wire.ChannelClose:
		ch.open, ch.shut, ch.unconfirmed = false, true, nil
		_ = c.write(ctx, wire.AppendMethod(nil, number, &wire.ChannelCloseOk{}))
		return true
	case *wire.ChannelCloseOk:
		ch.open, ch.shut, ch.unconfirmed = false, true, nil
		return true
	case *wire.ConnectionClose:
		c.closed = true
		_ = c.write(ctx, wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{}))
		return true
	case *wire.ConnectionCloseOk:
		c.closed = true
		return true
	}
	return false
}

// kinds are the names under which expect counts the event, and how often.
func (p *player) kinds(ch *channel, e event) map[string]int {
	switch m := e.method.(type) {
	case nil:
		if e.text == ended {
			return map[string]int{"any": 1, "close": 1, "eof": 1}
		}
	case *wire.BasicDeliver:
		return map[string]int{"any": 1, "deliver": 1}
	case *wire.BasicReturn:
		return map[string]int{"any": 1, "return": 1}
	case *wire.BasicCancel:
		return map[string]int{"any": 1, "cancel": 1}
	case *wire.ChannelClose, *wire.ConnectionClose:
		return map[string]int{"any": 1, "close": 1}
	case *wire.ConnectionBlocked:
		return map[string]int{"any": 1, "blocked": 1}
	case *wire.ConnectionUnblocked:
		return map[string]int{"any": 1, "unblocked": 1}
	case *wire.BasicAck:
		return map[string]int{"any": 1, "confirm": covered(ch, m.DeliveryTag, m.Multiple)}
	case *wire.BasicNack:
		return map[string]int{"any": 1, "confirm": covered(ch, m.DeliveryTag, m.Multiple)}
	}
	return map[string]int{"any": 1}
}

// covered is how many publishes a confirm is for.
func covered(ch *channel, tag uint64, multiple bool) int {
	if !multiple {
		return 1
	}
	n := 0
	for _, t := range ch.unconfirmed {
		if t <= tag || tag == 0 {
			n++
		}
	}
	return n
}

// confirmed takes the publishes out of unconfirmed that m confirms.
func confirmed(ch *channel, m wire.Method) (tags []uint64, acked bool) {
	var tag uint64
	var multiple bool
	switch m := m.(type) {
	case *wire.BasicAck:
		tag, multiple, acked = m.DeliveryTag, m.Multiple, true
	case *wire.BasicNack:
		tag, multiple = m.DeliveryTag, m.Multiple
	default:
		return nil, false
	}
	var left []uint64
	for _, t := range ch.unconfirmed {
		if t == tag || multiple && (t <= tag || tag == 0) {
			tags = append(tags, t)
		} else {
			left = append(left, t)
		}
	}
	ch.unconfirmed = left
	return tags, acked
}
