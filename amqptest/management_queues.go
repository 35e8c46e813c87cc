package amqptest

import (
	"cmp"
	"net/http"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func queueRoutes() []apiRoute {
	return []apiRoute{
		{"queues", anyone, onGet((*apiCall).listQueues)},
		{"queues/detailed", anyone, onGet((*apiCall).listQueues)},
		{"queues/{vhost}", ofVHost, onGet((*apiCall).listQueues)},
		{"queues/{vhost}/{queue}", ofVHost, onGet((*apiCall).showQueue).and(http.MethodPut, (*apiCall).putQueue).and(http.MethodDelete, (*apiCall).deleteQueue)},
		{"queues/{vhost}/{queue}/bindings", ofVHost, onGet((*apiCall).queueBindings)},
		{"queues/{vhost}/{queue}/contents", ofVHost, apiMethods{http.MethodDelete: (*apiCall).purgeQueue}},
		{"queues/{vhost}/{queue}/get", ofVHost, onPost((*apiCall).getMessages)},
		{"consumers", anyone, onGet((*apiCall).listConsumers)},
		{"consumers/{vhost}", ofVHost, onGet((*apiCall).listConsumers)},
	}
}

func (c *apiCall) listQueues() apiReply {
	vhosts, there := c.vhosts()
	if !there {
		return notFoundReply()
	}
	var all []object
	for _, vh := range vhosts {
		for _, q := range vh.queuesInOrder() {
			if c.query("disable_stats") == "true" {
				all = append(all, c.queueBasics(q, c.query("enable_queue_totals") == "true"))
			} else {
				all = append(all, c.queueJSON(q))
			}
		}
	}
	return c.list(all)
}

// queue is that of the path; nil: there is none.
func (c *apiCall) queue() *queue {
	vh := c.vhost()
	if vh == nil {
		return nil
	}
	return vh.queues[c.words["queue"]]
}

func (c *apiCall) showQueue() apiReply {
	q := c.queue()
	if q == nil {
		return notFoundReply()
	}
	o := c.queueJSON(q)
	consumers := make([]object, 0, len(q.consumers))
	for _, cons := range q.consumers {
		consumers = append(consumers, cons.json())
	}
	o["consumer_details"] = consumers
	o["deliveries"], o["incoming"] = []object{}, []object{}
	o["policy"], o["operator_policy"] = nil, nil
	if q.owner != nil {
		host, port, _, _ := q.owner.ends()
		o["owner_pid_details"] = object{"name": q.owner.name, "peer_host": host, "peer_port": port}
	}
	if q.kind == classic {
		o["exclusive_consumer_tag"] = tagOrNull(q.exclusive)
		o["head_message_timestamp"] = q.headTimestamp()
		if !q.opts.singleActive {
			o["single_active_consumer_tag"] = nil
		}
		if q.len() > 0 || len(q.consumers) == 0 {
			o["idle_since"] = q.lastUsed.Format("2006-01-02T15:04:05.000-07:00")
		}
	}
	return c.one(o)
}

// headTimestamp is the timestamp property of the next message.
func (q *queue) headTimestamp() any {
	var at any
	q.ready.each(func(e *entry) bool {
		if p := &e.msg.props; p.Has(wire.FlagTimestamp) {
			at = p.Timestamp.Unix()
		}
		return false
	})
	return at
}

func tagOrNull(c *consumer) any {
	if c == nil {
		return nil
	}
	return c.tag
}

// queueBasics are the fields that are no statistics.
func (c *apiCall) queueBasics(q *queue, totals bool) object {
	o := object{
		"name": q.name, "vhost": q.vhost.name, "type": string(q.kind), "node": clusterName, "state": "running",
		"durable": q.durable, "auto_delete": q.autoDelete, "exclusive": q.owner != nil, "arguments": tableJSON(q.args),
	}
	if q.kind != classic {
		o["leader"], o["members"], o["online"] = clusterName, []string{clusterName}, []string{clusterName}
	}
	version := q.version()
	if version.atLeast43() {
		o["internal"], o["internal_owner"] = false, false
		o["policy"], o["operator_policy"], o["effective_policy_definition"] = nil, nil, object{}
	}
	if version.atLeast43() && q.kind == quorum && q.opts.deliveryLimit >= 0 {
		o["delivery_limit"] = q.opts.deliveryLimit
	}
	if totals {
		delete(o, "internal")
		delete(o, "internal_owner")
		delete(o, "policy")
		d := q.depth()
		o["messages"], o["messages_ready"], o["messages_unacknowledged"] = d.total(), d.ready, d.unacked
	}
	return o
}

func (c *apiCall) queueJSON(q *queue) object {
	o := c.queueBasics(q, false)
	r := &c.b.mgmt.rates
	r.messages(o, q.depth(), func(s *sample) depth { return s.queues[q].depth })
	if stats := r.queueStatistics(q); len(stats) > 0 {
		o["message_stats"] = stats
	}
	o["consumers"] = len(q.consumers)
	o["effective_policy_definition"] = object{}
	version := c.b.cfg.Version
	switch {
	case version.atLeast43():
		delete(o, "policy")
		delete(o, "operator_policy")
	case !version.atLeast40() && q.kind == classic:
		o["policy"], o["operator_policy"], o["exclusive_consumer_tag"] = nil, nil, tagOrNull(q.exclusive)
	}
	if q.kind == stream {
		o["readers"] = object{clusterName: len(q.consumers)}
		if !version.atLeast40() {
			delete(o, "leader")
		}
		return o
	}
	info := q.info()
	o["message_bytes"] = info.ReadyBytes + info.UnackedBytes
	o["message_bytes_ready"], o["message_bytes_unacknowledged"] = info.ReadyBytes, info.UnackedBytes
	q.persistent(o)
	if info.ActiveConsumer != "" && q.active != nil {
		o["single_active_consumer_tag"] = info.ActiveConsumer
	}
	if q.kind == quorum {
		o["messages_dlx"], o["message_bytes_dlx"] = info.Held, q.heldBytes()
		if version.atLeast40() && q.opts.deliveryLimit >= 0 {
			o["delivery_limit"] = q.opts.deliveryLimit
		}
		if version.atLeast43() {
			o["messages_delayed"] = q.delayed.len()
			o["delayed_retry"] = "disabled"
			if q.opts.delayedRetry != "" {
				o["delayed_retry"] = q.opts.delayedRetry
			}
		}
	}
	return o
}

// persistent puts in how many messages outlast a restart: all of a quorum
// queue.
func (q *queue) persistent(o object) {
	count, size := 0, int64(0)
	add := func(e *entry) {
		if q.kind == quorum || e.msg.props.DeliveryMode == 2 {
			count++
			size += e.size()
		}
	}
	q.ready.each(func(e *entry) bool {
		add(e)
		return true
	})
	if q.unacked > 0 {
		q.broker().eachUnacked(func(_ *channel, d *delivery) {
			if d.entry.queue == q {
				add(d.entry)
			}
		})
	}
	o["messages_persistent"], o["message_bytes_persistent"] = count, size
}

func (q *queue) heldBytes() int64 {
	size := int64(0)
	if q.dead != nil {
		q.dead.each(func(e *entry) bool {
			size += e.size()
			return true
		})
	}
	return size
}

func (c *apiCall) putQueue() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	m, refused := queueOf(body, c.words["queue"])
	if refused != nil {
		return *refused
	}
	vh := c.vhost()
	if vh == nil {
		return apiError(http.StatusNotFound, "not_found", "vhost_not_found")
	}
	isNew := vh.queues[m.Queue] == nil
	if refused := c.operate(vh, m); refused != nil {
		return *refused
	}
	return createdReply(isNew)
}

