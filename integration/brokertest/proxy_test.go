package brokertest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo is a server that keeps what it gets and sends it back.
type echo struct {
	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	got      bytes.Buffer
	ended    chan struct{} // one value for every connection that ended
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: l, ended: make(chan struct{}, 16)}
	e.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			e.wg.Go(func() { e.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		e.wg.Wait()
	})
	return e
}

func (e *echo) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		e.ended <- struct{}{}
	}()
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		e.mu.Lock()
		e.got.Write(buf[:n])
		e.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (e *echo) received() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got.String()
}

func startProxy(t *testing.T) (*Proxy, *echo) {
	t.Helper()
	e := startEcho(t)
	p, err := newProxy("amqp://user:pass@" + e.listener.Addr().String() + "/vhost")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p, e
}

func connect(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	u, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != want {
		t.Fatalf("got %q, %v; want %q", buf, err, want)
	}
}

func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
}

func TestProxyPassesAndCounts(t *testing.T) {
	p, e := startProxy(t)
	conn := connect(t, p)
	send(t, conn, "hello")
	expect(t, conn, "hello")
	if p.Passed(ToBroker) != 5 || p.Passed(ToClient) != 5 || p.Connections() != 1 || p.Dials() != 1 {
		t.Fatalf("passed %d and %d, connections %d, dials %d", p.Passed(ToBroker), p.Passed(ToClient), p.Connections(), p.Dials())
	}
	conn.Close()
	<-e.ended
	Eventually(t, 5*time.Second, func() error {
		if p.Connections() != 0 {
			return errors.New("the connection is still there")
		}
		return nil
	})
}

func TestProxyCutResetsAndLetsNewOnesThrough(t *testing.T) {
	p, e := startProxy(t)
	conn := connect(t, p)
	send(t, conn, "a")
	expect(t, conn, "a")
	p.Cut()
	expectReset(t, conn)
	<-e.ended
	again := connect(t, p)
	send(t, again, "b")
	expect(t, again, "b")
}

func TestProxyRefuse(t *testing.T) {
	p, _ := startProxy(t)
	p.Refuse(true)
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err == nil {
		_, err = io.ReadAll(conn)
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
	p.Refuse(false)
	conn = connect(t, p)
	send(t, conn, "b")
	expect(t, conn, "b")
}

func TestProxyStallHoldsOneDirection(t *testing.T) {
	p, e := startProxy(t)
	conn := connect(t, p)
	p.Stall(ToClient)
	send(t, conn, "question")
	Eventually(t, 5*time.Second, func() error {
		if e.received() != "question" {
			return errors.New("the broker has not got it")
		}
		return nil
	})
	if p.Passed(ToClient) != 0 {
		t.Fatal("the answer came through a stalled direction")
	}
	p.Resume()
	expect(t, conn, "question")
}

func TestProxyCutAfterBytes(t *testing.T) {
	p, e := startProxy(t)
	conn := connect(t, p)
	p.CutAfterBytes(ToBroker, 6)
	send(t, conn, "12")
	expect(t, conn, "12")
	send(t, conn, "3456789")
	<-e.ended
	if got := e.received(); got != "123456" {
		t.Fatalf("the broker got %q, want exactly the first 6 bytes", got)
	}
	again := connect(t, p) // only once
	send(t, again, "abcdefghij")
	expect(t, again, "abcdefghij")
}

func TestProxyCloseEndsStalledConnections(t *testing.T) {
	p, _ := startProxy(t)
	conn := connect(t, p)
	p.Stall()
	send(t, conn, "x") // the clean-up would hang here if close did not release the stall
}
