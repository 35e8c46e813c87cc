package amqptest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/internal/wire"
	amqp "github.com/rabbitmq/amqp091-go"
)

func TestURL(t *testing.T) {
	b := New(t)
	if b.net.amqp != nil {
		t.Error("a socket is open before anybody asked")
	}
	if b.URL() != "amqp://guest:guest@"+b.Addr()+"/" {
		t.Errorf("URL %q, Addr %q", b.URL(), b.Addr())
	}
	b = Config{
		VHosts: []string{"a/b", "/"},
		Users:  map[string]User{"zoe": {Password: "p@ss", Tags: []string{"administrator"}}, "ann": {Password: "x"}},
	}.New(t)
	u, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	if u.User.Username() != "zoe" || password != "p@ss" || u.Path != "/a/b" {
		t.Errorf("URL %q", b.URL())
	}
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := b.Connections()[0]; got.VHost != "a/b" || got.User != "zoe" {
		t.Errorf("got %+v", got)
	}
}

func TestStartAtAnAddress(t *testing.T) {
	b, err := Config{Addr: "127.0.0.1:0"}.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := (Config{Addr: b.Addr()}).Start(); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("the address is taken: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		config Config
		text   string
	}{
		{Config{Version: "2.0"}, "Config.Version"},
		{Config{FrameMax: 100}, "Config.FrameMax"},
		{Config{Version: V43, FrameMax: 4096}, "Config.FrameMax"},
		{Config{MaxMessageSize: -1}, "Config.MaxMessageSize"},
		{Config{ConsumerTimeout: -1}, "Config.ConsumerTimeout"},
		{Config{DeadLetterRetry: -1}, "Config.DeadLetterRetry"},
		{Config{VHosts: []string{"/", "/"}}, "Config.VHosts"},
		{Config{Clock: 3}, "Config.Clock is 3: give Stopped or Running"},
		{Config{Users: map[string]User{"": {}}}, `Config.Users has a user named ""`},
		{Config{Users: map[string]User{"u": {Permissions: map[string]Permissions{"v": {}}}}}, `Config.Users["u"].Permissions has "v"`},
		{Config{Users: map[string]User{"u": {Permissions: map[string]Permissions{"/": {Read: "("}}}}}, `Config.Users["u"].Permissions["/"]`},
	} {
		if _, err := c.config.Start(); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestURLWithoutUsers(t *testing.T) {
	b := New(t)
	r := httptest.NewRequest(http.MethodDelete, "/api/users/guest", nil)
	r.SetBasicAuth("guest", "guest")
	w := httptest.NewRecorder()
	b.ManagementHandler().ServeHTTP(w, r)
	if got := b.PipeURL(); w.Code != http.StatusNoContent || got != "amqp://amqptest.invalid/" {
		t.Errorf("%d: %s", w.Code, got)
	}
	if got := b.ManagementURL(); strings.Contains(got, "@") {
		t.Error(got)
	}
}

// TestURLAfterClose: a client that connects again may outlive its test, which
// must not be ended then.
func TestURLAfterClose(t *testing.T) {
	r := &watchedTest{}
	b := New(r)
	r.end()
	if got := b.Addr() + b.URL() + b.ManagementURL(); got != "" || r.failed {
		t.Errorf("%q, failed: %t: %s", got, r.failed, r.log.String())
	}
}

func TestManagementURLIsOne(t *testing.T) {
	b := New(t)
	var urls [8]string
	var all sync.WaitGroup
	b.lock() // so that all ask at once
	for i := range urls {
		all.Go(func() { urls[i] = b.ManagementURL() })
	}
	<-time.After(5 * time.Millisecond)
	b.unlock()
	all.Wait()
	for _, u := range urls {
		if u == "" || u != urls[0] {
			t.Fatal(urls)
		}
	}
	b.lock()
	defer b.unlock()
	if n := len(b.mgmt.servers); n != 1 {
		t.Errorf("%d servers", n)
	}
}

func TestCloseEndsConnections(t *testing.T) {
	b, err := Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, shaking := dialRaw(t, b), connectRaw(t, b)
	silent := dialRaw(t, b) // does not answer
	shaking.write([]byte("AMQP\x00\x00\x09\x01"))
	expect[*wire.ConnectionStart](shaking, 0)
	url := b.URL()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.expectConnectionClosed(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
		shaking.expectEnd()
	}()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	expect[*wire.ConnectionClose](silent, 0)
	silent.expectEnd()
	if _, err := amqp.Dial(url); err == nil {
		t.Error("a closed broker took a connection")
	}
	if _, err := b.Dial(t.Context(), "tcp", ""); err == nil {
		t.Error("a closed broker took a pipe")
	}
	if _, err := b.Pipe().Read(make([]byte, 1)); err == nil {
		t.Error("the pipe of a closed broker is open")
	}
	if b.URL() != "" || b.Listen() == nil {
		t.Error("a closed broker listens")
	}
}

func TestDialHeedsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(t).Dial(ctx, "tcp", "x"); err == nil {
		t.Error("no error")
	}
}

func TestRestart(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r := dialRaw(t, b)
		for _, q := range []wire.QueueDeclare{
			{Queue: "classic", Durable: true},
			{Queue: "quorum", Durable: true, Arguments: wire.Table{{Key: "x-queue-type", Value: "quorum"}}},
			{Queue: "transient"},
		} {
			if q.Queue == "transient" && b.cfg.Version == V43 {
				continue // 4.3 refuses them
			}
			call[*wire.QueueDeclareOk](r, &q)
		}
		call[*wire.ExchangeDeclareOk](r, &wire.ExchangeDeclare{Exchange: "durable", Type: "fanout", Durable: true})
		call[*wire.ExchangeDeclareOk](r, &wire.ExchangeDeclare{Exchange: "transient", Type: "fanout"})
		call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
		persistent := wire.Properties{Flags: wire.FlagDeliveryMode, DeliveryMode: 2}
		for _, q := range []string{"classic", "quorum"} {
			r.publishWith(&wire.BasicPublish{RoutingKey: q}, persistent, "kept")
			expect[*wire.BasicAck](r, 1)
			r.publish("", q, "transient")
			expect[*wire.BasicAck](r, 1)
		}
		call[*wire.BasicConsumeOk](r, &wire.BasicConsume{Queue: "classic"})
		expectContent[*wire.BasicDeliver](r, 1)
		expectContent[*wire.BasicDeliver](r, 1)
		b.Restart()
		r.expectConnectionClosed(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
		for _, want := range []struct {
			queue string
			ready int
		}{{"classic", 1}, {"quorum", 2}} {
			if info, ok := b.Queue("/", want.queue); !ok || info.Ready != want.ready || info.Unacked != 0 {
				t.Errorf("%s: %+v", want.queue, info)
			}
		}
		if _, ok := b.Queue("/", "transient"); ok {
			t.Error("the transient queue is there")
		}
		r = dialRaw(t, b)
		call[*wire.ExchangeDeclareOk](r, &wire.ExchangeDeclare{Exchange: "durable", Passive: true})
		r.send(1, &wire.ExchangeDeclare{Exchange: "transient", Passive: true})
		r.expectClosed(1, 404, "NOT_FOUND - no exchange 'transient' in vhost '/'")
	})
}

