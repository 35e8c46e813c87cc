package amqptest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

func definitionRoutes() []apiRoute {
	return []apiRoute{
		{"definitions", admins, onGet((*apiCall).exportAll).and(http.MethodPost, (*apiCall).importAll)},
		{"definitions/{vhost}", admins, onGet((*apiCall).exportVHost).and(http.MethodPost, (*apiCall).importVHost)},
	}
}

// LoadDefinitions makes users, virtual hosts, permissions, exchanges, queues
// and bindings as a file says that a RabbitMQ's management API exported
// (GET /api/definitions, rabbitmqctl export_definitions). What is there already
// stays as it is. Policies, parameters, limits and topic permissions are
// refused: this broker has none. What came before an error is there.
func (b *Broker) LoadDefinitions(definitions []byte) error {
	b.lock()
	defer b.unlock()
	if b.closed {
		return errClosed
	}
	c := &apiCall{b: b, body: definitions}
	reply := c.importAll()
	if reply.status < http.StatusBadRequest {
		return nil
	}
	o, _ := reply.body.(object)
	reason := stringOf(o["reason"])
	if reason == "" {
		reason = jsonText(o["reason"])
	}
	return fmt.Errorf("amqptest: definitions: %s", reason)
}

// exported is whether an exchange or a queue is in definitions.
func (x *exchange) exported() bool { return x.name != "" && !strings.HasPrefix(x.name, "amq.") }

func (q *queue) exported() bool { return q.owner == nil }

func (c *apiCall) exportAll() apiReply {
	b := c.b
	o := c.definitionsOf(b.vhostsInOrder(), func(o object, vh *vhost) { o["vhost"] = vh.name })
	vhosts := []object{}
	for _, vh := range b.vhostsInOrder() {
		v := object{"name": vh.name}
		if b.cfg.Version.atLeast40() {
			v = c.vhostMetadata(vh)
			v["name"] = vh.name
		}
		if b.cfg.Version.atLeast43() {
			v = object{"name": vh.name, "metadata": v["metadata"], "limits": object{}}
		}
		vhosts = append(vhosts, v)
	}
	o["vhosts"] = vhosts
	o["users"] = c.usersWhere(func(string) bool { return true })
	o["permissions"] = b.permissionsWhere(func(string, string) bool { return true })
	o["topic_permissions"] = []object{}
	o["global_parameters"] = b.globalParameters()
	if b.cfg.Version.atLeast43() {
		o["global_parameters"] = b.globalParameters()[:1]
	}
	if b.cfg.Version.atLeast40() {
		o["rabbitmq_definition_format"], o["original_cluster_name"] = "cluster", clusterName
		o["explanation"] = "Definitions of cluster '" + clusterName + "'"
	}
	o["product_name"], o["product_version"] = "RabbitMQ", b.cfg.Version.release()
	o["rabbitmq_version"] = b.cfg.Version.release()
	return okReply(o)
}

func (c *apiCall) exportVHost() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	o := c.definitionsOf([]*vhost{vh}, func(object, *vhost) {})
	v := c.b.cfg.Version
	if !v.atLeast40() {
		return okReply(o)
	}
	metadata := c.vhostMetadata(vh)
	o["metadata"], o["description"] = metadata["metadata"], metadata["description"]
	o["limits"] = []any{}
	if v.atLeast43() {
		o["limits"] = object{}
	} else {
		o["default_queue_type"] = string(classic)
	}
	o["rabbitmq_definition_format"], o["original_vhost_name"] = "single_virtual_host", vh.name
	o["explanation"] = "Definitions of virtual host '" + vh.name + "'"
	o["product_name"], o["product_version"], o["rabbitmq_version"] = "RabbitMQ", v.release(), v.release()
	return okReply(o)
}

// definitionsOf are the exchanges, queues and bindings of virtual hosts, each
// finished by in.
func (c *apiCall) definitionsOf(vhosts []*vhost, in func(object, *vhost)) object {
	queues, exchanges, bindings := []object{}, []object{}, []object{}
	at43 := c.b.cfg.Version.atLeast43()
	for _, vh := range vhosts {
		for _, q := range vh.queuesInOrder() {
			if !q.exported() {
				continue
			}
			o := object{"name": q.name, "durable": q.durable, "auto_delete": q.autoDelete, "arguments": tableJSON(q.args)}
			if at43 {
				o["type"] = string(q.kind)
			}
			in(o, vh)
			queues = append(queues, o)
		}
		for _, x := range vh.exchangesInOrder() {
			if x.exported() {
				o := object{"name": x.name, "type": x.kind, "durable": x.durable, "auto_delete": x.autoDelete, "arguments": tableJSON(x.args)}
				if !at43 || x.internal {
					o["internal"] = x.internal
				}
				in(o, vh)
				exchanges = append(exchanges, o)
			}
			for _, b := range x.bindings {
				if b.queue != nil && !b.queue.exported() {
					continue
				}
				info := b.api()
				o := object{
					"source": info.Source, "destination": info.Destination, "destination_type": info.DestinationType,
					"routing_key": info.RoutingKey, "arguments": tableJSON(b.args),
				}
				in(o, vh)
				bindings = append(bindings, o)
			}
		}
	}
	return object{
		"rabbit_version": c.b.cfg.Version.release(), "parameters": []object{}, "policies": []object{},
		"queues": queues, "exchanges": exchanges, "bindings": bindings,
	}
}

