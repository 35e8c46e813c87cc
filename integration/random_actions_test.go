package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/hareline/hareline/amqptest"
)

// action is what a talk may do next; possible tells whether there is something to do it to.
type action struct {
	weight   int
	do       func(*rapid.T)
	possible func() bool
}

func (k *talk) actions() []action {
	return []action{
		{10, k.publish, nil},
		{14, k.settleDelivery, func() bool { return len(k.placesWith(holds)) > 0 }},
		{7, k.consume, nil},
		{4, k.get, nil},
		{2, k.qos, nil},
		{2, k.cancel, func() bool { return len(k.placesWith(consumes)) > 0 }},
		{1, k.recover, func() bool { return len(k.placesWith(holds)) > 0 }},
		{2, k.declare, nil},
		{2, k.bind, nil},
		{1, k.look, nil},
		{1, k.purge, nil},
		{1, k.remove, nil},
		{1, k.mode, nil},
		{1, k.commit, func() bool { p := k.places["a.2"]; return p.tx && !p.shut && !p.lost }},
		{2, k.closeChannel, nil},
		{1, k.closeConnection, func() bool { return len(k.idle()) > 0 }},
	}
}

// step does one action.
func (k *talk) step(t *rapid.T) {
	var weighted []action
	for _, a := range k.actions() {
		if a.possible == nil || a.possible() {
			weighted = append(weighted, slices.Repeat([]action{a}, a.weight)...)
		}
	}
	oneOf(t, "action", weighted...).do(t)
}

func holds(p *place) bool    { return len(p.held) > 0 }
func consumes(p *place) bool { return len(p.tags) > 0 }

// idle are the connections that may end.
func (k *talk) idle() []string {
	return slices.DeleteFunc([]string{"a", "b", "c", "d"}, func(conn string) bool { return !k.mayEnd(conn) })
}

// begin declares what the talk is about.
func (k *talk) begin(t *rapid.T) {
	k.short = often(t, 12, "short times to live")
	n := 1 + below(t, 3, "queues")
	for i := range n {
		k.declareQueue(t, k.places["a.1"], fmt.Sprintf("q%d", i+1))
	}
	for range below(t, 3, "exchanges") {
		k.declareExchange(t, k.places["a.1"])
	}
	for range below(t, 4, "bindings") {
		k.bind(t)
	}
	k.settle(t)
}

// anyPlace is one of the channels, opened if need be.
func (k *talk) anyPlace(t *rapid.T) *place {
	return k.use(t, oneOf(t, "channel", "a.1", "a.1", "a.2", "b.1", "b.2", "c.1", "d.1"))
}

func (k *talk) use(t *rapid.T, name string) *place {
	p := k.places[name]
	k.open(t, p)
	return p
}

// placesWith are the names of the channels for which has is true, in order.
func (k *talk) placesWith(has func(*place) bool) []string {
	var names []string
	for _, name := range slices.Concat(publishers, consumers) {
		if has(k.places[name]) {
			names = append(names, name)
		}
	}
	return names
}

func (k *talk) declare(t *rapid.T) {
	p := k.anyPlace(t)
	if often(t, 30, "an exchange") {
		k.declareExchange(t, p)
	} else {
		k.declareQueue(t, p, anyQueue(t))
	}
	k.settle(t)
}

func (k *talk) declareQueue(t *rapid.T, p *place, name string) {
	args := " passive"
	if _, there := k.memory.broker.Queue(memoryVHost, name); there || !k.declared[name] {
		args = k.timely(queueArguments(t, oneOf(t, "queue type", "classic", "quorum")))
	}
	k.declared[name] = true
	k.single = k.single || strings.Contains(args, "=quorum") && strings.Contains(args, "reject-publish")
	k.say(t, "on %s queue.declare %s%s", p.name, name, args)
	k.open(t, p)
}

func anyQueue(t *rapid.T) string { return oneOf(t, "queue", "q1", "q1", "q2", "q3") }

