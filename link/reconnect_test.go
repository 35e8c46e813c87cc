package link_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/link"
)

// However a connection is lost, its sessions end with the cause, the hook is
// told, and another one is made, whose sessions are others.
func TestReconnect(t *testing.T) {
	for name, tt := range map[string]struct {
		lose func(t *testing.T, b *amqptest.Broker)
		code int // 0: without a word
	}{
		"cut":       {lose: func(_ *testing.T, b *amqptest.Broker) { b.CutConnections() }},
		"closed":    {lose: func(_ *testing.T, b *amqptest.Broker) { b.CloseConnections("maintenance") }, code: 320},
		"restarted": {lose: func(_ *testing.T, b *amqptest.Broker) { b.Restart() }, code: 320},
		"failed": {lose: func(t *testing.T, b *amqptest.Broker) {
			inject(t, b, amqptest.Fault{Do: amqptest.CloseConnection, On: amqptest.Now, Code: 541})
		}, code: 541},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
				var told states
				l := open(t, b, link.Config{OnState: told.note})
				for _, role := range []link.Role{link.Publishing, link.Consuming} {
					old := session(t, l, role)
					if old.Err() != nil {
						t.Error(old.Err())
					}
					tt.lose(t, b)
					await(t, old.Done())
					e := as[*link.ClosedError](t, old.Err())
					reason := as[*amqp.Error](t, e)
					if !e.Connection || reason.Server != (tt.code != 0) || tt.code != 0 && reason.Code != tt.code {
						t.Errorf("%v", e)
					}
					fresh := session(t, l, role)
					if fresh.Generation() <= old.Generation() || fresh.Err() != nil {
						t.Errorf("generation %d after %d: %v", fresh.Generation(), old.Generation(), fresh.Err())
					}
					if err := old.Channel().Ack(1, false); err == nil {
						t.Error("an ack on the old session went through")
					}
					pass(time.Minute)
				}
				for _, role := range []link.Role{link.Publishing, link.Consuming} {
					all := told.of(role)
					if got := statuses(all); got != "connected disconnected connected disconnected connected " || all[1].Err == nil {
						t.Errorf("%s: %s", role, got)
					}
				}
			})
		})
	}
}

// The two connections bear their roles' names, and are lost apart.
func TestTwoConnections(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		var told states
		l := open(t, b, link.Config{Name: "orders", OnState: told.note})
		consuming := session(t, l, link.Consuming)
		inject(t, b, amqptest.Fault{Do: amqptest.DropBefore, On: amqptest.Now, Connection: "orders publishing"})
		pass(time.Minute)
		if got := statuses(told.of(link.Publishing)); got != "connected disconnected connected " {
			t.Error(got)
		}
		if got := statuses(told.of(link.Consuming)); got != "connected " || consuming.Err() != nil {
			t.Errorf("%s: %v", got, consuming.Err())
		}
	})
}

// Refusals of every kind are gone through, at a pace that slackens, without
// the secret in the log.
func TestReconnectsThroughRefusals(t *testing.T) {
	for name, f := range map[string]amqptest.Fault{
		"door":   {Do: amqptest.RefuseConnection, Times: -1},
		"login":  {Do: amqptest.RefuseLogin, Times: -1},
		"vhost":  {Do: amqptest.CloseConnection, On: "connection.open", Code: 530, Text: "NOT_ALLOWED - vhost prod is down", Times: -1},
		"at use": {Do: amqptest.DropAfter, On: "connection.open", Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, amqptest.Config{Users: map[string]amqptest.User{"app": {Password: "sesame"}}}, func(t *testing.T, b *amqptest.Broker) {
				var log strings.Builder
				l := open(t, b, link.Config{
					ReconnectMin: time.Second, ReconnectMax: 20 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				n := inject(t, b, f)
				b.CutConnections()
				pass(30 * time.Minute)
				// Two connections at 20 s, give or take the half.
				if hits := n.Hits(); hits < 2*50 || hits > 2*200 {
					t.Errorf("%d attempts in half an hour", hits)
				}
				began := time.Now()
				_, err := l.Session(after(t, time.Second), link.Consuming)
				if e := as[*link.UnavailableError](t, err); e.Role != link.Consuming || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				n.Remove()
				session(t, l, link.Consuming)
				session(t, l, link.Publishing)
				pass(time.Minute)
				if strings.Contains(log.String(), "sesame") || !strings.Contains(log.String(), "amqptest.invalid:5672/") {
					t.Errorf("log: %.2000s", log.String())
				}
			})
		})
	}
}

// A peer that is gone without a word is noticed by the missing heartbeats, at
// 1.5 times their interval (H 9.4).
func TestDeadPeer(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		var told states
		gone := make(chan struct{})
		l := open(t, b, link.Config{
			Heartbeat: 10 * time.Second, OnState: told.note,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := b.Dial(ctx, network, addr)
				return deaf{c, gone}, err
			},
		})
		s := session(t, l, link.Consuming)
		pass(5 * time.Minute)
		if s.Err() != nil {
			t.Fatalf("an idle link ended: %v", s.Err())
		}
		close(gone)
		began := time.Now()
		await(t, s.Done())
		if took := time.Since(began); took < 9*time.Second || took > 16*time.Second {
			t.Errorf("noticed after %s", took)
		}
		if got := statuses(told.of(link.Consuming)); got != "connected disconnected " {
			t.Error(got)
		}
	})
}

// A broker that reads nothing more ends a write at its deadline, and the link
// is made anew (H 9.3).
func TestStalledWrite(t *testing.T) {
	each(t, amqptest.Config{}, func(t *testing.T, b *amqptest.Broker) {
		// Heartbeats would wait for the client's lock, not for the time, in a bubble.
		l := open(t, b, link.Config{URLs: []string{b.PipeURL() + "?heartbeat=0"}, WriteTimeout: 4 * time.Second})
		s := session(t, l, link.Publishing)
		inject(t, b, amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
		began := time.Now()
		if err := s.Channel().Publish("", "q", false, false, amqp.Publishing{Body: make([]byte, 1<<20)}); err == nil {
			t.Error("published to a broker that does not read")
		}
		await(t, s.Done())
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("after %s", took)
		}
		if err := declare(soon(t), session(t, l, link.Publishing), "q"); err != nil {
			t.Error(err)
		}
	})
}
