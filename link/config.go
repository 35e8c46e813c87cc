package link

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Config describes the brokers and the limits of a [Link]. The zero value of
// every field but URLs is useful.
type Config struct {
	// URLs of the brokers, amqp:// or amqps://; at least one. A link starts
	// with any of them, so that many links spread over the brokers, and goes on
	// with the next whenever a connection is lost or cannot be made, until all
	// were tried; then it waits, and goes round again. They are meant to be
	// nodes of one cluster: what an independent broker confirmed stays there
	// while it is away. Credentials in them appear in no log line and no error.
	//
	// Options may follow as in RabbitMQ's URIs
	// (https://www.rabbitmq.com/docs/uri-query-parameters): cacertfile,
	// certfile, keyfile (PEM, read at every connect), server_name_indication,
	// auth_mechanism, heartbeat, channel_max. They come before what Config says.
	URLs []string
	// InOrder tries the URLs in the order given, at every (re)connect from the
	// first one: for a broker that is preferred to the others. A connection
	// that stands is not moved back.
	InOrder bool
	// TLS is for amqps URLs; each connect takes a copy. RootCAs are the
	// authorities that may sign a broker's certificate (nil: the system's);
	// ServerName is the name in it (empty: the URL's host); Certificates or
	// GetClientCertificate identify this client. When a URL has no user, such a
	// certificate logs in (SASL EXTERNAL, which needs the broker's plugin
	// rabbitmq_auth_mechanism_ssl). With TLS set every URL must be amqps.
	TLS *tls.Config
	// Credentials, if set, is asked for user and password at every connect of
	// either connection, instead of the URL's (SASL PLAIN, unless the URL has
	// auth_mechanism). It may be called concurrently, and must return when ctx
	// ends, which is after DialTimeout. Its error counts as a failed attempt.
	// Keep an answer that costs much; see also [Link.RefreshCredentials].
	Credentials func(ctx context.Context) (Credentials, error)
	// Name is shown as the connection's name in the broker's tools, with the
	// role of the connection behind it. Default "hareline".
	Name string
	// Properties are shown with the connection in the broker's tools, over the
	// client's own product, version and platform. connection_name comes from
	// Name, capabilities from the client.
	Properties amqp.Table
	// MaxChannels bounds the sessions on each of the two connections: when all
	// are in use, Session waits for one to end. The broker's channel_max (2047
	// unless set otherwise there) bounds it too. Default: channel_max, and an
	// error at once when it is reached.
	MaxChannels int
	// Heartbeat is offered to the broker; a dead peer is noticed after about
	// 1.5 times the negotiated value (H 9.4). Default 10 s.
	Heartbeat time.Duration
	// DialTimeout bounds one attempt: Credentials, TCP, TLS and the AMQP
	// handshake.
	// Default 10 s.
	DialTimeout time.Duration
	// WriteTimeout bounds each write to the socket. Without it a peer that
	// stops reading blocks publishers and Close for ever (H 9.3). Default 10 s.
	WriteTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the jittered exponential backoff
	// between attempts. Default 100 ms and 15 s.
	ReconnectMin, ReconnectMax time.Duration
	// Dial opens the TCP connection, over which TLS is made for amqps URLs;
	// nil means net.Dialer. It must return when ctx ends.
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
	if err := c.validateLogin(); err != nil {
		return err
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

// validateLogin checks what concerns TLS, the options of URLs, and what the
// client says of itself.
func (c Config) validateLogin() error {
	for i, e := range endpoints(c.URLs) {
		field := fmt.Sprintf("URLs[%d]", i)
		if c.TLS != nil && !e.secure() {
			return &ConfigError{Field: field, Problem: "is amqp://, which is not encrypted, but Config.TLS is set", Fix: "write amqps://, or leave TLS nil"}
		}
		if err := e.checkQuery(c.TLS); err != nil {
			return &ConfigError{Field: field, Problem: "has an option that cannot be used", Fix: err.Error(), Err: err}
		}
	}
	for _, key := range []string{"capabilities", "connection_name"} {
		if _, ok := c.Properties[key]; ok {
			return &ConfigError{Field: "Properties", Problem: "has the key " + key, Fix: "leave it out; Config.Name is the connection's name"}
		}
	}
	if err := c.Properties.Validate(); err != nil {
		return &ConfigError{Field: "Properties", Problem: "has a value that AMQP has no type for", Fix: err.Error(), Err: err}
	}
	if c.MaxChannels < 0 {
		return &ConfigError{Field: "MaxChannels", Problem: fmt.Sprintf("is negative (%d)", c.MaxChannels), Fix: "leave it zero for what the broker allows"}
	}
	return nil
}

// properties are what the client says of itself: a map of its own, because the
// client writes to it.
func (c Config) properties(role Role) amqp.Table {
	p := amqp.NewConnectionProperties()
	maps.Copy(p, c.Properties)
	p.SetClientConnectionName(c.Name + " " + role.String())
	return p
}

// hasUser tells whether what stands before the @ is where a URL has its user:
// an unescaped / ? or # in a password makes it a part of host or path.
func hasUser(u string) bool {
	parsed, err := url.Parse(u)
	return err == nil && parsed.User != nil
}
