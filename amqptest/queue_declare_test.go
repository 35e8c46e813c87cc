package amqptest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

func TestQueuesRefused(t *testing.T) {
	eachTopology(t, func(_ *testing.T, v Version, p *topology) {
		p.refused("ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'", declareQueue("amq.q"))
		p.refused("NOT_FOUND - no queue 'none' in vhost '/'", &wire.QueueDeclare{Queue: "none", Passive: true})
		p.refused("NOT_FOUND - no queue '' in vhost '/'", &wire.QueueDeclare{Passive: true})
		p.refused("NOT_FOUND - no queue 'none' in vhost '/'", &wire.QueuePurge{Queue: "none"})
		p.refused("NOT_FOUND - no previously declared queue", &wire.QueuePurge{})
		p.refused("NOT_FOUND - no previously declared queue", &wire.QueueDelete{})
		p.refused("PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue", declareQueue("", "x-queue-type", "quorum"))
		crash := "connection: INTERNAL_ERROR"
		if v.atLeast43() {
			p.refused("PRECONDITION_FAILED - unknown queue type 'bogus'", declareQueue("", "x-queue-type", "bogus"))
			p.refused(crash, declareQueue("amq.rabbitmq.reply-to.x"))
		} else {
			p.refused(crash, declareQueue("", "x-queue-type", "bogus"))
			p.refused("NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'", declareQueue("amq.rabbitmq.reply-to.x"))
		}
		p.refused(crash, declareQueue("", "x-queue-type", int32(1)))
		p.must(&wire.QueueDelete{Queue: "none"}, &wire.QueueDelete{Queue: "none", IfEmpty: true, IfUnused: true})
	})
}

func TestServerNamedQueues(t *testing.T) {
	p := newTopology(t, Config{})
	seen := make(map[string]bool)
	for range 100 {
		p.must(&wire.QueueDeclare{Exclusive: true})
		if !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(p.lastQueue) || seen[p.lastQueue] {
			t.Fatalf("queue %q", p.lastQueue)
		}
		seen[p.lastQueue] = true
	}
	name := p.lastQueue
	p.must(&wire.QueueDeclare{Queue: name, Passive: true})
	p.refused("ACCESS_REFUSED - queue name '"+name+"' contains reserved prefix 'amq.*'", &wire.QueueDeclare{Queue: name, Exclusive: true})
	p.must(&wire.QueueDelete{})
	p.refused("NOT_FOUND - no queue '"+name+"' in vhost '/'", &wire.QueueDeclare{Queue: name, Passive: true})
}

func TestLineEndsInNames(t *testing.T) {
	p := newTopology(t, Config{})
	p.must(declareQueue("q\r\n"), &wire.QueueDeclare{Queue: "\nq", Passive: true}, bindQueue("amq.\ndirect", "k", "q\n"),
		declareExchange("x\n", "direct"), &wire.ExchangeDeclare{Exchange: "x", Passive: true})
	expectRoute(t, p, &message{exchange: "amq.direct", key: "k"}, "q")
}

func TestDeleteConditions(t *testing.T) {
	const only = " flag set are not supported by quorum queues"
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r := dialRaw(t, b)
		for _, kind := range []string{"classic", "quorum", "stream"} {
			call[*wire.QueueDeclareOk](r, declareQueue(kind, "x-queue-type", kind))
			r.publish("", kind, "m")
		}
		call[*wire.BasicQosOk](r, &wire.BasicQos{PrefetchCount: 1})
		r.send(1, &wire.QueueDelete{Queue: "classic", IfEmpty: true})
		r.expectClosed(1, 406, "PRECONDITION_FAILED - queue 'classic' in vhost '/' not empty")
		r.open(1)
		call[*wire.QueuePurgeOk](r, &wire.QueuePurge{Queue: "classic"})
		call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "classic"})
		r.send(1, &wire.QueueDelete{Queue: "classic", IfUnused: true, IfEmpty: true})
		r.expectClosed(1, 406, "PRECONDITION_FAILED - queue 'classic' in vhost '/' in use")
		r.open(1)
		call[*wire.QueueDeleteOk](r, &wire.QueueDelete{Queue: "classic", IfUnused: true, IfEmpty: true})
		call[*wire.QueueDeleteOk](r, &wire.QueueDelete{Queue: "stream", IfUnused: true, IfEmpty: true})
		r.send(1, &wire.QueueDelete{Queue: "quorum", IfEmpty: true, IfUnused: true})
		r.expectConnectionClosed(540, "NOT_IMPLEMENTED - cannot delete queue 'quorum' in vhost '/'. queue.delete operations with if-unused"+only)
		r = dialRaw(t, b)
		r.send(1, &wire.QueueDelete{Queue: "quorum", IfEmpty: true})
		r.expectConnectionClosed(540, "NOT_IMPLEMENTED - cannot delete queue 'quorum' in vhost '/'. queue.delete operations with if-empty"+only)
		r = dialRaw(t, b)
		if n := call[*wire.QueueDeleteOk](r, &wire.QueueDelete{Queue: "quorum"}).MessageCount; n != 1 {
			t.Errorf("deleted with %d messages", n)
		}
	})
}

