package amqptest

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func connectionRoutes() []apiRoute {
	return []apiRoute{
		{"connections", anyone, onGet((*apiCall).listConnections)},
		{"connections/username/{user}", anyone, onGet((*apiCall).connectionsOfUser).and(http.MethodDelete, (*apiCall).closeConnectionsOfUser)},
		{"connections/{connection}", anyone, onGet((*apiCall).showConnection).and(http.MethodDelete, (*apiCall).closeConnection)},
		{"connections/{connection}/channels", anyone, onGet((*apiCall).connectionChannels)},
		{"channels", anyone, onGet((*apiCall).listChannels)},
		{"channels/{channel}", anyone, onGet((*apiCall).showChannel)},
	}
}

// visible are the connections that the user may see: its own, or all. They are
// those whose handshake is done.
func (c *apiCall) visible() []*conn {
	return slices.DeleteFunc(c.b.connsInOrder(), func(conn *conn) bool {
		return conn.state != stateRunning || conn.vhost == nil || !c.isMonitor() && conn.user != c.user
	})
}

func (c *apiCall) listConnections() apiReply { return c.connections(c.visible()) }

func (c *apiCall) connections(conns []*conn) apiReply {
	var all []object
	for _, conn := range conns {
		all = append(all, c.connectionJSON(conn))
	}
	return c.list(all)
}

func (c *apiCall) vhostConnections() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	return c.connections(slices.DeleteFunc(c.visible(), func(conn *conn) bool { return conn.vhost != vh }))
}

// connection is that of the path; nil: there is none that the user may see.
func (c *apiCall) connection() *conn {
	for _, conn := range c.visible() {
		if conn.name == c.words["connection"] {
			return conn
		}
	}
	return nil
}

func (c *apiCall) showConnection() apiReply {
	conn := c.connection()
	if conn == nil {
		return notFoundReply()
	}
	o := c.connectionJSON(conn)
	for name, v := range o { // what is null in lists is an empty text here
		if v == nil {
			o[name] = ""
		}
	}
	return c.one(o)
}

func (c *apiCall) closeConnection() apiReply {
	conn := c.connection()
	if conn == nil {
		return notFoundReply()
	}
	conn.forceClose(c.reason())
	return noContent()
}

// reason is what a client is told whose connection is closed.
func (c *apiCall) reason() string {
	return cmp.Or(c.r.Header.Get("X-Reason"), "Closed via management plugin")
}

// ofUser are the open connections of a user.
func (c *apiCall) ofUser() []*conn {
	return slices.DeleteFunc(c.visible(), func(conn *conn) bool { return conn.user != c.words["user"] })
}

func (c *apiCall) connectionsOfUser() apiReply {
	var all []object
	for _, conn := range c.ofUser() {
		all = append(all, object{"name": conn.name, "vhost": conn.vhost.name, "user": conn.user, "node": clusterName})
	}
	return c.list(all)
}

func (c *apiCall) closeConnectionsOfUser() apiReply {
	for _, conn := range c.ofUser() {
		conn.forceClose(c.reason())
	}
	return noContent()
}

func (c *apiCall) connectionJSON(conn *conn) object {
	peerHost, peerPort, host, port := conn.ends()
	o := object{
		"name": conn.name, "node": clusterName, "type": "network", "protocol": "AMQP 0-9-1", "state": conn.stateName(),
		"vhost": conn.vhost.name, "user": conn.user, "user_who_performed_action": conn.user, "auth_mechanism": conn.mechanism,
		"channels": len(conn.channels), "channel_max": conn.channelMax, "frame_max": conn.frameMax,
		"timeout": int64(conn.heartbeat / time.Second), "connected_at": conn.connected.UnixMilli(),
		"client_properties": tableJSON(conn.properties),
		"host":              host, "port": port, "peer_host": peerHost, "peer_port": peerPort,
		"peer_cert_issuer": nil, "peer_cert_subject": nil, "peer_cert_validity": nil,
		"ssl": false, "ssl_protocol": nil, "ssl_cipher": nil, "ssl_hash": nil, "ssl_key_exchange": nil,
		"recv_cnt": conn.stats.receivedCount.Load(), "send_cnt": conn.stats.sentCount.Load(), "send_pend": conn.out.pending.Load(),
	}
	if name := conn.clientName(); name != "" {
		o["user_provided_name"] = name
	}
	at, r := conn.octets(), &c.b.mgmt.rates
	r.count(o, "recv_oct", at.received, func(s *sample) uint64 { return s.conns[conn].received })
	r.count(o, "send_oct", at.sent, func(s *sample) uint64 { return s.conns[conn].sent })
	if t, ok := conn.socket.(*tls.Conn); ok {
		conn.showTLS(o, t.ConnectionState())
	}
	return o
}