// queue is one that there is, nearly always.
func (k *talk) queue(t *rapid.T) string {
	name := anyQueue(t)
	there := k.memory.broker.Queues(memoryVHost)
	if len(there) == 0 || slices.ContainsFunc(there, func(q amqptest.QueueInfo) bool { return q.Name == name }) || often(t, 4, "it is missing") {
		return name
	}
	return there[0].Name
}

// exchange is one that there is, nearly always.
func (k *talk) exchange(t *rapid.T) string {
	name := drawExchange(t)
	there := slices.ContainsFunc(k.memory.broker.Exchanges(memoryVHost), func(x amqptest.ExchangeInfo) bool { return x.Name == name })
	if !there && !often(t, 5, "it is missing") {
		return "amq.topic"
	}
	return name
}

// timely makes short times to live long, unless the talk is one that waits for them.
func (k *talk) timely(arguments string) string {
	if k.short {
		return arguments
	}
	return strings.ReplaceAll(arguments, "=150", "=3600000")
}

func (k *talk) declareExchange(t *rapid.T, p *place) {
	k.say(t, "on %s exchange.declare %s %s", p.name, oneOf(t, "exchange name", "x1", "x2"), exchangeArguments(t))
	k.open(t, p)
}

func (k *talk) bind(t *rapid.T) {
	p := k.use(t, "a.1")
	what, to := "queue.bind", k.queue(t)
	if often(t, 10, "to an exchange") {
		what, to = "exchange.bind", oneOf(t, "to", "x1", "x2")
	}
	if often(t, 15, "unbind") {
		what = strings.Replace(what, "bind", "unbind", 1)
	}
	k.say(t, "on %s %s %s %s %s%s", p.name, what, to, k.exchange(t), drawPattern(t), bindingArguments(t))
	k.sync(t)
}

func (k *talk) publish(t *rapid.T) {
	p := k.anyPlace(t)
	k.messages++
	repeat, body := "", fmt.Sprintf("m%d", k.messages)
	if often(t, 25, "several") && !k.single && !k.short {
		repeat = fmt.Sprintf("repeat %d ", 2+below(t, 3, "times"))
		body += "-%d"
	}
	exchange, key := `""`, k.queue(t)
	if often(t, 40, "by an exchange") {
		exchange, key = k.exchange(t), drawKey(t)
	}
	properties := k.timely(drawAll(t, publishOptions))
	k.say(t, "on %s %sbasic.publish %s %s body=%s%s", p.name, repeat, exchange, key, body, properties)
	k.settle(t)
}

var consumerPriority = regexp.MustCompile(` x-priority=\S+`)

func (k *talk) consume(t *rapid.T) {
	p := k.use(t, oneOf(t, "channel", consumers...))
	queue := p.queue
	if queue == "" {
		queue = k.queue(t)
	}
	tag := fmt.Sprintf("t%d", k.tags+1)
	if len(p.tags) > 0 && often(t, 3, "the same tag") {
		tag = p.tags[0]
	} else {
		k.tags++
	}
	options := drawAll(t, consumeOptions)
	if q, _ := k.memory.broker.Queue(memoryVHost, queue); q.Type == "quorum" {
		if p.prefetch > 0 {
			options = strings.Replace(options, " no-ack", "", 1)
		}
		if k.version == "4.3" && q.Arguments["x-single-active-consumer"] == true {
			options = consumerPriority.ReplaceAllString(options, "")
		}
	}
	had := slices.Contains(p.tags, tag)
	if p.noAck[tag] = strings.Contains(options, "no-ack"); !had {
		p.tags = append(p.tags, tag)
	}
	p.queue = queue
	k.say(t, "on %s basic.consume %s tag=%s%s", p.name, queue, tag, options)
	k.settle(t)
}

func (k *talk) get(t *rapid.T) {
	p := k.anyPlace(t)
	k.say(t, "on %s basic.get %s%s", p.name, k.queue(t), drawAll(t, []option{{20, "no-ack", flagAlone}}))
	k.settle(t)
}