// queueOf reads a queue that is to be declared.
func queueOf(body object, name string) (*wire.QueueDeclare, *apiReply) {
	flags, refused := bools(body, "durable", "auto_delete", "exclusive")
	if refused != nil {
		return nil, refused
	}
	args, err := tableOf(body["arguments"])
	if err != nil {
		reply := badRequest(err.Error())
		return nil, &reply
	}
	return &wire.QueueDeclare{
		Queue: name, Durable: flags["durable"], AutoDelete: flags["auto_delete"], Exclusive: flags["exclusive"], Arguments: args,
	}, nil
}

func (c *apiCall) deleteQueue() apiReply {
	q := c.queue()
	if q == nil {
		return notFoundReply()
	}
	m := &wire.QueueDelete{Queue: q.name, IfEmpty: c.query("if-empty") == "true", IfUnused: c.query("if-unused") == "true"}
	if refused := c.operate(q.vhost, m); refused != nil {
		return *refused
	}
	return noContent()
}

func (c *apiCall) purgeQueue() apiReply {
	q := c.queue()
	if q == nil {
		return notFoundReply()
	}
	if refused := c.operate(q.vhost, &wire.QueuePurge{Queue: q.name}); refused != nil {
		return *refused
	}
	return noContent()
}

func (c *apiCall) listConsumers() apiReply {
	vhosts, there := c.vhosts()
	if !there {
		return notFoundReply()
	}
	var all []object
	for _, vh := range vhosts {
		for _, q := range vh.queuesInOrder() {
			for _, cons := range q.consumers {
				if c.isMonitor() || cons.ch.conn.user == c.user {
					all = append(all, cons.json())
				}
			}
		}
	}
	return c.list(all)
}

func (c *consumer) json() object {
	q, conn := c.queue, c.ch.conn
	host, port, _, _ := conn.ends()
	o := object{
		"queue": object{"name": q.name, "vhost": q.vhost.name}, "consumer_tag": c.tag, "ack_required": !c.noAck,
		"exclusive": c.exclusive, "prefetch_count": c.prefetch, "arguments": tableJSON(c.args), "active": true, "activity_status": "up",
		"channel_details": object{
			"name": c.ch.name(), "number": c.ch.id, "node": clusterName, "connection_name": conn.name,
			"peer_host": host, "peer_port": port, "user": conn.user,
		},
	}
	switch {
	case q.kind == stream:
		o["active"] = false
	case q.opts.singleActive && q.active == c:
		o["activity_status"] = "single_active"
	case q.opts.singleActive:
		o["active"], o["activity_status"] = false, "waiting"
	}
	if q.version().atLeast40() {
		o["consumer_timeout"] = int64(cmp.Or(c.timeout, q.broker().cfg.ConsumerTimeout) / time.Millisecond)
	}
	return o
}
