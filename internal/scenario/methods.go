package scenario

import (
	"github.com/hareline/hareline/internal/wire"
)

// request is a method that a step sends, and whether it waits for an answer.
type request struct {
	method  wire.Method
	content *message // of a publish
	reply   bool
}

// answered is a request that is answered, unless its step says nowait.
func answered(m wire.Method, nowait bool) request { return request{method: m, reply: !nowait} }

// async is a request without an answer.
func async(m wire.Method) request { return request{method: m} }

// methods build the request of a step from its arguments, by the method's name.
var methods = map[string]func(c *call) request{
	"channel.open": func(*call) request { return answered(&wire.ChannelOpen{}, false) },
	"channel.flow": func(c *call) request { return answered(&wire.ChannelFlow{Active: c.pos("on or off") == "on"}, false) },
	"channel.close": func(c *call) request {
		return answered(&wire.ChannelClose{ReplyCode: uint16(c.optNumber("code", 200, 16)), ReplyText: c.optText("text", "")}, false)
	},
	"channel.close-ok":    func(*call) request { return async(&wire.ChannelCloseOk{}) },
	"confirm.select":      func(c *call) request { n := c.flag("nowait"); return answered(&wire.ConfirmSelect{NoWait: n}, n) },
	"tx.select":           func(*call) request { return answered(&wire.TxSelect{}, false) },
	"tx.commit":           func(*call) request { return answered(&wire.TxCommit{}, false) },
	"tx.rollback":         func(*call) request { return answered(&wire.TxRollback{}, false) },
	"exchange.declare":    exchangeDeclare,
	"exchange.delete":     exchangeDelete,
	"exchange.bind":       exchangeBind,
	"exchange.unbind":     exchangeUnbind,
	"queue.declare":       queueDeclare,
	"queue.bind":          queueBind,
	"queue.unbind":        queueUnbind,
	"queue.purge":         queuePurge,
	"queue.delete":        queueDelete,
	"basic.qos":           basicQos,
	"basic.consume":       basicConsume,
	"basic.cancel":        basicCancel,
	"basic.publish":       basicPublish,
	"basic.get":           basicGet,
	"basic.ack":           basicAck,
	"basic.nack":          basicNack,
	"basic.reject":        basicReject,
	"basic.recover":       func(c *call) request { return answered(&wire.BasicRecover{Requeue: c.flag("requeue")}, false) },
	"basic.recover-async": func(c *call) request { return async(&wire.BasicRecoverAsync{Requeue: c.flag("requeue")}) },
	"connection.close":    connectionClose,
	"connection.close-ok": func(*call) request { return async(&wire.ConnectionCloseOk{}) },
	"connection.start-ok": connectionStartOk,
	"connection.tune-ok":  connectionTuneOk,
	"connection.open":     func(c *call) request { return async(&wire.ConnectionOpen{VirtualHost: c.pos("virtual host")}) },
	"connection.update-secret": func(c *call) request {
		return answered(&wire.ConnectionUpdateSecret{NewSecret: []byte(c.pos("secret")), Reason: c.pos("reason")}, false)
	},
}

func exchangeDeclare(c *call) request {
	m := &wire.ExchangeDeclare{Exchange: c.pos("exchange"), Type: c.pos("type")}
	m.Passive, m.Durable, m.AutoDelete = c.flag("passive"), c.flag("durable"), c.flag("auto-delete")
	m.Internal, m.NoWait = c.flag("internal"), c.flag("nowait")
	m.Arguments = c.table()
	return answered(m, m.NoWait)
}

func exchangeDelete(c *call) request {
	m := &wire.ExchangeDelete{Exchange: c.pos("exchange"), IfUnused: c.flag("if-unused"), NoWait: c.flag("nowait")}
	return answered(m, m.NoWait)
}

func exchangeBind(c *call) request {
	m := &wire.ExchangeBind{Destination: c.pos("destination"), Source: c.pos("source"), RoutingKey: c.pos("routing key")}
	m.NoWait, m.Arguments = c.flag("nowait"), c.table()
	return answered(m, m.NoWait)
}

func exchangeUnbind(c *call) request {
	m := &wire.ExchangeUnbind{Destination: c.pos("destination"), Source: c.pos("source"), RoutingKey: c.pos("routing key")}
	m.NoWait, m.Arguments = c.flag("nowait"), c.table()
	return answered(m, m.NoWait)
}

func queueDeclare(c *call) request {
	m := &wire.QueueDeclare{Queue: c.pos("queue"), Passive: c.flag("passive"), Durable: c.flag("durable")}
	m.Exclusive, m.AutoDelete, m.NoWait = c.flag("exclusive"), c.flag("auto-delete"), c.flag("nowait")
	m.Arguments = c.table()
	return answered(m, m.NoWait)
}