// readDefinitions reads a file of definitions, or refuses what is not
// supported.
func (c *apiCall) readDefinitions() (object, *apiReply) {
	body := make(object)
	if len(c.body) > 0 && decodeJSON(c.body, &body) != nil {
		reply := badRequest("failed_to_parse_json")
		return nil, &reply
	}
	for _, what := range []string{"policies", "parameters", "topic_permissions"} {
		if list, _ := body[what].([]any); len(list) > 0 {
			reply := unsupported(strings.ReplaceAll(what, "_", " "))
			return nil, &reply
		}
	}
	return body, nil
}

// each calls do with the objects of a list until one is refused.
func each(body object, list string, do func(object) *apiReply) *apiReply {
	all, _ := body[list].([]any)
	for _, v := range all {
		o, isObject := v.(object)
		if !isObject {
			reply := badRequest("not_a_json_object")
			return &reply
		}
		if refused := do(o); refused != nil {
			return refused
		}
	}
	return nil
}

func (c *apiCall) importAll() apiReply {
	body, refused := c.readDefinitions()
	if refused != nil {
		return *refused
	}
	b := c.b
	for _, step := range []struct {
		list string
		do   func(object) *apiReply
	}{
		{"users", func(o object) *apiReply { return b.putUser(stringOf(o["name"]), o) }},
		{"vhosts", c.importedVHost},
		{"permissions", func(o object) *apiReply { return b.putPermission(stringOf(o["user"]), stringOf(o["vhost"]), o) }},
		{"exchanges", func(o object) *apiReply { return c.imported(o, stringOf(o["vhost"]), c.importExchange) }},
		{"queues", func(o object) *apiReply { return c.imported(o, stringOf(o["vhost"]), c.importQueue) }},
		{"bindings", func(o object) *apiReply { return c.imported(o, stringOf(o["vhost"]), c.importBinding) }},
	} {
		if refused := each(body, step.list, step.do); refused != nil {
			return *refused
		}
	}
	return noContent()
}

func (c *apiCall) importVHost() apiReply {
	if c.vhost() == nil {
		return notFoundReply()
	}
	body, refused := c.readDefinitions()
	if refused != nil {
		return *refused
	}
	name := c.words["vhost"]
	for _, step := range []struct {
		list string
		do   func(*vhost, object) *apiReply
	}{{"exchanges", c.importExchange}, {"queues", c.importQueue}, {"bindings", c.importBinding}} {
		if refused := each(body, step.list, func(o object) *apiReply { return c.imported(o, name, step.do) }); refused != nil {
			return *refused
		}
	}
	return noContent()
}

func (c *apiCall) importedVHost(o object) *apiReply {
	name := stringOf(o["name"])
	if limits, _ := o["limits"].(object); len(limits) > 0 {
		reply := unsupported("limits")
		return &reply
	}
	if c.b.vhosts[name] == nil {
		c.b.vhosts[name] = newVHost(c.b, name)
	}
	vh := c.b.vhosts[name]
	metadata, isObject := o["metadata"].(object)
	if !isObject {
		metadata = o
	}
	if s := stringOf(metadata["description"]); s != "" {
		vh.description = s
	}
	if tags, there := metadata["tags"]; there {
		vh.tags = tagsOf(tags)
	}
	return nil
}

// imported makes what o describes in the virtual host of that name.
func (c *apiCall) imported(o object, name string, do func(*vhost, object) *apiReply) *apiReply {
	vh := c.b.vhosts[name]
	if vh == nil {
		reply := badRequest(fmt.Sprintf("Please create virtual host %q prior to importing definitions.", name))
		if !c.b.cfg.Version.atLeast40() {
			reply = badRequest([]any{"no_such_vhost", name})
		}
		return &reply
	}
	return do(vh, o)
}

// importer is a channel that may do everything.
func (c *apiCall) importer(vh *vhost, m wire.Method) *apiReply {
	d := c.direct(vh)
	defer d.close()
	d.conn.trusted = true
	if e := d.do(m); e != nil {
		reply := e.reply()
		return &reply
	}
	return nil
}

func (c *apiCall) importExchange(vh *vhost, o object) *apiReply {
	m, refused := exchangeOf(o, stringOf(o["name"]))
	if refused != nil || vh.exchanges[m.Exchange] != nil {
		return refused
	}
	return c.importer(vh, m)
}

func (c *apiCall) importQueue(vh *vhost, o object) *apiReply {
	m, refused := queueOf(o, stringOf(o["name"]))
	if refused != nil || vh.queues[m.Queue] != nil {
		return refused
	}
	if kind := stringOf(o["type"]); kind != "" && kind != string(classic) {
		m.Arguments = m.Arguments.Set(argQueueType, kind)
	}
	return c.importer(vh, m)
}

func (c *apiCall) importBinding(vh *vhost, o object) *apiReply {
	args, err := tableOf(o["arguments"])
	if err != nil {
		reply := badRequest(err.Error())
		return &reply
	}
	return c.importer(vh, bindMethod(stringOf(o["source"]), stringOf(o["destination_type"]), stringOf(o["destination"]),
		stringOf(o["routing_key"]), args))
}
