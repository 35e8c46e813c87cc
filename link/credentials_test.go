package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// vault hands out tokens, a new one each time, which live for ttl.
type vault struct {
	mu   sync.Mutex
	ttl  time.Duration
	down error
	at   []time.Time
}

func (v *vault) ask(context.Context) (link.Credentials, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = append(v.at, time.Now())
	if v.down != nil {
		return link.Credentials{}, v.down
	}
	c := link.Credentials{User: "guest", Password: "guest"}
	if v.ttl > 0 {
		c.Expires = time.Now().Add(v.ttl)
	}
	return c, nil
}

func (v *vault) asked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.at)
}

func (v *vault) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = err
}

// updates counts the connection.update-secret that a broker took.
type updates struct{ lines }

func (u *updates) count() int { return strings.Count(u.String(), "asked to update secret") }

func (u *updates) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(u, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// The func is asked at each connect, its user and password are what logs in,
// and its failure is no refusal for good.
func TestCredentialsAreAskedAtEachConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running, Users: map[string]amqptest.User{"app": {Password: "sesame2"}, "guest": {Password: "guest"}}}.New(t)
		var mu sync.Mutex
		asked := 0
		var log lines
		l := open(t, b, link.Config{
			URLs: []string{"amqp://guest:wrong@broker/"}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Credentials: func(context.Context) (link.Credentials, error) {
				mu.Lock()
				defer mu.Unlock()
				switch asked++; asked {
				case 1, 2:
					return link.Credentials{}, errors.New("the vault is sealed")
				case 3: // rotated a moment ago
					return link.Credentials{User: "app", Password: "sesame1"}, nil
				case 4, 5:
					return link.Credentials{User: "app", Password: "sesame2"}, nil
				}
				return link.Credentials{Password: "guest"}, nil // of the URL's user
			},
		})
		users := func() (all []string) {
			for _, c := range b.Connections() {
				all = append(all, c.User)
			}
			return all
		}
		if got := fmt.Sprint(users()); got != "[app app]" {
			t.Errorf("logged in as %s", got)
		}
		b.CutConnections()
		pass(time.Minute)
		works(t, l)
		if got := fmt.Sprint(users()); got != "[guest guest]" {
			t.Errorf("then logged in as %s", got)
		}
		if !strings.Contains(log.String(), "the vault is sealed") || strings.Contains(log.String(), "sesame") {
			t.Errorf("the log: %s", &log)
		}
	})
}

// What expires is renewed before, on both connections, without a reconnect; a
// vault that is down is asked again, sooner and sooner.
func TestCredentialsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told updates
		b := amqptest.Config{Clock: amqptest.Running, Logger: told.logger()}.New(t)
		v := &vault{ttl: 10 * time.Minute}
		l := open(t, b, link.Config{Credentials: v.ask})
		pass(8*time.Minute - time.Second)
		if v.asked() != 2 || told.count() != 0 {
			t.Errorf("asked %d, told %d", v.asked(), told.count())
		}
		pass(time.Second)
		if v.asked() != 4 || told.count() != 2 {
			t.Errorf("after four fifths: asked %d, told %d", v.asked(), told.count())
		}
		v.fail(errors.New("sealed"))
		pass(9*time.Minute + 30*time.Second) // at 8:00, 9:36 - and not yet 9:55
		before := v.asked()
		if before != 6 {
			t.Errorf("asked %d times", before)
		}
		pass(10 * time.Minute) // past the end
		if n := v.asked() - before; n < 20 || n > 120 {
			t.Errorf("asked %d times in the last seconds and ten minutes after", n)
		}
		v.fail(nil)
		pass(time.Minute)
		if told.count() < 4 || served(b) != 2 {
			t.Errorf("told %d, on %d connections", told.count(), served(b))
		}
		works(t, l)
	})
}

// A refused secret costs the connection, which is made anew with new ones.
func TestRefusedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		v := &vault{ttl: 10 * time.Minute}
		l := open(t, b, link.Config{Credentials: v.ask})
		inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: "connection.update-secret", Code: 530, Times: 2})
		pass(9 * time.Minute)
		works(t, l)
		if served(b) != 4 {
			t.Errorf("%d connections", served(b))
		}
		if err := l.RefreshCredentials(soon(t)); err != nil {
			t.Error(err)
		}
	})
}

// recorder keeps what is written to a broker.
type recorder struct {
	net.Conn
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (r recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.b.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// A rotation that is told: one question, and the new password goes to the
// broker on both connections; a broker that does not read ends the call with
// its ctx, and Close does not hang on it.
func TestRefreshCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		password := "guest"
		var mu sync.Mutex
		var wrote bytes.Buffer
		l := open(t, b, link.Config{
			Credentials: func(context.Context) (link.Credentials, error) {
				return link.Credentials{User: "guest", Password: password}, nil
			},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := b.Dial(ctx, network, addr)
				return recorder{c, &mu, &wrote}, err
			},
		})
		password = "a new token"
		if err := l.RefreshCredentials(soon(t)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if n := bytes.Count(wrote.Bytes(), []byte("a new token")); n != 2 {
			t.Errorf("sent %d times", n)
		}
		mu.Unlock()
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		began := time.Now()
		if err := l.RefreshCredentials(after(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if err := l.RefreshCredentials(after(t, time.Second)); err == nil || !strings.Contains(err.Error(), "has not answered") {
			t.Error(err)
		}
	})
}

func TestRefreshNeedsCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		l := open(t, b, link.Config{})
		if e := as[*link.ConfigError](t, l.RefreshCredentials(soon(t))); e.Field != "Credentials" {
			t.Error(e)
		}
	})
}

// A func that does not answer costs a DialTimeout.
func TestCredentialsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		calls := 0
		began := time.Now()
		open(t, b, link.Config{DialTimeout: 3 * time.Second, Credentials: func(ctx context.Context) (link.Credentials, error) {
			if calls++; calls == 1 {
				<-ctx.Done()
				return link.Credentials{}, ctx.Err()
			}
			return link.Credentials{User: "guest", Password: "guest"}, nil
		}})
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("open after %s", took)
		}
	})
}

func TestCredentialsAreNotShown(t *testing.T) {
	c := link.Credentials{User: "app", Password: "sesame", Expires: time.Now()}
	var log lines
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "p", &c)
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %q %x", c, &c, c, c, c), log.String(), fmt.Sprintf("%v", struct{ C link.Credentials }{c})} {
		if strings.Contains(text, "sesame") || strings.Contains(text, "736573") {
			t.Error(text)
		}
	}
}

// What the program says of itself is seen on the broker, and its own table is
// left alone.
func TestClientProperties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := amqptest.Config{Clock: amqptest.Running}.New(t)
		own := map[string]any{"product": "shop", "commit": "abc", "replica": int32(3)}
		open(t, b, link.Config{Name: "orders", Properties: own})
		names := map[string]bool{}
		for _, c := range b.Connections() {
			p := c.ClientProperties
			names[fmt.Sprint(p["connection_name"])] = true
			if p["product"] != "shop" || p["commit"] != "abc" || p["platform"] != "golang" {
				t.Errorf("%v", p)
			}
		}
		if !names["orders publishing"] || !names["orders consuming"] || len(own) != 3 {
			t.Errorf("%v, %v", names, own)
		}
	})
}
