package amqptest

import (
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func nodeRoutes() []apiRoute {
	return []apiRoute{
		{"overview", anyone, onGet((*apiCall).overview)},
		{"whoami", anyone, onGet((*apiCall).whoami)},
		{"version", anyone, onGet(func(c *apiCall) apiReply { return okReply(c.b.cfg.Version.release()) })},
		{"cluster-name", anyone, onGet(func(*apiCall) apiReply { return okReply(object{"name": clusterName}) })},
		{"nodes", monitors, onGet((*apiCall).listNodes)},
		{"nodes/{node}", monitors, onGet((*apiCall).showNode)},
		{"extensions", anyone, onGet(func(*apiCall) apiReply { return okReply([]object{{"javascript": "dispatcher.js"}}) })},
		{"auth", anyone, onGet((*apiCall).showAuth)},
		{"rebalance/queues", admins, apiMethods{http.MethodPost: func(*apiCall) apiReply { return noContent() }}},
	}
}

func (c *apiCall) whoami() apiReply {
	o := object{"name": c.user, "tags": tagsOrNone(c.tags)}
	if c.b.cfg.Version.atLeast40() {
		o["is_internal_user"] = true
	}
	return okReply(o)
}

func (c *apiCall) showAuth() apiReply {
	if c.b.cfg.Version.atLeast40() {
		return okReply(object{"oauth_enabled": false})
	}
	return okReply(object{"enable_uaa": false, "uaa_client_id": "", "uaa_location": ""})
}

func tagsOrNone(tags []string) []string {
	if tags == nil {
		return []string{}
	}
	return tags
}

// apiListener is a socket that the node listens at.
type apiListener struct {
	protocol string
	host     string
	port     int
}

func (c *apiCall) listeners() []apiListener {
	var all []apiListener
	if l := c.b.net.amqp; l != nil {
		host, port := hostPort(l.Addr().String())
		protocol := "amqp"
		if c.b.cfg.TLS != nil {
			protocol = "amqp/ssl"
		}
		all = append(all, apiListener{protocol, host, port})
	}
	for _, addr := range c.b.mgmt.addrs {
		host, port := hostPort(addr.String())
		all = append(all, apiListener{"http", host, port})
	}
	return all
}

func (c *apiCall) overview() apiReply {
	v := c.b.cfg.Version
	o := object{
		"management_version": v.release(), "rabbitmq_version": v.release(), "product_version": v.release(), "product_name": "RabbitMQ",
		"erlang_version": v.erlang(), "erlang_full_version": "Erlang/OTP " + v.erlang(),
		"cluster_name": clusterName, "node": clusterName, "rates_mode": "basic", "disable_stats": false, "enable_queue_totals": false,
		"sample_retention_policies": object{"global": []int{600, 3600, 28800, 86400}, "basic": []int{600, 3600}, "detailed": []int{600}},
		"exchange_types":            c.exchangeTypes(), "statistics_db_event_queue": 0,
		"queue_totals": object{}, "object_totals": c.objectTotals(),
	}
	if v.atLeast40() {
		o["cluster_tags"], o["node_tags"] = object{}, object{}
		o["default_queue_type"] = string(classic)
		o["is_op_policy_updating_enabled"] = true
	}
	c.showTotals(o)
	if !c.isMonitor() {
		return c.one(o)
	}
	var listeners, contexts []object
	for _, l := range c.listeners() {
		listeners = append(listeners, object{
			"node": clusterName, "protocol": l.protocol, "ip_address": l.host, "port": l.port, "socket_opts": object{},
		})
		if l.protocol == "http" {
			contexts = append(contexts, object{
				"node": clusterName, "description": "RabbitMQ Management", "path": "/", "port": strconv.Itoa(l.port), "ssl_opts": []any{},
			})
		}
	}
	o["listeners"], o["contexts"] = notNull(listeners), notNull(contexts)
	return c.one(o)
}

func notNull(all []object) []object {
	if all == nil {
		return []object{}
	}
	return all
}

// showTotals puts in the sums over the virtual hosts that the user can log in
// to.
func (c *apiCall) showTotals(o object) {
	vhosts, _ := c.vhosts()
	var total depth
	var counts messageCounts
	for _, vh := range vhosts {
		for _, q := range vh.queues {
			total.add(q.depth())
		}
		counts.add(vh.counted())
	}
	r := &c.b.mgmt.rates
	totals := make(object)
	r.messages(totals, total, func(s *sample) depth {
		var sum depth
		for _, vh := range vhosts {
			sum.add(s.depths[vh])
		}
		return sum
	})
	o["queue_totals"] = totals
	o["message_stats"] = r.statistics(counts, func(s *sample) messageCounts {
		var sum messageCounts
		for _, vh := range vhosts {
			sum.add(s.counts[vh])
		}
		return sum
	})
}

func (c *apiCall) objectTotals() object {
	queues, exchanges, consumers, channels := 0, 0, 0, 0
	vhosts, _ := c.vhosts()
	for _, vh := range vhosts {
		queues += len(vh.queues)
		exchanges += len(vh.exchanges)
		for _, q := range vh.queues {
			consumers += len(q.consumers)
		}
	}
	conns := c.visible()
	for _, conn := range conns {
		channels += len(conn.channels)
	}
	return object{"queues": queues, "exchanges": exchanges, "consumers": consumers, "connections": len(conns), "channels": channels}
}

// erlang is the version of Erlang that connection.start tells.
func (v Version) erlang() string {
	platform, _ := v.serverProperties().Get("platform")
	s, _ := platform.(string)
	return strings.TrimPrefix(s, "Erlang/OTP ")
}

func (c *apiCall) exchangeTypes() []object {
	all := []object{}
	for _, kind := range []string{kindDirect, kindFanout, kindHeaders, kindTopic} {
		all = append(all, object{"name": kind, "description": "AMQP " + kind + " exchange, as per the AMQP specification", "enabled": true})
	}
	if c.b.hasExchangeKind(kindConsistentHash) {
		all = append(all, object{"name": kindConsistentHash, "description": "Consistent Hashing Exchange", "enabled": true})
	}
	return all
}

func (c *apiCall) listNodes() apiReply { return c.list([]object{c.nodeJSON()}) }

func (c *apiCall) showNode() apiReply {
	if c.words["node"] != clusterName {
		return notFoundReply()
	}
	return c.one(c.nodeJSON())
}

// nodeJSON is the one node. Its memory and uptime are those of this process.
func (c *apiCall) nodeJSON() object {
	b := c.b
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	v := b.cfg.Version
	mechanisms := []object{}
	for _, name := range []string{"PLAIN", "AMQPLAIN"} {
		mechanisms = append(mechanisms, object{"name": name, "description": "SASL " + name + " authentication mechanism", "enabled": true})
	}
	plugins := append(slices.Clone(b.cfg.Plugins), "rabbitmq_management")
	slices.Sort(plugins)
	o := object{
		"name": clusterName, "type": "disc", "running": true, "partitions": []any{}, "cluster_links": []any{},
		"os_pid": strconv.Itoa(os.Getpid()), "processors": runtime.NumCPU(), "uptime": b.clock.now().Sub(b.tracer.start).Milliseconds(),
		"mem_used": memory.Sys, "mem_alarm": b.alarms["memory"], "disk_free_alarm": b.alarms["disk"], "rates_mode": "basic",
		"exchange_types": c.exchangeTypes(), "auth_mechanisms": mechanisms, "enabled_plugins": slices.Compact(plugins),
		"applications": []object{{"name": "rabbit", "description": "RabbitMQ", "version": v.release()}},
		"config_files": []any{}, "log_files": []any{}, "contexts": []object{},
	}
	c.b.mgmt.rates.details(o, "mem_used", float64(memory.Sys), func(*sample) float64 { return float64(memory.Sys) })
	if v.atLeast40() {
		o["being_drained"] = false
	}
	if v.atLeast43() {
		o["rabbitmq_version"], o["erlang_version"], o["erlang_full_version"] = v.release(), v.erlang(), "Erlang/OTP "+v.erlang()
	}
	return o
}
