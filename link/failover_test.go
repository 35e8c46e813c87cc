package link_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// cluster are brokers by the host that a URL names.
type cluster map[string]*amqptest.Broker

func newCluster(t *testing.T, hosts ...string) cluster {
	c := cluster{}
	for _, host := range hosts {
		c[host] = amqptest.Config{Clock: amqptest.Running}.New(t)
	}
	return c
}

func (c cluster) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	if b := c[host]; b != nil {
		return b.Dial(ctx, network, addr)
	}
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

func servers(l *link.Link) []string {
	return []string{l.State(link.Publishing).Server, l.State(link.Consuming).Server}
}

// Many links spread over the brokers; each link stays on one.
func TestLinksSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		found := map[string]int{}
		for range 60 {
			l := open(t, nil, link.Config{URLs: []string{"amqp://a/", "amqp://b/", "amqp://c/"}, Dial: c.dial})
			s := servers(l)
			if s[0] != s[1] {
				t.Errorf("one link on two brokers: %v", s)
			}
			found[s[0]]++
			if err := l.Close(soon(t)); err != nil {
				t.Error(err)
			}
		}
		if len(found) != 3 {
			t.Errorf("60 links on %v", found)
		}
	})
}

// A lost connection goes on with the next broker first, and round until one
// answers; in order, it begins at the first.
func TestFailover(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		t.Run(fmt.Sprint(inOrder), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, "a", "b", "c")
				var mu sync.Mutex
				var dialed []string
				l := open(t, nil, link.Config{
					URLs: []string{"amqp://a/", "amqp://b/", "amqp://c/"}, InOrder: inOrder,
					Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
						mu.Lock()
						dialed = append(dialed, addr)
						mu.Unlock()
						return c.dial(ctx, network, addr)
					},
				})
				at := func() string { s := servers(l); return s[0] }
				on := func(server string) *amqptest.Broker { return c[strings.TrimSuffix(server, ":5672/")] }
				var seen []string
				for range 3 {
					seen = append(seen, at())
					dialed = nil
					on(at()).CutConnections()
					pass(time.Minute)
					works(t, l)
					if len(dialed) != 2 {
						t.Errorf("dialed %v", dialed)
					}
				}
				if inOrder && fmt.Sprint(seen) != "[a:5672/ a:5672/ a:5672/]" {
					t.Errorf("in order on %v", seen)
				}
				if !inOrder && (seen[0] == seen[1] || seen[1] == seen[2] || seen[0] == seen[2]) {
					t.Errorf("on %v", seen)
				}
			})
		})
	}
}

// A broker that refuses and one that is dead do not keep a link from the third;
// while none is there its State says why.
func TestFailoverPastRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		l := open(t, nil, link.Config{
			URLs: []string{"amqp://guest:wrong@a/", "amqp://guest:guest@b/", "amqp://guest:guest@dead/"}, Dial: c.dial,
		})
		if s := servers(l); s[0] != "b:5672/" {
			t.Errorf("on %v", s)
		}
		n := inject(t, c["b"], amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1})
		c["b"].CutConnections()
		pass(time.Minute)
		for _, role := range []link.Role{link.Publishing, link.Consuming} {
			s := l.State(role)
			if s.Status != link.Disconnected || s.Role != role {
				t.Errorf("%+v", s)
			}
			as[*link.ConnectError](t, s.Err) // not what the connection was lost by
		}
		n.Remove()
		pass(time.Minute)
		works(t, l)
		if s := l.State(link.Consuming); s.Status != link.Connected || s.Server != "b:5672/" || s.Err != nil {
			t.Errorf("%+v", s)
		}
	})
}

// A limit of connections is no refusal for good: one of them may end.
func TestConnectionLimitIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		n := inject(t, b, amqptest.Fault{
			Do: amqptest.CloseConnection, On: "connection.open", Code: 530, Times: 5,
			Text: "access to vhost '/' refused for user 'guest': connection limit (1) is reached",
		})
		works(t, open(t, b, link.Config{}))
		if n.Hits() != 5 {
			t.Errorf("%d hits", n.Hits())
		}
	})
}

// The sessions of a connection are bounded: whoever comes too late waits for
// one to end, says so, and ends with its ctx.
func TestMaxChannels(t *testing.T) {
	for name, tt := range map[string]struct {
		asked   int
		offered uint16
	}{"asked for": {2, 0}, "the broker's is lower": {5, 2}} {
		t.Run(name, func(t *testing.T) {
			each(t, amqptest.Config{ChannelMax: tt.offered}, func(t *testing.T, b *amqptest.Broker) {
				var log lines
				l := open(t, b, link.Config{MaxChannels: tt.asked, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				first, second := session(t, l, link.Consuming), session(t, l, link.Consuming)
				session(t, l, link.Publishing) // has its own
				began := time.Now()
				_, err := l.Session(after(t, time.Minute), link.Consuming)
				as[*link.UnavailableError](t, err)
				if !errors.Is(err, amqp.ErrChannelMax) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
					t.Error(err)
				}
				if !strings.Contains(log.String(), "all channels of the connection are in use") {
					t.Errorf("the log: %s", &log)
				}
				got := make(chan error, 1)
				next := func() {
					go func() { _, err := l.Session(soon(t), link.Consuming); got <- err }()
					synctest.Wait()
				}
				next() // waits for a close
				if err := first.Close(soon(t)); err != nil {
					t.Error(err)
				}
				if err := <-got; err != nil {
					t.Error(err)
				}
				next() // waits for a channel exception
				_ = second.Do(soon(t), func(ch *amqp.Channel) error {
					_, err := ch.QueueDeclarePassive("missing", true, false, false, false, nil)
					return err
				})
				if err := <-got; err != nil {
					t.Error(err)
				}
				next() // waits for a new connection
				b.CutConnections()
				if err := <-got; err != nil {
					t.Error(err)
				}
				if n := len(b.Channels()); n != 1 {
					t.Errorf("%d channels", n)
				}
			})
		})
	}
}

// A channel that opens too late for its caller gives its place back.
func TestLateChannelGivesItsPlaceBack(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{MaxChannels: 1})
		n := inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		if _, err := l.Session(after(t, time.Second), link.Consuming); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stalled: %v", err)
		}
		n.Remove()
		pass(time.Minute)
		session(t, l, link.Consuming)
	})
}

// Close ends those who wait for a channel.
func TestCloseEndsTheWaitForAChannel(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{MaxChannels: 1})
		session(t, l, link.Consuming)
		got := make(chan error, 1)
		go func() { _, err := l.Session(soon(t), link.Consuming); got <- err }()
		synctest.Wait()
		if err := l.Close(soon(t)); err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, link.ErrClosed) {
			t.Error(err)
		}
	})
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
