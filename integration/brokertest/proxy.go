package brokertest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Direction is one of the two ways through a Proxy.
type Direction uint8

// The two ways.
const (
	ToBroker Direction = iota
	ToClient
)

// Proxy is a TCP proxy in front of a broker that breaks connections on command. It ends with the test. Its methods may
// be called concurrently.
type Proxy struct {
	url      string
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	change  *sync.Cond
	pairs   map[*pair]struct{}
	closed  bool
	refuse  bool
	stalled [2]bool
	limited [2]bool
	budget  [2]int64 // bytes that may still pass, where limited
	passed  [2]int64
	dials   int
}

// pair is one connection through the proxy: its side to the client, its side to the broker.
type pair struct{ client, broker *net.TCPConn }

// Proxy starts a proxy to the broker.
func (b *Broker) Proxy(t testing.TB) *Proxy {
	t.Helper()
	p, err := newProxy(b.URL)
	if err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Errorf("brokertest: %v", err)
		}
	})
	return p
}

func newProxy(brokerURL string) (*Proxy, error) {
	u, err := url.Parse(brokerURL)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{target: u.Host, listener: l, pairs: map[*pair]struct{}{}}
	p.change = sync.NewCond(&p.mu)
	u.Host = l.Addr().String()
	p.url = u.String()
	p.wg.Go(p.accept)
	return p, nil
}

// URL is the broker's, by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// Cut resets every connection of now. New ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		reset(c.client)
		reset(c.broker)
	}
}

// Stall holds what flows in the directions given, none given: in both, without closing anything. Stall(ToClient)
// lets publishes through and keeps their confirms.
func (p *Proxy) Stall(directions ...Direction) { p.setStalled(true, directions) }

// Resume ends Stall; what was held flows on.
func (p *Proxy) Resume(directions ...Direction) { p.setStalled(false, directions) }

// Refuse resets new connections at once, or stops doing so. Those of now stay: see Cut.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// CutAfterBytes lets n more bytes through in that direction, over all connections together, then cuts the connection
// that carries the next one: the receiver gets exactly those bytes and then the end, the sender a reset. It happens
// once; a negative n takes it back.
func (p *Proxy) CutAfterBytes(d Direction, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limited[d], p.budget[d] = n >= 0, n
}

// Passed is the number of bytes that have gone through in that direction, over all connections.
func (p *Proxy) Passed(d Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[d]
}

// Connections is the number of connections through the proxy now.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// Dials is the number of connections that clients have tried since the start, refused ones included.
func (p *Proxy) Dials() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

func (p *Proxy) setStalled(stalled bool, directions []Direction) {
	if len(directions) == 0 {
		directions = []Direction{ToBroker, ToClient}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		p.stalled[d] = stalled
	}
	p.change.Broadcast()
}

func (p *Proxy) close() error {
	p.mu.Lock()
	p.closed = true
	p.change.Broadcast()
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(10 * time.Millisecond) // out of file descriptors, or the client was gone before: both pass
			continue
		}
		p.wg.Go(func() { p.serve(conn.(*net.TCPConn)) })
	}
}

// serve carries one connection and returns when both ways have ended.
func (p *Proxy) serve(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	if !p.admit() {
		reset(client)
		return
	}
	conn, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil { // the broker is down: so is the proxy
		reset(client)
		return
	}
	broker := conn.(*net.TCPConn)
	defer func() { _ = broker.Close() }()
	c := &pair{client: client, broker: broker}
	if !p.register(c) {
		reset(client)
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.pump(ToBroker, broker, client) })
	ways.Go(func() { p.pump(ToClient, client, broker) })
	ways.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

func (p *Proxy) admit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials++
	return !p.refuse && !p.closed
}

func (p *Proxy) register(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refuse {
		return false
	}
	p.pairs[c] = struct{}{}
	return true
}

// pump carries one way until either end is gone.
func (p *Proxy) pump(d Direction, dst, src *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			allowed, cut := p.pass(d, n)
			if _, werr := dst.Write(buf[:allowed]); werr != nil {
				err = werr
			}
			if cut {
				_ = dst.Close() // in good order: what was allowed arrives
				reset(src)
				return
			}
		}
		if err != nil {
			_ = dst.CloseWrite()
			var reason *net.OpError
			if errors.As(err, &reason) { // a reset, or closed by Cut: no half-open rest
				reset(dst)
				reset(src)
			}
			return
		}
	}
}

// pass waits while the way is stalled and says how many of n bytes may go, and whether to cut after them.
func (p *Proxy) pass(d Direction, n int) (allowed int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled[d] && !p.closed {
		p.change.Wait()
	}
	allowed = n
	if p.limited[d] {
		if int64(n) > p.budget[d] {
			allowed, cut = int(p.budget[d]), true
			p.limited[d] = false
		}
		p.budget[d] -= int64(allowed)
	}
	p.passed[d] += int64(allowed)
	return allowed, cut
}

// reset closes with RST instead of FIN, as a broken network does.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
