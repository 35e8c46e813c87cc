package amqptest

import (
	"net/http"
	"slices"
	"strconv"
)

func healthRoutes() []apiRoute {
	always := onGet(func(*apiCall) apiReply { return healthy() })
	return []apiRoute{
		{"health/checks/alarms", anyone, onGet(func(c *apiCall) apiReply { return c.checkAlarms("in the cluster") })},
		{"health/checks/local-alarms", anyone, onGet(func(c *apiCall) apiReply { return c.checkAlarms("on the node") })},
		{"health/checks/virtual-hosts", anyone, always},
		{"health/checks/node-is-quorum-critical", anyone, onGet(singleNode)},
		{"health/checks/node-is-mirror-sync-critical", anyone, onGet(singleNode)},
		{"health/checks/ready-to-serve-clients", anyone, always},
		{"health/checks/is-in-service", anyone, always},
		{"health/checks/port-listener/{port}", anyone, onGet((*apiCall).checkPort)},
		{"health/checks/protocol-listener/{protocol}", anyone, onGet((*apiCall).checkProtocol)},
		{"health/checks/certificate-expiration/{within}/{unit}", anyone, onGet((*apiCall).checkCertificates)},
		{"healthchecks/node", anyone, always},
		{"healthchecks/node/{node}", anyone, always},
		{"aliveness-test/{vhost}", ofVHost, onGet((*apiCall).checkAliveness)},
	}
}

func healthy() apiReply { return okReply(object{"status": "ok"}) }

// failedCheck is the answer of a health check that failed.
func failedCheck(reason string, more object) apiReply {
	more["status"], more["reason"] = "failed", reason
	return apiReply{status: http.StatusServiceUnavailable, body: more}
}

func singleNode(*apiCall) apiReply {
	return okReply(object{"status": "ok", "reason": "single node cluster"})
}

func (c *apiCall) checkAlarms(where string) apiReply {
	var alarms []object
	for _, resource := range []string{"disk", "memory"} {
		if c.b.alarms[resource] {
			alarms = append(alarms, object{"node": clusterName, "resource": resource})
		}
	}
	if len(alarms) == 0 {
		return healthy()
	}
	return failedCheck("There are alarms in effect "+where, object{"alarms": alarms})
}

func (c *apiCall) checkPort() apiReply {
	port, err := strconv.Atoi(c.words["port"])
	if err != nil || port < 0 || port > 65535 {
		return badRequest("Invalid port")
	}
	ports := []int{}
	for _, l := range c.listeners() {
		ports = append(ports, l.port)
	}
	if slices.Contains(ports, port) {
		return okReply(object{"status": "ok", "port": port})
	}
	return failedCheck("No active listener", object{"missing": port, "ports": ports})
}

// protocolNames are other words for protocols that RabbitMQ takes.
var protocolNames = map[string]string{
	"amqp091": "amqp", "amqp0-9-1": "amqp", "amqp0.9.1": "amqp", "amqp10": "amqp", "amqps": "amqp/ssl", "amqp091s": "amqp/ssl",
}

func (c *apiCall) checkProtocol() apiReply {
	name := c.words["protocol"]
	if alias, known := protocolNames[name]; known {
		name = alias
	}
	protocols := []string{}
	for _, l := range c.listeners() {
		if !slices.Contains(protocols, l.protocol) {
			protocols = append(protocols, l.protocol)
		}
	}
	at43 := c.b.cfg.Version.atLeast43()
	switch found := slices.Contains(protocols, name); {
	case found && at43:
		return okReply(object{"status": "ok", "protocols": protocols})
	case found:
		return okReply(object{"status": "ok", "protocol": name})
	case at43:
		return failedCheck("No active listener", object{"missing": []string{name}, "protocols": protocols})
	}
	return failedCheck("No active listener", object{"missing": name, "protocols": protocols})
}

func (c *apiCall) checkCertificates() apiReply {
	within, err := strconv.Atoi(c.words["within"])
	if err != nil || within < 0 {
		return badRequest("Invalid expiration period.")
	}
	until := c.b.clock.now()
	switch c.words["unit"] {
	case "day", "days":
		until = until.AddDate(0, 0, within)
	case "week", "weeks":
		until = until.AddDate(0, 0, 7*within)
	case "month", "months":
		until = until.AddDate(0, within, 0)
	case "year", "years":
		until = until.AddDate(within, 0, 0)
	default:
		return badRequest("Time unit not recognised. Supported units: days, weeks, months, years.")
	}
	if c.b.cfg.TLS == nil {
		return healthy()
	}
	for _, pair := range c.b.cfg.TLS.Certificates {
		if pair.Leaf != nil && pair.Leaf.NotAfter.Before(until) {
			return failedCheck("Certificates expiring", object{"expired": []object{{
				"node": clusterName, "protocol": "amqp/ssl", "cert_expires_on": pair.Leaf.NotAfter.Format("2006-01-02T15:04:05Z07:00"),
			}}})
		}
	}
	return healthy()
}

func (c *apiCall) checkAliveness() apiReply {
	if c.vhost() == nil {
		return notFoundReply()
	}
	return healthy()
}
