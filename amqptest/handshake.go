package amqptest

import (
	"errors"
	"math"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// start sends connection.start.
func (c *conn) start(major, minor uint8) {
	c.state = stateStarting
	properties := c.broker.cfg.Version.serverProperties()
	if major == 8 { // it knows of no extensions
		properties = properties.Set("capabilities", wire.Table{})
	}
	c.send(0, &wire.ConnectionStart{
		VersionMajor:     major,
		VersionMinor:     minor,
		ServerProperties: properties,
		Mechanisms:       c.mechanisms(),
		Locales:          "en_US",
	})
}

// method0 does a method on channel 0.
func (c *conn) method0(payload []byte) error {
	m, err := wire.DecodeMethod(payload)
	if err != nil {
		if c.state == stateClosed {
			return nil
		}
		return err
	}
	if e := c.connectionMethod(m); e != nil {
		if e.class == 0 && e.code != codeAccessRefused {
			e.class, e.method = m.ID()
		}
		return e
	}
	return nil
}

// connectionMethod does a method of the connection in its state.
func (c *conn) connectionMethod(m wire.Method) *amqpError {
	if c.state == stateClosed {
		c.closedMethod(m)
		return nil
	}
	if c.broker.faults.on {
		if done, e := c.faulty(m); done {
			return e
		}
	}
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		if c.state == stateStarting {
			return c.startOk(m)
		}
	case *wire.ConnectionSecureOk:
		if c.state == stateSecuring {
			return c.authenticate(m.Response)
		}
	case *wire.ConnectionTuneOk:
		if c.state == stateTuning {
			return c.tuneOk(m)
		}
	case *wire.ConnectionOpen:
		if c.state == stateOpening {
			return c.open(m)
		}
	}
	return c.runningMethod(m)
}

// runningMethod does a method of a connection that is open.
func (c *conn) runningMethod(m wire.Method) *amqpError {
	if c.state == stateRunning {
		switch m := m.(type) {
		case *wire.ConnectionClose:
			c.closeByClient(m)
			return nil
		case *wire.ConnectionUpdateSecret:
			c.log().Debug("asked to update secret", "reason", m.Reason)
			c.send(0, &wire.ConnectionUpdateSecretOk{})
			return nil
		}
	}
	return hardError(codeChannelError, "unexpected method in connection state %s", c.state)
}

// faulty looks for faults before a method of the connection is done. done: it
// was seen to, with the error.
func (c *conn) faulty(m wire.Method) (done bool, _ *amqpError) {
	effect := c.broker.fault(pointOf(c, nil, m))
	switch {
	case effect.cutBefore:
		c.cut()
		return true, nil
	case effect.refuse:
		if start, ok := m.(*wire.ConnectionStartOk); ok {
			c.readClient(start)
		}
		return true, c.refuseLogin()
	case effect.err != nil:
		return true, effect.err
	case effect.cutAfter:
		c.mute = true
		c.broker.later(c.cut)
	}
	return false, nil
}

// closedMethod does a method of a connection of which connection.close or
// -close-ok was sent.
func (c *conn) closedMethod(m wire.Method) {
	switch m.(type) {
	case *wire.ConnectionClose:
		c.send(0, &wire.ConnectionCloseOk{})
	case *wire.ConnectionCloseOk:
		c.end()
	}
}

// closeByClient ends all channels and sends connection.close-ok. The client
// then closes the socket.
func (c *conn) closeByClient(m *wire.ConnectionClose) {
	c.log().Info("closing AMQP connection")
	c.traceClosed("client", m.ReplyCode, m.ReplyText)
	c.releaseChannels()
	c.state = stateClosed
	c.send(0, &wire.ConnectionCloseOk{})
	c.endLater()
}

func (c *conn) startOk(m *wire.ConnectionStartOk) *amqpError {
	c.readClient(m)
	return c.authenticate(m.Response)
}

// readClient takes what the client says of itself.
func (c *conn) readClient(m *wire.ConnectionStartOk) {
	c.properties = m.ClientProperties
	if v, ok := m.ClientProperties.Get("capabilities"); ok {
		t, _ := v.(wire.Table)
		c.capabilities = capabilities{
			consumerCancelNotify:       isTrue(t, "consumer_cancel_notify"),
			connectionBlocked:          isTrue(t, "connection.blocked"),
			authenticationFailureClose: isTrue(t, "authentication_failure_close"),
		}
	}
	c.mechanism = m.Mechanism
	c.state = stateSecuring
}

func isTrue(t wire.Table, key string) bool {
	v, _ := t.Get(key)
	b, _ := v.(bool)
	return b
}