func (k *talk) settleDelivery(t *rapid.T) {
	p := k.places[oneOf(t, "holder", k.placesWith(holds)...)]
	how := oneOf(t, "how", "ack", "ack", "ack", "nack", "nack", "reject")
	tag := oneOf(t, "tag", p.held...)
	line := fmt.Sprintf("on %s basic.%s ", p.name, how)
	multiple := how != "reject" && often(t, 30, "multiple")
	switch {
	case multiple && often(t, 20, "all"):
		tag = 0
	case often(t, 3, "unknown"):
		tag = 99
	}
	line += fmt.Sprint(tag)
	if multiple {
		line += " multiple"
	}
	if how != "ack" && often(t, 60, "requeue") {
		line += " requeue"
	}
	settled := func(held uint64) bool { return held == tag || multiple && (held < tag || tag == 0) }
	if p.tx {
		for _, held := range p.held {
			if settled(held) {
				p.settling = append(p.settling, held)
			}
		}
	}
	p.held = slices.DeleteFunc(p.held, settled)
	k.say(t, "%s", line)
	k.settle(t)
}

func (k *talk) qos(t *rapid.T) {
	p := k.use(t, oneOf(t, "channel", consumers...))
	p.prefetch = below(t, 4, "prefetch")
	k.say(t, "on %s basic.qos %d%s", p.name, p.prefetch, drawAll(t, []option{{10, "global", flagAlone}}))
	k.sync(t)
}

func (k *talk) cancel(t *rapid.T) {
	p := k.places[oneOf(t, "consumer", k.placesWith(consumes)...)]
	tag := oneOf(t, "tag", p.tags...)
	p.forget(tag)
	k.say(t, "on %s basic.cancel %s", p.name, tag)
	k.settle(t)
}

func (k *talk) recover(t *rapid.T) {
	p := k.places[oneOf(t, "holder", k.placesWith(holds)...)]
	p.held = nil
	k.say(t, "on %s basic.recover requeue", p.name)
	k.settle(t)
}

func (k *talk) look(t *rapid.T) {
	k.say(t, "on %s queue.declare %s passive", k.anyPlace(t).name, k.queue(t))
	k.sync(t)
}

func (k *talk) purge(t *rapid.T) {
	k.say(t, "on %s queue.purge %s", k.anyPlace(t).name, k.queue(t))
	k.settle(t)
}

func (k *talk) remove(t *rapid.T) {
	p := k.anyPlace(t)
	if often(t, 30, "an exchange") {
		k.say(t, "on %s exchange.delete %s%s", p.name, oneOf(t, "exchange name", "x1", "x2"),
			drawAll(t, []option{{30, "if-unused", flagAlone}}))
	} else {
		k.say(t, "on %s queue.delete %s%s", p.name, k.queue(t),
			drawAll(t, []option{{15, "if-unused", flagAlone}, {15, "if-empty", flagAlone}}))
	}
	k.settle(t)
}

// mode makes a channel confirm or commit.
func (k *talk) mode(t *rapid.T) {
	p := k.use(t, oneOf(t, "publisher", publishers...))
	if p.name == "a.1" {
		k.say(t, "on %s confirm.select", p.name)
		p.confirms = true
	} else {
		k.say(t, "on %s tx.select", p.name)
		p.tx = true
	}
}

func (k *talk) commit(t *rapid.T) {
	p := k.places["a.2"]
	if often(t, 30, "rollback") {
		p.held = append(p.held, p.settling...)
		slices.Sort(p.held)
		k.say(t, "on %s tx.rollback", p.name)
	} else {
		k.say(t, "on %s tx.commit", p.name)
	}
	p.settling = nil
	k.settle(t)
}

func (k *talk) closeChannel(t *rapid.T) {
	p := k.anyPlace(t)
	k.say(t, "on %s channel.close", p.name)
	k.settle(t)
}

func (k *talk) closeConnection(t *rapid.T) {
	conn := oneOf(t, "connection", k.idle()...)
	p := k.use(t, conn+".1")
	if often(t, 50, "cut") {
		k.say(t, "on %s queue.declare q1 passive", p.name) // it is there at all
		k.say(t, "cut %s", conn)
		k.drop(conn)
	} else {
		k.say(t, "on %s connection.close", p.name)
	}
	k.settle(t)
}