func (c *conn) showTLS(o object, state tls.ConnectionState) {
	o["ssl"] = true
	o["ssl_protocol"] = strings.ReplaceAll(strings.ToLower(tls.VersionName(state.Version)), "tls 1.", "tlsv1.")
	o["ssl_cipher"] = tls.CipherSuiteName(state.CipherSuite)
	if len(state.PeerCertificates) == 0 {
		return
	}
	cert := state.PeerCertificates[0]
	o["peer_cert_subject"], o["peer_cert_issuer"] = cert.Subject.String(), cert.Issuer.String()
	o["peer_cert_validity"] = fmt.Sprintf("%s - %s", cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
}

// ends are the addresses of the client and of the broker.
func (c *conn) ends() (peerHost string, peerPort int, host string, port int) {
	peer, own, _ := strings.Cut(c.name, " -> ")
	peerHost, peerPort = hostPort(peer)
	host, port = hostPort(own)
	return peerHost, peerPort, host, port
}

func hostPort(addr string) (string, int) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	port, _ := strconv.Atoi(p)
	return host, port
}

// name is a channel's as RabbitMQ shows it.
func (ch *channel) name() string { return fmt.Sprintf("%s (%d)", ch.conn.name, ch.id) }

func (c *apiCall) listChannels() apiReply { return c.channels(c.visible()) }

func (c *apiCall) channels(conns []*conn) apiReply {
	var all []object
	for _, conn := range conns {
		for _, ch := range conn.channelsInOrder() {
			if !ch.gone && !ch.closing {
				all = append(all, c.channelJSON(ch))
			}
		}
	}
	return c.list(all)
}

func (c *apiCall) connectionChannels() apiReply {
	conn := c.connection()
	if conn == nil {
		return notFoundReply()
	}
	return c.channels(append(c.visible()[:0], conn))
}

func (c *apiCall) vhostChannels() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	return c.channels(slices.DeleteFunc(c.visible(), func(conn *conn) bool { return conn.vhost != vh }))
}

func (c *apiCall) showChannel() apiReply {
	for _, conn := range c.visible() {
		for _, ch := range conn.channelsInOrder() {
			if ch.name() != c.words["channel"] || ch.gone || ch.closing {
				continue
			}
			o := c.channelJSON(ch)
			consumers := []object{}
			for _, cons := range ch.consumersInOrder() {
				consumers = append(consumers, cons.json())
			}
			o["consumer_details"], o["publishes"], o["deliveries"] = consumers, []object{}, []object{}
			return c.one(o)
		}
	}
	return notFoundReply()
}

func (c *apiCall) channelJSON(ch *channel) object {
	conn := ch.conn
	host, port, _, _ := conn.ends()
	uncommitted, acks := 0, 0
	if ch.tx != nil {
		uncommitted = len(ch.tx.publications)
		for _, s := range ch.settling {
			acks += len(s.deliveries)
		}
	}
	o := object{
		"name": ch.name(), "number": ch.id, "node": clusterName, "vhost": conn.vhost.name, "user": conn.user,
		"user_who_performed_action": conn.user, "state": "running",
		"connection_details": object{"name": conn.name, "peer_host": host, "peer_port": port},
		"confirm":            ch.confirming, "transactional": ch.tx != nil, "consumer_count": len(ch.consumers),
		"prefetch_count": ch.prefetch, "messages_unacknowledged": len(ch.unackedEntries()),
		"messages_unconfirmed": len(ch.confirms.open), "messages_uncommitted": uncommitted, "acks_uncommitted": acks,
		"pending_raft_commands": 0,
	}
	if !c.b.cfg.Version.atLeast40() || ch.limit > 0 {
		o["global_prefetch_count"] = ch.limit
	}
	r := &c.b.mgmt.rates
	if stats := r.statistics(ch.counts, func(s *sample) messageCounts { return s.channels[ch] }); len(stats) > 0 {
		o["message_stats"] = stats
	}
	return o
}