func TestCloseAndCutConnections(t *testing.T) {
	b := New(t)
	first, second := dialRaw(t, b), dialRaw(t, b)
	if n := b.CloseConnections("Kick"); n != 2 {
		t.Errorf("%d closed", n)
	}
	first.expectConnectionClosed(320, "CONNECTION_FORCED - Kick")
	second.expectConnectionClosed(320, "CONNECTION_FORCED - Kick")
	r := dialRaw(t, b)
	if n := b.CutConnections(); n < 1 {
		t.Errorf("%d cut", n)
	}
	r.expectEnd()
	dialRaw(t, b)
}

func TestConnectionsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Config{Clock: Running}.New(t)
		conn, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
			Heartbeat: 10 * time.Second,
			Dial:      func(n, a string) (net.Conn, error) { return b.Dial(t.Context(), n, a) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := ch.PublishWithContext(t.Context(), "", "q", true, false, amqp.Publishing{Body: []byte("x"), Expiration: "60000"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := b.waitReady("q"); n != 1 {
			t.Errorf("%d ready", n)
		}
		<-time.After(61 * time.Second) // heartbeats keep the connection
		synctest.Wait()
		if n := b.waitReady("q"); n != 0 || conn.IsClosed() {
			t.Errorf("%d ready, closed: %t", n, conn.IsClosed())
		}
	})
}
