package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func TestConfigErrorsNameTheFieldAndHideTheSecret(t *testing.T) {
	tests := []struct {
		field string
		cfg   Config
	}{
		{"URLs", Config{}},
		{"URLs[0]", Config{URLs: []string{"http://app:sesame@host/"}}},
		{"URLs[1]", Config{URLs: []string{"amqp://app:sesame@host/", "amqp://app:ses/ame@host/"}}},
		{"URLs[0]", Config{URLs: []string{"amqp://app:sesame@host:port/"}}},
		{"URLs[0]", Config{URLs: []string{"amqp://app:sesame%@host/"}}},
		{"URLs[1]", Config{URLs: []string{"amqps://app:sesame@host/", "amqp://app:sesame@host/"}, TLS: &tls.Config{}}},
		{"URLs[0]", Config{URLs: []string{"amqp://app:sesame@host/?auth_mechanism=guess"}}},
		{"URLs[0]", Config{URLs: []string{"amqp://app:sesame@host/?cacertfile=ca.pem"}}},
		{"URLs[0]", Config{URLs: []string{"amqps://app:sesame@host/?cacertfile=/missing/ca.pem"}}},
		{"URLs[0]", Config{URLs: []string{"amqps://app:sesame@host/?cacertfile=link_test.go"}}},
		{"URLs[0]", Config{URLs: []string{"amqps://app:sesame@host/?certfile=link_test.go"}}},
		{"URLs[0]", Config{URLs: []string{"amqps://app:sesame@host/?certfile=link_test.go&keyfile=link_test.go"}}},
		{"Properties", Config{URLs: []string{"amqp://host"}, Properties: amqp.Table{"connection_name": "x"}}},
		{"Properties", Config{URLs: []string{"amqp://host"}, Properties: amqp.Table{"x": struct{}{}}}},
		{"MaxChannels", Config{URLs: []string{"amqp://host"}, MaxChannels: -1}},
		{"Heartbeat", Config{URLs: []string{"amqp://host"}, Heartbeat: -1}},
		{"WriteTimeout", Config{URLs: []string{"amqp://host"}, WriteTimeout: -1}},
		{"ReconnectMax", Config{URLs: []string{"amqp://host"}, ReconnectMin: time.Minute, ReconnectMax: time.Second}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.field, tt.cfg.URLs), func(t *testing.T) {
			_, err := Open(t.Context(), tt.cfg)
			var bad *ConfigError
			if !errors.As(err, &bad) || bad.Field != tt.field || bad.Fix == "" {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error(), "ses") {
				t.Fatalf("the error shows the password: %v", err)
			}
		})
	}
}

func TestOpenTriesUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := Open(ctx, Config{
			URLs: []string{"amqp://app:sesame@a/v", "amqp://app:sesame@b/v"}, Logger: quiet, ReconnectMin: time.Second, ReconnectMax: 4 * time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) { dials.Add(1); return nil, io.EOF },
		})
		var failed *ConnectError
		if !errors.As(err, &failed) || failed.Permanent || !errors.Is(err, io.EOF) || strings.Contains(err.Error(), "sesame") {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(began); took < 50*time.Second || took > time.Minute {
			t.Errorf("gave up after %s", took)
		}
		if n := dials.Load(); n < 2*10 || n > 2*60 || n%2 != 0 {
			t.Errorf("%d dials in a minute at a backoff of 1 to 4 s over two servers", n)
		}
	})
}

// A server that takes the connection and never says a word holds Open no
// longer than DialTimeout an attempt, and not at all once ctx has ended.
func TestOpenIsNotHeldByASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		began, dials := time.Now(), 0
		_, err := Open(ctx, Config{
			URLs: []string{"amqp://a/"}, Logger: quiet,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				dials++
				client, server := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, server) }()
				return client, nil
			},
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 25*time.Second || dials != 3 {
			t.Fatalf("after %s and %d dials: %v", time.Since(began), dials, err)
		}
	})
}

func TestRefusedConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Open(ctx, Config{URLs: []string{"amqp://app:sesame@" + addr + "/prod"}, Logger: quiet, ReconnectMin: time.Hour, ReconnectMax: time.Hour,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			defer cancel()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}})
	if err == nil || !strings.Contains(err.Error(), addr+"/prod") || strings.Contains(err.Error(), "sesame") {
		t.Fatalf("error %v", err)
	}
}

func TestGateCountsBlockedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		open := func() bool {
			select {
			case <-g.unblocked():
				return true
			default:
				return false
			}
		}
		if !open() {
			t.Fatal("a new gate is closed")
		}
		g.set(true, time.Now())
		g.set(true, time.Now().Add(time.Second)) // told twice, as with memory and disk
		time.Sleep(time.Minute)
		if open() || g.blockedFor(time.Now()) != time.Minute {
			t.Fatalf("open %v, blocked for %s", open(), g.blockedFor(time.Now()))
		}
		waiting := g.unblocked()
		g.set(false, time.Now())
		<-waiting
		time.Sleep(time.Minute)
		g.set(false, time.Now())
		if !open() || g.blockedFor(time.Now()) != time.Minute {
			t.Fatalf("open %v, blocked for %s", open(), g.blockedFor(time.Now()))
		}
	})
}

// A peer that stops reading ends a write at its deadline (H 9.3).
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe() // nobody reads server
		defer server.Close()
		conn := &deadlineConn{Conn: client, timeout: 10 * time.Second}
		began := time.Now()
		_, err := conn.Write([]byte("x"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) != 10*time.Second {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
	})
}
