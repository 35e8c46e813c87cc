package amqptest

import (
	"net/http"
)

func vhostRoutes() []apiRoute {
	return []apiRoute{
		{"vhosts", anyone, onGet((*apiCall).listVHosts)},
		{"vhosts/{vhost}", admins, onGet((*apiCall).showVHost).and(http.MethodPut, (*apiCall).putVHost).and(http.MethodDelete, (*apiCall).deleteVHost)},
		{"vhosts/{vhost}/permissions", admins, onGet((*apiCall).vhostPermissions)},
		{"vhosts/{vhost}/topic-permissions", admins, onGet((*apiCall).none)},
		{"vhosts/{vhost}/connections", ofVHost, onGet((*apiCall).vhostConnections)},
		{"vhosts/{vhost}/channels", ofVHost, onGet((*apiCall).vhostChannels)},
		{"vhosts/{vhost}/start/{node}", admins, onPost((*apiCall).startVHost)},
	}
}

// none answers with a list of nothing.
func (c *apiCall) none() apiReply {
	if _, named := c.words["vhost"]; named && c.vhost() == nil {
		return notFoundReply()
	}
	return c.list(nil)
}

func (c *apiCall) listVHosts() apiReply {
	var all []object
	for _, vh := range c.b.vhostsInOrder() {
		if c.isMonitor() || c.mayLogin(vh.name) {
			all = append(all, c.vhostJSON(vh))
		}
	}
	return c.list(all)
}

func (c *apiCall) showVHost() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	return c.one(c.vhostJSON(vh))
}

func (c *apiCall) vhostJSON(vh *vhost) object {
	o := c.vhostMetadata(vh)
	o["name"] = vh.name
	o["tracing"] = false
	o["cluster_state"] = object{clusterName: "running"}
	r := &c.b.mgmt.rates
	var total depth
	for _, q := range vh.queues {
		total.add(q.depth())
	}
	if len(vh.queues) > 0 {
		r.messages(o, total, func(s *sample) depth { return s.depths[vh] })
	}
	if stats := r.statistics(vh.counted(), func(s *sample) messageCounts { return s.counts[vh] }); len(stats) > 0 {
		o["message_stats"] = stats
	}
	var sum octets
	for _, conn := range c.b.conns {
		if conn.vhost == vh {
			at := conn.octets()
			sum = octets{received: sum.received + at.received, sent: sum.sent + at.sent}
		}
	}
	if sum != (octets{}) {
		r.count(o, "recv_oct", sum.received, func(s *sample) uint64 { return s.octets[vh].received })
		r.count(o, "send_oct", sum.sent, func(s *sample) uint64 { return s.octets[vh].sent })
	}
	return o
}

// vhostMetadata are the fields that are in definitions, too.
func (c *apiCall) vhostMetadata(vh *vhost) object {
	tags := any([]string{})
	if vh.tags != nil {
		tags = vh.tags
	}
	description := vh.description
	if description == "" && vh.name == "/" {
		description = "Default virtual host"
	}
	metadata := object{"description": description, "tags": tags}
	o := object{"description": description, "tags": tags, "metadata": metadata}
	v := c.b.cfg.Version
	if v.atLeast40() {
		o["default_queue_type"] = string(classic)
		metadata["default_queue_type"] = string(classic)
	} else {
		o["default_queue_type"] = "undefined"
	}
	if v.atLeast43() {
		o["protected_from_deletion"] = false
	}
	return o
}

func (c *apiCall) putVHost() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	isNew := c.vhost() == nil
	if isNew {
		c.addVHost(c.words["vhost"])
	}
	vh := c.vhost()
	if s, there := body["description"].(string); there {
		vh.description = s
	}
	if v, there := body["tags"]; there {
		vh.tags = tagsOf(v)
	}
	return createdReply(isNew)
}

// addVHost makes a virtual host in which the call's user may do everything, as
// may those without limits.
func (c *apiCall) addVHost(name string) {
	c.b.vhosts[name] = newVHost(c.b, name)
	if _, limited := c.b.grants[c.user]; limited {
		c.b.grant(c.user, name, Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	}
}

func (c *apiCall) deleteVHost() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	b := c.b
	for _, conn := range b.connsInOrder() {
		if conn.vhost == vh {
			conn.forceClose("vhost '" + vh.name + "' is deleted")
		}
	}
	b.work()
	for _, q := range vh.queuesInOrder() {
		q.deleteSelf("client")
	}
	delete(b.vhosts, vh.name)
	for _, byVHost := range b.grants {
		delete(byVHost, vh.name)
	}
	return noContent()
}

func (c *apiCall) startVHost() apiReply {
	if c.vhost() == nil {
		return notFoundReply()
	}
	return noContent() // it never stopped
}

// forceClose closes the connection as an operator does.
func (c *conn) forceClose(reason string) {
	switch c.state {
	case stateRunning:
		c.fail(hardError(codeConnectionForced, "%s", reason))
	case stateClosed:
	default:
		c.end()
	}
}
