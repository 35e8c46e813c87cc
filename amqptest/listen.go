package amqptest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// listeners are the broker's ways in.
type listeners struct {
	amqp net.Listener // nil: not asked for yet
	err  error        // why there is none
	// fail, if not nil, ends the test that the broker was made for.
	fail func(format string, args ...any)
}

// Ports that pipes claim to be between.
const (
	amqpPort   = 5672
	amqpsPort  = 5671
	firstPort  = 49152
	clientPort = 16384 // how many there are
)

// errClosed is why nothing connects to a broker that was closed.
var errClosed = errors.New("amqptest: the broker is closed")

// Listen opens the broker's socket at Config.Addr, or at a free port of the
// loopback interface, if it is not open yet. URL and Addr do so too.
func (b *Broker) Listen() error {
	b.lock()
	defer b.unlock()
	return b.listen()
}

func (b *Broker) listen() error {
	if b.closed {
		return errClosed
	}
	if b.net.amqp != nil || b.net.err != nil {
		return b.net.err
	}
	l, err := net.Listen("tcp", cmp.Or(b.cfg.Addr, "127.0.0.1:0"))
	if err != nil {
		b.net.err = fmt.Errorf("amqptest: listen: %w", err)
		return b.net.err
	}
	b.net.amqp = l
	b.running.Go(func() { b.accept(l) })
	return nil
}

// accept takes connections until the listener is closed.
func (b *Broker) accept(l net.Listener) {
	for {
		socket, err := l.Accept()
		switch {
		case err == nil:
			b.lock()
			b.admit(socket)
			b.unlock()
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Too many open files, or a client that went away at once.
			b.cfg.Logger.Error("accept", "error", err)
			<-time.After(acceptPause)
		}
	}
}

// acceptPause keeps a failing accept from spinning.
const acceptPause = 10 * time.Millisecond

// Addr is the address of the broker's socket, which is opened if need be:
// "127.0.0.1:40001". It is "" when the broker is closed, and when that fails; a
// broker of New then ends its test. In testing/synctest use [Broker.Dial]:
// there is no socket in a bubble.
func (b *Broker) Addr() string {
	b.lock()
	defer b.unlock()
	if err := b.listen(); err != nil {
		b.misused(err)
		return ""
	}
	return b.net.amqp.Addr().String()
}

// URL is where clients connect to, as one of the users (guest, if there is
// such, else an administrator, else the first by name) and in the first of
// Config.VHosts: "amqp://guest:guest@127.0.0.1:40001/". It names no user when
// the management API deleted all of them. The socket is opened as by
// [Broker.Addr]; "" when there is none.
func (b *Broker) URL() string {
	addr := b.Addr()
	if addr == "" {
		return ""
	}
	return b.urlOf(addr)
}

// PipeURL is as URL, but opens no socket: it is for clients whose connections
// are made by [Broker.Dial].
func (b *Broker) PipeURL() string { return b.urlOf("amqptest.invalid") }

// urlOf is the URL of a client that connects to host.
func (b *Broker) urlOf(host string) string {
	b.lock()
	defer b.unlock()
	u := url.URL{Scheme: "amqp", Host: host, Path: "/"}
	if b.cfg.TLS != nil {
		u.Scheme = "amqps"
	}
	u.User = b.cfg.userinfo()
	if v := b.cfg.VHosts[0]; v != "/" {
		u.Path, u.RawPath = "/"+v, "/"+url.PathEscape(v)
	}
	return u.String()
}

// userinfo is the user of URL with the password; nil: there are no users.
func (c Config) userinfo() *url.Userinfo {
	name := c.someUser()
	if name == "" {
		return nil
	}
	return url.UserPassword(name, c.Users[name].Password)
}

// someUser is the user of URL; "": there are none.
func (c Config) someUser() string {
	if len(c.Users) == 0 {
		return ""
	}
	if _, ok := c.Users["guest"]; ok {
		return "guest"
	}
	var names []string
	for name := range c.Users {
		names = append(names, name)
	}
	isAdmin := func(name string) bool { return slices.Contains(c.Users[name].Tags, "administrator") }
	slices.SortFunc(names, func(a, b string) int {
		if isAdmin(a) != isAdmin(b) {
			if isAdmin(a) {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return names[0]
}

// Pipe is a connection to the broker in memory: the client's end. It needs no
// socket, and works in testing/synctest. Of a broker that is closed it is
// closed already.
func (b *Broker) Pipe() net.Conn {
	b.lock()
	defer b.unlock()
	port := amqpPort
	if b.cfg.TLS != nil {
		port = amqpsPort
	}
	client := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: firstPort + int(b.nextID%clientPort)}
	near, far := newPipe(client, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	b.admit(far)
	return near
}

// Dial is [Broker.Pipe] as a link.Config's Dial wants it. For an amqp.Config,
// whose Dial has two parameters, write
//
//	Dial: func(string, string) (net.Conn, error) { return b.Pipe(), nil }
//
// Network and address are ignored. The connection is not ended by ctx.
func (b *Broker) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("amqptest: dial: %w", err)
	}
	b.lock()
	closed := b.closed
	b.unlock()
	if closed {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	return b.Pipe(), nil
}

// admit makes a connection of a socket.
func (b *Broker) admit(socket net.Conn) {
	if b.closed {
		_ = socket.Close()
		return
	}
	b.nextID++
	c := &conn{
		broker: b, id: b.nextID, socket: socket,
		name:     socket.RemoteAddr().String() + " -> " + socket.LocalAddr().String(),
		channels: make(map[uint16]*channel),
		frameMax: b.cfg.Version.frameMin(), connected: b.clock.now(),
		resume: make(chan struct{}, 1), beats: make(chan time.Duration, 1), done: make(chan struct{}),
	}
	if b.faults.on && b.fault(faultPoint{conn: c, method: pointConnect}).cutBefore {
		_ = socket.Close()
		return
	}
	if b.cfg.TLS != nil {
		c.socket = tls.Server(socket, b.cfg.TLS)
	}
	c.out.wake = make(chan struct{}, 1)
	c.readTimeout = readTimeout{socket: c.socket, conn: c}
	c.in = wire.NewReader(&c.readTimeout)
	c.in.SetLimit(c.frameMax)
	b.conns[c.id] = c
	b.running.Go(c.serve)
	b.running.Go(c.write)
}
