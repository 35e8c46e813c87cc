package link

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Config describes the brokers and the limits of a [Link]. The zero value of
// every field but URLs is useful.
type Config struct {
	// URLs of the brokers, amqp:// or amqps://, tried in turn at every
	// (re)connect. At least one is required. Credentials in them appear in no
	// log line and no error.
	URLs []string
	// Name is shown as the connection's name in the broker's tools, with the
	// role of the connection behind it. Default "hareline".
	Name string
	// Heartbeat is offered to the broker; a dead peer is noticed after about
	// 1.5 times the negotiated value (H 9.4). Default 10 s.
	Heartbeat time.Duration
	// DialTimeout bounds one attempt: TCP, TLS and the AMQP handshake.
	// Default 10 s.
	DialTimeout time.Duration
	// WriteTimeout bounds each write to the socket. Without it a peer that
	// stops reading blocks publishers and Close for ever (H 9.3). Default 10 s.
	WriteTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the jittered exponential backoff
	// between attempts. Default 100 ms and 15 s.
	ReconnectMin, ReconnectMax time.Duration
	// Dial opens the TCP connection; nil means net.Dialer. It must return
	// when ctx ends.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// OnState is told of every change of either connection, in order, from a
	// goroutine of its own: a slow hook delays later calls of itself and
	// nothing else.
	OnState func(State)
	// Logger gets reconnects and alarms. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "hareline")
	c.Heartbeat = cmp.Or(c.Heartbeat, 10*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.ReconnectMin = cmp.Or(c.ReconnectMin, 100*time.Millisecond)
	c.ReconnectMax = cmp.Or(c.ReconnectMax, max(15*time.Second, c.ReconnectMin))
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c
}

func (c Config) validate() error {
	if len(c.URLs) == 0 {
		return &ConfigError{Field: "URLs", Problem: "is empty", Fix: "give at least one amqp:// or amqps:// URL"}
	}
	for i, u := range c.URLs {
		// The parser's own text may quote a piece of the password, so it is
		// not passed on.
		if uri, err := amqp.ParseURI(u); err != nil || strings.Contains(u, "@") && !hasUser(u) || uri.Host == "" {
			return &ConfigError{
				Field:   fmt.Sprintf("URLs[%d]", i),
				Problem: "is not an AMQP URL",
				Fix:     "write amqp://user:password@host:port/vhost, with special characters in user, password and vhost percent-encoded",
			}
		}
	}
	durations := []struct {
		field string
		value time.Duration
	}{
		{"Heartbeat", c.Heartbeat}, {"DialTimeout", c.DialTimeout}, {"WriteTimeout", c.WriteTimeout},
		{"ReconnectMin", c.ReconnectMin}, {"ReconnectMax", c.ReconnectMax},
	}
	for _, d := range durations {
		if d.value < 0 {
			return &ConfigError{Field: d.field, Problem: fmt.Sprintf("is negative (%s)", d.value), Fix: "leave it zero for the default"}
		}
	}
	if c.ReconnectMax < c.ReconnectMin {
		return &ConfigError{Field: "ReconnectMax", Problem: "is smaller than ReconnectMin", Fix: "swap the two"}
	}
	return nil
}

// hasUser tells whether what stands before the @ is where a URL has its user:
// an unescaped / ? or # in a password makes it a part of host or path.
func hasUser(u string) bool {
	parsed, err := url.Parse(u)
	return err == nil && parsed.User != nil
}

// endpoint is one broker, with and without its secret.
type endpoint struct {
	url  string
	name string // host:port/vhost, safe to show
}

func endpoints(urls []string) []endpoint {
	out := make([]endpoint, 0, len(urls))
	for _, u := range urls {
		uri, err := amqp.ParseURI(u)
		if err != nil { // validate has seen every one
			continue
		}
		vhost := uri.Vhost
		if vhost == "/" {
			vhost = ""
		}
		out = append(out, endpoint{url: u, name: fmt.Sprintf("%s:%d/%s", uri.Host, uri.Port, vhost)})
	}
	return out
}