func TestPurge(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r := dialRaw(t, b)
		for _, kind := range []string{"classic", "quorum"} {
			call[*wire.QueueDeclareOk](r, declareQueue(kind, "x-queue-type", kind))
			r.publish("", kind, "a")
			r.publish("", kind, "b")
			r.send(1, &wire.BasicGet{Queue: kind})
			expectContent[*wire.BasicGetOk](r, 1)
			if n := call[*wire.QueuePurgeOk](r, &wire.QueuePurge{}).MessageCount; n != 1 {
				t.Errorf("%s: purged %d", kind, n)
			}
		}
		call[*wire.QueueDeclareOk](r, declareQueue("stream", "x-queue-type", "stream"))
		r.send(1, &wire.QueuePurge{})
		r.expectConnectionClosed(540, "NOT_IMPLEMENTED - queue.purge not supported by stream queues queue 'stream' in vhost '/'")
	})
}

func TestExclusiveQueues(t *testing.T) {
	locked := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on " +
		"another connection or the exclusive property value does not match that of the original declaration."
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		owner, other := dialRaw(t, b), dialRaw(t, b)
		call[*wire.QueueDeclareOk](owner, &wire.QueueDeclare{Queue: "q", Durable: true, Exclusive: true})
		call[*wire.QueueDeclareOk](owner, &wire.QueueDeclare{Queue: "q", Exclusive: true}) // they are never durable
		for _, m := range []wire.Method{
			&wire.QueueDeclare{Queue: "q"}, &wire.QueueDeclare{Queue: "q", Exclusive: true}, &wire.QueueDeclare{Queue: "q", Passive: true},
			bindQueue("amq.direct", "k", "q"), &wire.QueueDelete{Queue: "q"}, &wire.QueuePurge{Queue: "q"},
			&wire.BasicGet{Queue: "q"}, &wire.BasicConsume{Queue: "q"},
		} {
			other.send(1, m)
			other.expectClosed(1, 405, locked)
			other.open(1)
		}
		owner.send(1, &wire.QueueDeclare{Queue: "q"})
		owner.expectClosed(1, 405, locked)
		owner.open(1)
		call[*wire.QueueBindOk](owner, bindQueue("amq.direct", "k", "q"))
		call[*wire.QueueUnbindOk](other, &wire.QueueUnbind{Exchange: "amq.direct", RoutingKey: "none", Queue: "q"})
		other.send(1, &wire.QueueUnbind{Exchange: "amq.direct", RoutingKey: "k", Queue: "q"})
		other.expectClosed(1, 405, locked)
		other.open(1)
		owner.send(0, &wire.ConnectionClose{ReplyCode: 200})
		expect[*wire.ConnectionCloseOk](owner, 0)
		other.send(1, &wire.QueueDeclare{Queue: "q", Passive: true})
		other.expectClosed(1, 404, "NOT_FOUND - no queue 'q' in vhost '/'")
	})
}