func queueBind(c *call) request {
	m := &wire.QueueBind{Queue: c.pos("queue"), Exchange: c.pos("exchange"), RoutingKey: c.pos("routing key")}
	m.NoWait, m.Arguments = c.flag("nowait"), c.table()
	return answered(m, m.NoWait)
}

func queueUnbind(c *call) request {
	m := &wire.QueueUnbind{Queue: c.pos("queue"), Exchange: c.pos("exchange"), RoutingKey: c.pos("routing key")}
	m.Arguments = c.table()
	return answered(m, false)
}

func queuePurge(c *call) request {
	m := &wire.QueuePurge{Queue: c.pos("queue"), NoWait: c.flag("nowait")}
	return answered(m, m.NoWait)
}

func queueDelete(c *call) request {
	m := &wire.QueueDelete{Queue: c.pos("queue"), IfUnused: c.flag("if-unused"), IfEmpty: c.flag("if-empty"), NoWait: c.flag("nowait")}
	return answered(m, m.NoWait)
}

func basicQos(c *call) request {
	return answered(&wire.BasicQos{
		PrefetchCount: uint16(c.posNumber("prefetch count", 16)),
		PrefetchSize:  uint32(c.optNumber("size", 0, 32)), Global: c.flag("global"),
	}, false)
}

func basicConsume(c *call) request {
	m := &wire.BasicConsume{Queue: c.pos("queue"), ConsumerTag: c.optText("tag", "")}
	m.NoLocal, m.NoAck, m.Exclusive, m.NoWait = c.flag("no-local"), c.flag("no-ack"), c.flag("exclusive"), c.flag("nowait")
	m.Arguments = c.table()
	return answered(m, m.NoWait)
}

func basicCancel(c *call) request {
	m := &wire.BasicCancel{ConsumerTag: c.pos("consumer tag"), NoWait: c.flag("nowait")}
	return answered(m, m.NoWait)
}

func basicPublish(c *call) request {
	m := &wire.BasicPublish{Exchange: c.pos("exchange"), RoutingKey: c.pos("routing key")}
	m.Mandatory, m.Immediate = c.flag("mandatory"), c.flag("immediate")
	return request{method: m, content: c.content()}
}

func basicGet(c *call) request {
	return answered(&wire.BasicGet{Queue: c.pos("queue"), NoAck: c.flag("no-ack")}, false)
}

func basicAck(c *call) request {
	return async(&wire.BasicAck{DeliveryTag: c.posNumber("delivery tag", 64), Multiple: c.flag("multiple")})
}

func basicNack(c *call) request {
	return async(&wire.BasicNack{DeliveryTag: c.posNumber("delivery tag", 64), Multiple: c.flag("multiple"), Requeue: c.flag("requeue")})
}

func basicReject(c *call) request {
	return async(&wire.BasicReject{DeliveryTag: c.posNumber("delivery tag", 64), Requeue: c.flag("requeue")})
}

func connectionClose(c *call) request {
	return answered(&wire.ConnectionClose{ReplyCode: uint16(c.optNumber("code", 200, 16)), ReplyText: c.optText("text", "")}, false)
}

func connectionStartOk(c *call) request {
	return async(startOk(c))
}

func connectionTuneOk(c *call) request {
	return async(tuneOk(c, 2047, 131072))
}

// startOk takes what a client says of itself: user and password for PLAIN, or response for any mechanism.
func startOk(c *call) *wire.ConnectionStartOk {
	m := &wire.ConnectionStartOk{Mechanism: c.optText("mechanism", "PLAIN"), Locale: c.optText("locale", "en_US")}
	user, password := c.optText("user", c.names("<user>")), c.optText("password", c.names("<password>"))
	setBytes(&m.Response, c.optText("response", "\x00"+user+"\x00"+password))
	m.ClientProperties = c.optTable("properties")
	if m.ClientProperties == nil {
		m.ClientProperties = capabilities()
	}
	return m
}

func tuneOk(c *call, channels, frame uint64) *wire.ConnectionTuneOk {
	return &wire.ConnectionTuneOk{
		ChannelMax: uint16(c.optNumber("channel-max", channels, 16)),
		FrameMax:   uint32(c.optNumber("frame-max", frame, 32)),
		Heartbeat:  uint16(c.optNumber("heartbeat", 0, 16)),
	}
}

// setBytes spares the package to know whether a field is a string or bytes.
func setBytes[T ~string | ~[]byte](to *T, s string) { *to = T(s) }

// capabilities are those that every modern client has.
func capabilities() wire.Table {
	all := wire.Table{}
	for _, name := range []string{
		"publisher_confirms", "consumer_cancel_notify", "exchange_exchange_bindings",
		"basic.nack", "connection.blocked", "authentication_failure_close",
	} {
		all = append(all, wire.Field{Key: name, Value: true})
	}
	return wire.Table{{Key: "capabilities", Value: all}}
}
