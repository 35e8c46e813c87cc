package amqptest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// raw is a client that sends and receives frames as they are.
type raw struct {
	t  testing.TB
	nc net.Conn
	in *wire.Reader
}

// rawTimeout bounds each read. It is far beyond what any test takes.
const rawTimeout = 20 * time.Second

// connectRaw connects over a pipe and sends nothing.
func connectRaw(t testing.TB, b *Broker) *raw {
	t.Helper()
	return newRaw(t, b.Pipe())
}

func newRaw(t testing.TB, nc net.Conn) *raw {
	r := &raw{t: t, nc: nc, in: wire.NewReader(nc)}
	r.in.SetLimit(0)
	t.Cleanup(func() { _ = nc.Close() })
	return r
}

// dialRaw connects as guest to "/" and opens channel 1.
func dialRaw(t testing.TB, b *Broker) *raw {
	t.Helper()
	r := openRaw(t, b, "/")
	r.open(1)
	return r
}

// openRaw connects as the broker's some user to a virtual host.
func openRaw(t testing.TB, b *Broker, vhost string) *raw {
	t.Helper()
	name := b.cfg.someUser()
	r := connectRaw(t, b)
	r.login(name, b.cfg.Users[name].Password)
	r.tune(0, b.cfg.FrameMax)
	r.send(0, &wire.ConnectionOpen{VirtualHost: vhost})
	expect[*wire.ConnectionOpenOk](r, 0)
	return r
}

// rawCapabilities are those that dialRaw announces.
var rawCapabilities = wire.Table{
	{Key: "publisher_confirms", Value: true},
	{Key: "consumer_cancel_notify", Value: true},
	{Key: "connection.blocked", Value: true},
	{Key: "authentication_failure_close", Value: true},
}

// login goes as far as connection.start-ok.
func (r *raw) login(user, password string) {
	r.t.Helper()
	r.write([]byte("AMQP\x00\x00\x09\x01"))
	expect[*wire.ConnectionStart](r, 0)
	r.send(0, &wire.ConnectionStartOk{
		ClientProperties: wire.Table{
			{Key: "capabilities", Value: rawCapabilities},
			{Key: "connection_name", Value: "raw"},
		},
		Mechanism: "PLAIN", Response: []byte("\x00" + user + "\x00" + password), Locale: "en_US",
	})
}

// tune answers connection.tune. heartbeat is in seconds.
func (r *raw) tune(heartbeat uint16, frameMax uint32) {
	r.t.Helper()
	tune := expect[*wire.ConnectionTune](r, 0)
	r.send(0, &wire.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: frameMax, Heartbeat: heartbeat})
}

