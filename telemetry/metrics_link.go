package telemetry

import (
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/hareline/hareline/link"
)

// OnState counts connections that stand, reconnects, and the time for which the
// broker takes no messages. It is for link.Config.OnState. One Telemetry may serve
// several links; then, where one of them loses its connection to a server whose alarm
// blocks another one, that block counts as over.
func (t *Telemetry) OnState(s link.State) {
	if t != nil && t.counts != nil {
		t.counts.links.change(s)
	}
}

// links are the states of the connections, by role.
type links struct {
	mu    sync.Mutex
	roles [2]roleState
}

type roleState struct {
	as         metric.ObserveOption
	connected  int64
	servers    map[string]int // of them, by server
	lost       int64          // and not made again yet
	reconnects int64
	blocked    map[string]int // connections, by server
	since      time.Time      // that any is blocked
	total      time.Duration  // before since
	told       time.Duration  // a counter must not go back when an end is told late
}

func (l *links) init() {
	for i := range l.roles {
		l.roles[i].as = observed(system, keyRole.String(link.Role(i).String())) //nolint:gosec // there are two
		l.roles[i].servers, l.roles[i].blocked = make(map[string]int), make(map[string]int)
	}
}

func (l *links) change(s link.State) {
	if int(s.Role) >= len(l.roles) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.roles[s.Role]
	switch s.Status {
	case link.Connected:
		r.connected++
		r.servers[s.Server]++
		if r.lost > 0 {
			r.lost--
			r.reconnects++
		}
	case link.Disconnected:
		r.lost++
		r.gone(s.Server, s.At)
	case link.Closed:
		if s.Server == "" { // it was lost before
			r.lost--
			return
		}
		r.gone(s.Server, s.At)
	case link.Blocked:
		if r.blocked[s.Server] >= max(1, r.servers[s.Server]) { // told again, with another reason
			return
		}
		if len(r.blocked) == 0 {
			r.since = s.At
		}
		r.blocked[s.Server]++
	case link.Unblocked:
		r.unblock(s.Server, s.At)
	}
}

// gone ends a connection to that server.
func (r *roleState) gone(server string, at time.Time) {
	r.connected--
	if r.servers[server]--; r.servers[server] <= 0 {
		delete(r.servers, server)
	}
	r.unblock(server, at)
}

// unblock ends the block of one connection to that server, if there is one.
func (r *roleState) unblock(server string, at time.Time) {
	if r.blocked[server] == 0 {
		return
	}
	if r.blocked[server]--; r.blocked[server] == 0 {
		delete(r.blocked, server)
	}
	if len(r.blocked) == 0 {
		r.total += max(0, at.Sub(r.since))
	}
}

// blockedFor is the time for which any connection has been blocked.
func (r *roleState) blockedFor(now time.Time) time.Duration {
	lasted := r.total
	if len(r.blocked) > 0 {
		lasted += max(0, now.Sub(r.since))
	}
	r.told = max(r.told, lasted)
	return r.told
}

// each calls f for the two roles.
func (l *links) each(f func(*roleState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.roles {
		f(&l.roles[i])
	}
}

// ofLinks makes what is observed of links.
func (in *instruments) ofLinks(meter metric.Meter) error {
	blocked, err := meter.Float64ObservableCounter("hareline.link.blocked.time", metric.WithUnit("s"),
		metric.WithDescription("Time for which the broker took no messages because of an alarm (connection.blocked); a block that lasts counts too."))
	in.observe(blocked, func(o metric.Observer) {
		now := time.Now()
		in.links.each(func(r *roleState) { o.ObserveFloat64(blocked, r.blockedFor(now).Seconds(), r.as) })
	})
	return errors.Join(err,
		in.count(meter, "hareline.link.reconnects", "{reconnect}", "Connections made again after they had been lost.", func(p put) {
			in.links.each(func(r *roleState) { p(r.reconnects, r.as) })
		}),
		in.level(meter, "hareline.link.connections", "{connection}", "Connections to the broker that stand.", func(p put) {
			in.links.each(func(r *roleState) { p(r.connected, r.as) })
		}),
	)
}