// authenticate logs the client in, and goes on to connection.tune.
func (c *conn) authenticate(response []byte) *amqpError {
	name, err := c.login(response)
	var refused *loginError
	switch {
	case errors.As(err, &refused):
		return c.refuseLogin()
	case err != nil:
		return hardError(codeSyntaxError, "%s", err.Error())
	}
	c.user = name
	c.tags = c.broker.cfg.Users[name].Tags
	c.state = stateTuning
	c.send(0, &wire.ConnectionTune{
		ChannelMax: c.broker.cfg.ChannelMax,
		FrameMax:   c.broker.cfg.FrameMax,
		Heartbeat:  heartbeatSeconds(c.broker.cfg.Heartbeat),
	})
	return nil
}

// refuseLogin tells a client that wants to be told, and closes the socket.
// RabbitMQ waits three seconds before it does so, against those who try many
// passwords; this one does not.
func (c *conn) refuseLogin() *amqpError {
	e := hardError(codeAccessRefused,
		"Login was refused using authentication mechanism %s. For details see the broker logfile.", c.mechanism)
	if c.capabilities.authenticationFailureClose {
		c.send(0, &wire.ConnectionClose{ReplyCode: e.code, ReplyText: e.text})
		c.told403 = true
	}
	c.log().Error("login refused", "mechanism", c.mechanism, "claimed", c.claimed)
	return e
}

// heartbeatSeconds is an interval in connection.tune: whole seconds, at least
// one unless there are no heartbeats.
func heartbeatSeconds(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min(math.MaxUint16, max(1, (d+time.Second-1)/time.Second)))
}

func (c *conn) tuneOk(m *wire.ConnectionTuneOk) *amqpError {
	v := c.broker.cfg.Version
	if e := negotiated("frame_max", int(m.FrameMax), int(v.frameMin()), int(c.broker.cfg.FrameMax)); e != nil {
		return e
	}
	if e := negotiated("channel_max", int(m.ChannelMax), 1, int(c.broker.cfg.ChannelMax)); e != nil {
		return e
	}
	c.frameMax, c.channelMax = m.FrameMax, m.ChannelMax
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	c.in.SetLimit(m.FrameMax)
	c.state = stateOpening
	return nil
}

// negotiated checks what a client answered to connection.tune. 0: no limit.
func negotiated(field string, value, least, most int) *amqpError {
	var e *amqpError
	switch {
	case value != 0 && value < least:
		e = hardError(codeNotAllowed, "negotiated %s = %d is lower than the minimum allowed value (%d)", field, value, least)
	case most != 0 && (value == 0 || value > most):
		e = hardError(codeNotAllowed, "negotiated %s = %d is higher than the maximum allowed value (%d)", field, value, most)
	default:
		return nil
	}
	// RabbitMQ trips over its own error here and closes the socket silently.
	e.drop = true
	return e
}

// frameMin is the least frame_max that a client may ask for, and the limit
// until it asked.
func (v Version) frameMin() uint32 {
	if v.atLeast43() {
		return 8192
	}
	return wire.FrameMinSize
}

func (c *conn) open(m *wire.ConnectionOpen) *amqpError {
	b := c.broker
	vh := b.vhosts[m.VirtualHost]
	if vh == nil {
		return hardError(codeNotAllowed, "vhost %s not found", m.VirtualHost)
	}
	if _, ok := b.grantsOf(c.user, vh.name); !ok {
		return hardError(codeNotAllowed, "access to vhost '%s' refused for user '%s'", vh.name, c.user)
	}
	c.vhost = vh
	c.state = stateRunning
	c.readTimeout.negotiated(c.heartbeat)
	c.beats <- c.heartbeat
	c.send(0, &wire.ConnectionOpenOk{})
	c.log().Info("user authenticated and granted access to vhost", "name", c.clientName())
	if b.tracer.on {
		b.trace(Event{Kind: EventConnectionOpened, Connection: c.id, VHost: vh.name, Text: c.clientName(), Reason: c.user})
	}
	return nil
}

// serverProperties are those of connection.start, in RabbitMQ's order.
func (v Version) serverProperties() wire.Table {
	capabilities := wire.Table{}
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		capabilities = append(capabilities, wire.Field{Key: name, Value: true})
	}
	copyright := "Copyright (c) 2007-2024 Broadcom Inc and/or its subsidiaries"
	platform := "Erlang/OTP 27.3.4.1"
	switch v {
	case V310:
		copyright = "Copyright (c) 2007-2022 VMware, Inc. or its affiliates."
		platform = "Erlang/OTP 25.2.3"
	case V43:
		copyright = "Copyright (c) 2007-2026 Broadcom Inc and/or its subsidiaries"
		platform = "Erlang/OTP 29.1.1"
	}
	return wire.Table{
		{Key: "capabilities", Value: capabilities},
		{Key: "cluster_name", Value: clusterName},
		{Key: "copyright", Value: copyright},
		{Key: "information", Value: "Licensed under the MPL 2.0. Website: https://rabbitmq.com"},
		{Key: "platform", Value: platform},
		{Key: "product", Value: "RabbitMQ"},
		{Key: "version", Value: v.release()},
	}
}

// clusterName is the name of the one node and of its cluster.
const clusterName = "rabbit@amqptest"
