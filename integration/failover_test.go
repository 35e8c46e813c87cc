package integration

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// Two brokers, one killed: publisher and consumer go on at the other one, and
// back again when that is killed and the first has come back. Whatever Publish
// accepted is in the broker that confirmed it.
func TestFailover(t *testing.T) {
	for _, version := range brokertest.Versions(t) {
		t.Run(version, func(t *testing.T) {
			brokers := map[string]*brokertest.Broker{}
			var urls []string
			for range 2 {
				b := brokertest.Fresh(t, version)
				uri, err := amqp.ParseURI(b.URL)
				if err != nil {
					t.Fatal(err)
				}
				brokers[fmt.Sprintf("%s:%d/%s", uri.Host, uri.Port, uri.Vhost)] = b
				urls = append(urls, b.URL)
				declareQueue(t, open(t, link.Config{URLs: []string{b.URL}}), "failover", quorum)
			}
			l := open(t, link.Config{URLs: urls, Heartbeat: 2 * time.Second, ReconnectMin: 50 * time.Millisecond, ReconnectMax: time.Second})
			p := publisher(t, l, confirm.Config{})
			handled := newTally()
			var confirmed atomic.Int64
			r := run(t, l, consumer.Config{Queue: "failover", Handler: func(_ context.Context, d amqp.Delivery) error {
				handled.add(d.MessageId)
				return nil
			}})
			publish := func(n int) {
				t.Helper()
				for range n {
					id := fmt.Sprint(confirmed.Add(1))
					if err := p.Publish(deadline(t), "", "failover", amqp.Publishing{MessageId: id}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 2 {
				publish(20)
				all := int(confirmed.Load())
				handled.until(t, "the messages of the first broker", func() bool { return handled.distinct() >= all })
				server := l.State(link.Publishing).Server
				first := brokers[server]
				if first == nil || strings.Contains(server, "@") {
					t.Fatalf("connected to %q", server)
				}
				first.Kill(t)
				publish(20) // waits for the other one
				all = int(confirmed.Load())
				handled.until(t, "the messages of the other broker", func() bool { return handled.distinct() >= all })
				for _, role := range []link.Role{link.Publishing, link.Consuming} {
					if s := l.State(role); s.Server == server || s.Server == "" {
						t.Errorf("%s is at %q", role, s.Server)
					}
				}
				first.Start(t)
			}
			if err := r.stopped(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// A password that is changed while a program runs: the next connect asks for
// it; and a password with an end is renewed on the connections that stand.
func TestCredentialsThatRotate(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		user := "rotating-" + b.VHost
		all := brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}
		change := func(password string) {
			t.Helper()
			if err := b.API().CreateUser(deadline(t), user, password, all); err != nil {
				t.Fatal(err)
			}
		}
		change("first")
		t.Cleanup(func() { _ = b.API().DeleteUser(context.Background(), user) })
		var password atomic.Value
		password.Store("first")
		proxy := b.Proxy(t)
		states := make(chan link.State, 1000)
		l := open(t, link.Config{
			URLs: []string{proxy.URL()}, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 100 * time.Millisecond,
			OnState: func(s link.State) { states <- s },
			Credentials: func(context.Context) (link.Credentials, error) {
				return link.Credentials{User: user, Password: password.Load().(string), Expires: time.Now().Add(3 * time.Second)}, nil
			},
		})
		up := func() {
			t.Helper()
			for n := 0; n < 2; {
				if s := wait(t, states, "a connection"); s.Status == link.Connected {
					n++
				}
			}
		}
		up()
		if err := l.RefreshCredentials(deadline(t)); err != nil {
			t.Error(err)
		}
		<-time.After(4 * time.Second) // renewed at 2.4 s
		if n := proxy.Dials(); n != 2 {
			t.Errorf("%d dials: renewing cost a connection", n)
		}
		change("second")
		password.Store("second")
		proxy.Cut()
		up()
		do(t, l, func(ch *amqp.Channel) error {
			return ch.Tx()
		})
	})
}

// What a program says of itself is shown by the management API, and no
// connection has more channels than it may.
func TestConnectionsShowTheirClient(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{b.URL}, Name: "orders", Properties: amqp.Table{"commit": "abc", "product": "shop"}, MaxChannels: 2})
		for range 6 {
			go func() {
				for {
					s, err := l.Session(t.Context(), link.Consuming)
					if err != nil {
						return
					}
					_ = s.Close(t.Context())
				}
			}()
		}
		brokertest.Eventually(t, patience, func() error {
			all, err := b.API().Connections(deadline(t))
			if err != nil {
				return err
			}
			found := map[string]bool{}
			for _, c := range all {
				if c.ClientProperties["commit"] == "abc" && c.ClientProperties["product"] == "shop" {
					found[fmt.Sprint(c.ClientProperties["connection_name"])] = true
				}
				if c.Channels > 2 {
					t.Errorf("%d channels", c.Channels)
				}
			}
			if !found["orders publishing"] || !found["orders consuming"] {
				return fmt.Errorf("connections: %v", all)
			}
			return nil
		})
	})
}
