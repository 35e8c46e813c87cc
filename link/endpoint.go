package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// endpoint is one broker.
type endpoint struct {
	uri   amqp.URI
	url   string // for the client: without user and TLS, which are ours
	name  string // host:port/vhost, safe to show
	login bool   // the URL has a user
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
		out = append(out, endpoint{
			uri: uri, url: bare(u, uri), login: hasUser(u),
			name: fmt.Sprintf("%s:%d/%s", uri.Host, uri.Port, vhost),
		})
	}
	return out
}

// bare is a URL that the client neither logs in with nor makes TLS for.
func bare(u string, uri amqp.URI) string {
	parsed, err := url.Parse(u)
	if err != nil { // validate has seen every one
		return ""
	}
	parsed.Scheme, parsed.User = "amqp", nil
	parsed.Host = net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	return parsed.String()
}

func (e endpoint) secure() bool { return e.uri.Scheme == "amqps" }

// checkQuery tells what is wrong with the options of a URL: the field of
// Config, or nil.
func (e endpoint) checkQuery(base *tls.Config) error {
	for _, m := range e.uri.AuthMechanism {
		switch strings.ToUpper(m) {
		case "PLAIN", "AMQPLAIN", "EXTERNAL":
		default:
			return fmt.Errorf("auth_mechanism %q is not known: write plain, amqplain or external", m)
		}
	}
	if e.secure() {
		_, err := e.tls(base)
		return err
	}
	if e.uri.CertFile+e.uri.KeyFile+e.uri.CACertFile+e.uri.ServerName != "" {
		return errors.New("TLS options need TLS: write amqps://")
	}
	return nil
}

// tls is what this broker's connections use: base, and over it the files and
// the name of the URL. The files are read anew each time, because certificates
// are renewed while programs run.
func (e endpoint) tls(base *tls.Config) (*tls.Config, error) {
	cfg := base.Clone() // nil of nil
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if e.uri.ServerName != "" {
		cfg.ServerName = e.uri.ServerName
	}
	if cfg.ServerName == "" {
		cfg.ServerName = e.uri.Host
	}
	if file := e.uri.CACertFile; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cacertfile: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile: no certificate in PEM form in %s", file)
		}
	}
	if cert, key := e.uri.CertFile, e.uri.KeyFile; cert != "" || key != "" {
		if cert == "" || key == "" {
			return nil, errors.New("certfile and keyfile go together: name both")
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("certfile and keyfile: %w", err)
		}
		cfg.Certificates, cfg.GetClientCertificate = []tls.Certificate{pair}, nil
	}
	return cfg, nil
}

// sasl chooses how to log in. asked is what Config.Credentials gave, nil where
// there is no such func.
func (e endpoint) sasl(asked *Credentials, cfg *tls.Config) ([]amqp.Authentication, error) {
	mechanisms := e.uri.AuthMechanism
	if len(mechanisms) == 0 {
		mechanism, err := e.mechanism(asked, cfg != nil && (len(cfg.Certificates) > 0 || cfg.GetClientCertificate != nil))
		if err != nil {
			return nil, err
		}
		mechanisms = []string{mechanism}
	}
	name, password := e.uri.Username, e.uri.Password
	if asked != nil {
		password = asked.Password
		if asked.User != "" || !e.login {
			name = asked.User
		}
	}
	var out []amqp.Authentication
	for _, m := range mechanisms {
		switch strings.ToUpper(m) {
		case "AMQPLAIN":
			out = append(out, &amqp.AMQPlainAuth{Username: name, Password: password})
		case "EXTERNAL":
			out = append(out, &amqp.ExternalAuth{})
		default:
			out = append(out, &amqp.PlainAuth{Username: name, Password: password})
		}
	}
	return out, nil
}

// mechanism is that of a URL which names none: a client certificate logs in
// where there is neither user nor password.
func (e endpoint) mechanism(asked *Credentials, certificate bool) (string, error) {
	given := e.login
	if asked != nil {
		given = asked.User != "" || asked.Password != ""
	}
	switch {
	case !given && certificate:
		return "EXTERNAL", nil
	case !given && asked != nil:
		return "", errors.New("Config.Credentials gave neither user nor password, and there is no client certificate to log in with")
	}
	return "PLAIN", nil // of the URL, where it says nothing that is guest
}

// external tells whether a client certificate alone is to log in.
func external(sasl []amqp.Authentication) bool {
	for _, a := range sasl {
		if _, ok := a.(*amqp.ExternalAuth); !ok {
			return false
		}
	}
	return len(sasl) > 0
}