// open opens a channel.
func (r *raw) open(channel uint16) {
	r.t.Helper()
	r.send(channel, &wire.ChannelOpen{})
	expect[*wire.ChannelOpenOk](r, channel)
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(b); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// send sends methods.
func (r *raw) send(channel uint16, methods ...wire.Method) {
	r.t.Helper()
	var b []byte
	for _, m := range methods {
		b = wire.AppendMethod(b, channel, m)
	}
	r.write(b)
}

// appendPublish appends the frames of a publish.
func appendPublish(b []byte, channel uint16, m *wire.BasicPublish, props wire.Properties, body string) []byte {
	b = wire.AppendMethod(b, channel, m)
	b = wire.AppendHeader(b, channel, uint64(len(body)), wire.AppendProperties(nil, &props))
	if body != "" {
		b = wire.AppendBody(b, channel, []byte(body), 131072)
	}
	return b
}

// publish publishes on channel 1.
func (r *raw) publish(exchange, key, body string) {
	r.t.Helper()
	r.publishWith(&wire.BasicPublish{Exchange: exchange, RoutingKey: key}, wire.Properties{}, body)
}

// publishWith publishes on channel 1.
func (r *raw) publishWith(m *wire.BasicPublish, props wire.Properties, body string) {
	r.t.Helper()
	r.write(appendPublish(nil, 1, m, props, body))
}

// received is a method with, where it has one, its content.
type received struct {
	channel uint16
	method  wire.Method // nil: a heartbeat
	props   wire.Properties
	body    string
}

func (r *raw) frame() (wire.Frame, error) {
	_ = r.nc.SetReadDeadline(time.Now().Add(rawTimeout))
	return r.in.Read()
}

// read reads a method and its content.
func (r *raw) read() (received, error) {
	f, err := r.frame()
	if err != nil {
		return received{}, err
	}
	got := received{channel: f.Channel}
	if f.Type == wire.FrameHeartbeat {
		return got, nil
	}
	if got.method, err = wire.DecodeMethod(f.Payload); err != nil {
		return got, err
	}
	switch got.method.(type) {
	case *wire.BasicDeliver, *wire.BasicGetOk, *wire.BasicReturn:
	default:
		return got, nil
	}
	if f, err = r.frame(); err != nil {
		return got, err
	}
	_, size, properties, err := wire.DecodeHeader(f.Payload)
	if err != nil {
		return got, err
	}
	if got.props, err = wire.DecodeProperties(properties); err != nil {
		return got, err
	}
	for uint64(len(got.body)) < size {
		if f, err = r.frame(); err != nil {
			return got, err
		}
		if f.Type != wire.FrameBody {
			return got, fmt.Errorf("frame of type %d within a body", f.Type)
		}
		got.body += string(f.Payload)
	}
	return got, nil
}

// receive is read, heartbeats left out; an error ends the test.
func (r *raw) receive() received {
	r.t.Helper()
	for {
		got, err := r.read()
		if err != nil {
			r.t.Fatalf("read: %v", err)
		}
		if got.method != nil {
			return got
		}
	}
}

// expect receives a method of the type M on a channel.
func expect[M wire.Method](r *raw, channel uint16) M {
	r.t.Helper()
	m, _ := expectContent[M](r, channel)
	return m
}

// expectContent receives a method of the type M and its content.
func expectContent[M wire.Method](r *raw, channel uint16) (M, received) {
	r.t.Helper()
	got := r.receive()
	m, ok := got.method.(M)
	if !ok || got.channel != channel {
		r.t.Fatalf("channel %d: got %T%+v on channel %d, want %T", channel, got.method, got.method, got.channel, m)
	}
	return m, got
}

// call sends a method on channel 1 and receives its answer.
func call[M wire.Method](r *raw, m wire.Method) M {
	r.t.Helper()
	r.send(1, m)
	return expect[M](r, 1)
}

// expectEnd waits for the end of the connection.
func (r *raw) expectEnd() {
	r.t.Helper()
	got, err := r.read()
	if err == nil {
		r.t.Fatalf("got %T%+v on channel %d, want the end", got.method, got.method, got.channel)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		r.t.Fatalf("got %v, want the end", err)
	}
}

// expectClosed receives a channel.close with code and text, and answers it.
func (r *raw) expectClosed(channel, code uint16, text string) {
	r.t.Helper()
	m := expect[*wire.ChannelClose](r, channel)
	if m.ReplyCode != code || m.ReplyText != text {
		r.t.Fatalf("channel closed with %d %q, want %d %q", m.ReplyCode, m.ReplyText, code, text)
	}
	r.send(channel, &wire.ChannelCloseOk{})
}

// expectConnectionClosed receives a connection.close with code and text,
// answers it, and waits for the end.
func (r *raw) expectConnectionClosed(code uint16, text string) {
	r.t.Helper()
	m := expect[*wire.ConnectionClose](r, 0)
	if m.ReplyCode != code || m.ReplyText != text {
		r.t.Fatalf("connection closed with %d %q, want %d %q", m.ReplyCode, m.ReplyText, code, text)
	}
	r.send(0, &wire.ConnectionCloseOk{})
	r.expectEnd()
}
