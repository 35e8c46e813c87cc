package amqptest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// Alarm raises the alarm of a resource, "memory" or "disk", as a node does that
// runs low on it: a connection that publishes is blocked at its next publish.
// Nothing more is read from it, not even heartbeats, and it is told so
// (connection.blocked) if it can be. Connections that only consume go on.
// It lasts until [Broker.ClearAlarm], also if a fault raised it for a time.
// Another resource is an error.
func (b *Broker) Alarm(resource string) error {
	if err := checkResource(resource); err != nil {
		return err
	}
	b.lock()
	defer b.unlock()
	b.raiseAlarm(resource)
	return nil
}

// ClearAlarm ends the alarm of a resource. When it was the last, blocked
// connections go on where they stopped.
func (b *Broker) ClearAlarm(resource string) error {
	if err := checkResource(resource); err != nil {
		return err
	}
	b.lock()
	defer b.unlock()
	b.clearAlarm(resource)
	return nil
}

func checkResource(resource string) error {
	if resource == "memory" || resource == "disk" {
		return nil
	}
	return fmt.Errorf("amqptest: there is no alarm of %q: give memory or disk", resource)
}

// raiseAlarm raises an alarm until it is cleared, one that has an end too.
func (b *Broker) raiseAlarm(resource string) {
	b.alarmEnds[resource].stop()
	delete(b.alarmEnds, resource)
	b.setAlarm(resource)
}

// raiseAlarmFor raises an alarm that ends by itself after d, unless it was
// raised for longer.
func (b *Broker) raiseAlarmFor(resource string, d time.Duration) {
	if b.closed {
		return
	}
	end := b.alarmEnds[resource]
	if b.alarms[resource] && (end == nil || end.at.After(b.clock.now().Add(d))) {
		return
	}
	end.stop()
	if b.alarmEnds == nil {
		b.alarmEnds = make(map[string]*timer)
	}
	b.alarmEnds[resource] = b.clock.after(d, func() { b.clearAlarm(resource) })
	b.setAlarm(resource)
}

func (b *Broker) setAlarm(resource string) {
	if b.alarms[resource] || b.closed {
		return
	}
	b.alarms[resource] = true
	b.cfg.Logger.Warn("resource limit alarm set", "resource", resource)
	if b.tracer.on {
		b.trace(Event{Kind: EventAlarmRaised, Reason: resource})
	}
}

func (b *Broker) clearAlarm(resource string) {
	if !b.alarms[resource] {
		return
	}
	delete(b.alarms, resource)
	b.alarmEnds[resource].stop()
	delete(b.alarmEnds, resource)
	b.cfg.Logger.Warn("resource limit alarm cleared", "resource", resource)
	if b.tracer.on {
		b.trace(Event{Kind: EventAlarmCleared, Reason: resource})
	}
	if len(b.alarms) > 0 {
		return
	}
	for _, c := range b.connsInOrder() {
		c.unblock()
	}
}

// publishSeen blocks the connection if there is an alarm. It is called for each
// content frame of a client: RabbitMQ reads a publish up to its header then,
// and does not even take its body.
func (c *conn) publishSeen() {
	if len(c.broker.alarms) == 0 || c.blocked.Load() || c.state != stateRunning {
		return
	}
	c.blocked.Store(true)
	reason := "low on " + strings.Join(slices.Sorted(maps.Keys(c.broker.alarms)), " & ")
	if c.capabilities.connectionBlocked && !c.told {
		c.told = true
		c.send(0, &wire.ConnectionBlocked{Reason: reason})
	}
	if b := c.broker; b.tracer.on {
		b.trace(Event{Kind: EventConnectionBlocked, Connection: c.id, VHost: c.vhostName(), Text: reason})
	}
}

// unblock has the reader go on.
func (c *conn) unblock() {
	if !c.blocked.Load() || c.state != stateRunning {
		return
	}
	c.blocked.Store(false)
	if c.told {
		c.told = false
		c.send(0, &wire.ConnectionUnblocked{})
	}
	if b := c.broker; b.tracer.on {
		b.trace(Event{Kind: EventConnectionUnblocked, Connection: c.id, VHost: c.vhostName()})
	}
	c.wakeReader()
}