func TestNoWait(t *testing.T) {
	r := dialRaw(t, New(t))
	r.send(1, &wire.QueueDeclare{Queue: "q", NoWait: true}, &wire.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true},
		&wire.QueueBind{Exchange: "x", NoWait: true}, &wire.ExchangeBind{Source: "x", Destination: "amq.direct", NoWait: true},
		&wire.ExchangeUnbind{Source: "x", Destination: "amq.direct", NoWait: true})
	r.publish("x", "", "m")
	if ok := call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q", Passive: true}); ok.MessageCount != 1 {
		t.Errorf("%+v", ok)
	}
	r.send(1, &wire.QueuePurge{Queue: "q", NoWait: true}, &wire.QueueDelete{Queue: "q", NoWait: true}, &wire.ExchangeDelete{Exchange: "x", NoWait: true})
	r.send(1, &wire.QueueDeclare{Queue: "q", Passive: true})
	r.expectClosed(1, 404, "NOT_FOUND - no queue 'q' in vhost '/'")
}

// permitted is a user with these rights in the virtual host "/".
func permitted(configure, write, read string) Config {
	return Config{Users: map[string]User{
		"u": {Password: "p", Permissions: map[string]Permissions{"/": {Configure: configure, Write: write, Read: read}}},
	}}
}

func TestTopologyNeedsPermissions(t *testing.T) {
	refuse := func(v Version, want, kind, name string) string {
		text := "ACCESS_REFUSED - access to " + kind + " '" + name + "' in vhost '/' refused for user 'u'"
		if v.atLeast40() {
			text = strings.Replace(text, "access to", want+" access to", 1)
		}
		return text
	}
	for _, c := range []struct {
		grant            [3]string // configure, write, read
		do               wire.Method
		want, kind, name string
	}{
		{[3]string{"", ".*", ".*"}, declareQueue("q"), "configure", "queue", "q"},
		{[3]string{"", ".*", ".*"}, &wire.QueueDelete{Queue: "q"}, "configure", "queue", "q"},
		{[3]string{".*", ".*", ""}, &wire.QueuePurge{Queue: "q"}, "read", "queue", "q"},
		{[3]string{".*", ".*", ""}, declareQueue("q", "x-dead-letter-exchange", "d"), "read", "queue", "q"},
		{[3]string{".*", "", ".*"}, declareQueue("q", "x-dead-letter-exchange", "d"), "write", "exchange", "d"},
		{[3]string{".*", "", ".*"}, bindQueue("amq.direct", "k", "q"), "write", "queue", "q"},
		{[3]string{".*", ".*", ""}, bindQueue("amq.direct", "k", "q"), "read", "exchange", "amq.direct"},
		{[3]string{".*", "", ".*"}, bindExchange("amq.direct", "k", "amq.topic"), "write", "exchange", "amq.topic"},
		{[3]string{"", ".*", ".*"}, declareExchange("x", "direct"), "configure", "exchange", "x"},
		{[3]string{"", ".*", ".*"}, &wire.ExchangeDelete{Exchange: "x"}, "configure", "exchange", "x"},
		{[3]string{".*", ".*", ""}, declareExchange("x", "direct", "alternate-exchange", "a"), "read", "exchange", "x"},
		{[3]string{".*", "", ".*"}, declareExchange("x", "direct", "alternate-exchange", "a"), "write", "exchange", "a"},
	} {
		for _, v := range []Version{V310, V40, V43} {
			config := permitted(c.grant[0], c.grant[1], c.grant[2])
			config.Version = v
			r := dialRaw(t, config.New(t))
			r.send(1, c.do)
			r.expectClosed(1, 403, refuse(v, c.want, c.kind, c.name))
		}
	}
}

// F 8: since 4.3, a passive declaration needs some right.
func TestPassiveDeclarationsNeedAnyRight(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		for _, m := range []wire.Method{
			&wire.QueueDeclare{Queue: "none", Passive: true}, &wire.ExchangeDeclare{Exchange: "none", Passive: true},
		} {
			kind := "queue"
			if _, ok := m.(*wire.ExchangeDeclare); ok {
				kind = "exchange"
			}
			missing := "NOT_FOUND - no " + kind + " 'none' in vhost '/'"
			config := permitted("", "none", "")
			config.Version = v
			r := dialRaw(t, config.New(t))
			r.send(1, m)
			r.expectClosed(1, 404, missing)

			config = permitted("", "", "other")
			config.Version = v
			r = dialRaw(t, config.New(t))
			r.send(1, m)
			if v.atLeast43() {
				r.expectClosed(1, 403, "ACCESS_REFUSED - configure access to "+kind+" 'none' in vhost '/' refused for user 'u'")
			} else {
				r.expectClosed(1, 404, missing)
			}
		}
	}
}
