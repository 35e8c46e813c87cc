package link_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// What no repetition mends comes back at once, says where and how to mend it,
// and hides the secret.
func TestRefusedAtTheDoor(t *testing.T) {
	cfg := amqptest.Config{VHosts: []string{"/", "prod"}, Users: map[string]amqptest.User{
		"app":   {Password: "sesame"},
		"other": {Password: "sesame", Permissions: map[string]amqptest.Permissions{"prod": {}}},
	}}
	for name, tt := range map[string]struct {
		url, server string
		fault       amqptest.Effect
		code        int
		says        string
	}{
		"password": {url: "amqp://app:sesame7@broker/prod", server: "broker:5672/prod", code: amqp.AccessRefused, says: "check user, password"},
		"user":     {url: "amqp://nobody:sesame@broker/", server: "broker:5672/", code: amqp.AccessRefused, says: "check user, password"},
		"vhost":    {url: "amqp://app:sesame@broker/missing", server: "broker:5672/missing", code: amqp.NotAllowed, says: "create the vhost"},
		"rights":   {url: "amqp://other:sesame@broker/", server: "broker:5672/", code: amqp.NotAllowed, says: "refused for user 'other'"},
		"fault":    {url: "amqp://app:sesame@broker/", server: "broker:5672/", fault: amqptest.RefuseLogin, code: amqp.AccessRefused, says: "check user, password"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, cfg, func(t *testing.T, b *amqptest.Broker) {
				if tt.fault != "" {
					inject(t, b, amqptest.Fault{Do: tt.fault, Times: -1})
				}
				began := time.Now()
				_, err := link.Open(soon(t), fill(b, link.Config{URLs: []string{tt.url}}))
				e := as[*link.ConnectError](t, err)
				if reason := as[*amqp.Error](t, err); !e.Permanent || e.Server != tt.server || reason.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%+v: %v", e, err)
				}
				if strings.Contains(err.Error(), "sesame") {
					t.Errorf("the error shows the password: %v", err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("refused after %s", took)
				}
			})
		})
	}
}

// A socket that is dropped in the middle of the handshake is how some brokers
// refuse credentials and virtual hosts; it may also be a link that was cut.
// Open believes it the third time.
func TestCutInTheHandshake(t *testing.T) {
	for _, f := range []amqptest.Fault{
		{Do: amqptest.DropBefore, On: "connection.start-ok"},
		{Do: amqptest.DropBefore, On: "connection.tune-ok"},
		{Do: amqptest.DropAfter, On: "connection.open"},
	} {
		t.Run(f.On, func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				f := f
				f.Times = 2
				inject(t, b, f)
				l := open(t, b, link.Config{})
				if err := l.Close(soon(t)); err != nil {
					t.Error(err)
				}
				f.Times = -1
				n := inject(t, b, f)
				_, err := link.Open(soon(t), fill(b, link.Config{}))
				if e := as[*link.ConnectError](t, err); !e.Permanent || n.Hits() != 3 {
					t.Errorf("after %d attempts: %v", n.Hits(), err)
				}
			})
		})
	}
}

// A broker that is not there yet is waited for; the end of ctx gives the last
// failure.
func TestOpenWaitsForTheBroker(t *testing.T) {
	for name, f := range map[string]amqptest.Fault{
		"nobody at the door":     {Do: amqptest.RefuseConnection},
		"closed in the middle":   {Do: amqptest.CloseConnection, On: "connection.open", Code: 541},
		"silent at the door":     {Do: amqptest.Stall, On: amqptest.OnConnect},
		"silent after the login": {Do: amqptest.Stall, On: "connection.start-ok"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				f := f
				f.Times = 5
				n := inject(t, b, f)
				l := open(t, b, link.Config{DialTimeout: 2 * time.Second})
				if n.Hits() != 5 {
					t.Errorf("open after %d hits", n.Hits())
				}
				if err := declare(soon(t), session(t, l, link.Consuming), "q"); err != nil {
					t.Error(err)
				}
				n.Remove()
				f.Times = -1
				inject(t, b, f)
				began := time.Now()
				_, err := link.Open(after(t, time.Minute), fill(b, link.Config{DialTimeout: 2 * time.Second}))
				if e := as[*link.ConnectError](t, err); e.Permanent || e.Server != "amqptest.invalid:5672/" {
					t.Errorf("%+v", e)
				}
				if took := time.Since(began); took != time.Minute {
					t.Errorf("gave up after %s", took)
				}
			})
		})
	}
}

// A good server behind a dead one and one that refuses is found, and the next
// one when it is gone.
func TestEveryURLIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		brokers := map[string]*amqptest.Broker{
			"b:5672": amqptest.Config{Clock: amqptest.Running}.New(t),
			"c:5672": amqptest.Config{Clock: amqptest.Running, Version: amqptest.V43}.New(t),
		}
		var told states
		l := open(t, nil, link.Config{
			URLs: []string{"amqp://a/", "amqp://app:wrong@b/", "amqp://guest:guest@b/", "amqp://guest:guest@c/"}, InOrder: true, OnState: told.note,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if b := brokers[addr]; b != nil {
					return b.Dial(ctx, network, addr)
				}
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			},
		})
		if err := brokers["b:5672"].Close(); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		session(t, l, link.Publishing)
		for _, role := range []link.Role{link.Publishing, link.Consuming} {
			all := told.of(role)
			if got := statuses(all); got != "connected disconnected connected " || all[0].Server != "b:5672/" || all[2].Server != "c:5672/" {
				t.Errorf("%s: %+v", role, all)
			}
		}
	})
}

// A link that was refused for good by one server and cannot reach another is
// not refused for good.
func TestOneOfTwoMayComeBack(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		dials := 0
		l := open(t, b, link.Config{
			URLs: []string{"amqp://guest:wrong@a/", "amqp://guest:guest@b/"},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; addr == "b:5672" && dials < 10 {
					return nil, errors.New("no route to host")
				}
				return b.Dial(ctx, network, addr)
			},
		})
		if err := declare(soon(t), session(t, l, link.Consuming), "q"); err != nil {
			t.Error(err)
		}
	})
}
