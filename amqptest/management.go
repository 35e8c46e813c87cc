package amqptest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// management is the state of the management HTTP API, under Broker.mu.
type management struct {
	servers []*http.Server
	first   net.Listener // where ManagementURL leads; nil: nowhere yet
	addrs   []net.Addr   // of all
	rates   rates
}

// managementTimeout bounds how long a client may take to send a request's
// header, and how long it may be idle between requests.
const managementTimeout = 60 * time.Second

// ManagementHandler serves RabbitMQ's management HTTP API, under /api/: the
// same paths, methods, status codes, fields and basic authentication, as far
// as they make sense here. What tells of Erlang's memory, processes or files
// is left out; policies, parameters and limits can be listed, and are none.
// It needs no socket: in testing/synctest, call its ServeHTTP.
func (b *Broker) ManagementHandler() http.Handler {
	b.lock()
	defer b.unlock()
	b.mgmt.rates.watch(b)
	return http.HandlerFunc(b.serveManagement)
}

// ListenManagement serves the management HTTP API at an address such as
// "127.0.0.1:15672", without TLS, until the broker is closed. It may be called
// more than once. The error is that of net.Listen.
func (b *Broker) ListenManagement(addr string) error {
	b.lock()
	defer b.unlock()
	return b.listenManagement(addr)
}

func (b *Broker) listenManagement(addr string) error {
	if b.closed {
		return errClosed
	}
	b.mgmt.rates.watch(b)
	handler := http.HandlerFunc(b.serveManagement)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("amqptest: listen for the management API: %w", err)
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: managementTimeout, IdleTimeout: managementTimeout, ConnState: b.managementConn}
	b.mgmt.servers = append(b.mgmt.servers, s)
	b.mgmt.addrs = append(b.mgmt.addrs, l.Addr())
	if b.mgmt.first == nil {
		b.mgmt.first = l
	}
	b.running.Go(func() {
		_ = s.Serve(l) // http.ErrServerClosed: it ends with the broker
	})
	return nil
}

// managementConn counts the goroutines of HTTP connections among those that
// Close waits for.
func (b *Broker) managementConn(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		b.running.Add(1)
	case http.StateClosed, http.StateHijacked:
		b.running.Done()
	}
}

// ManagementURL is where the management HTTP API is, with the user of
// [Broker.URL]: "http://guest:guest@127.0.0.1:15672". The first call opens a
// free port of the loopback interface unless [Broker.ListenManagement] was
// called before. It is "" when the broker is closed, and when that fails; a
// broker of New then ends its test.
func (b *Broker) ManagementURL() string {
	b.lock()
	defer b.unlock()
	if b.closed {
		return ""
	}
	if b.mgmt.first == nil {
		if err := b.listenManagement("127.0.0.1:0"); err != nil {
			b.misused(err)
			return ""
		}
	}
	u := url.URL{Scheme: "http", Host: b.mgmt.first.Addr().String(), User: b.cfg.userinfo()}
	return u.String()
}

// close ends the servers. It is called under Broker.mu and waits for nothing.
func (m *management) close() {
	for _, s := range m.servers {
		_ = s.Close() // what was being answered is lost, as with a node that goes down
	}
	m.servers = nil
	m.rates.stop()
}
