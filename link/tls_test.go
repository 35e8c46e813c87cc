package link_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/internal/testca"
	"github.com/hareline/hareline/link"
)

func authority(t *testing.T, name string) *testca.Authority {
	t.Helper()
	ca, err := testca.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *testca.Authority, leaf testca.Leaf) *testca.Certificate {
	t.Helper()
	c, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secured is a broker with a certificate for the name "broker", which takes
// client certificates of the same authority.
func secured(t *testing.T, ca *testca.Authority, auth tls.ClientAuthType) *amqptest.Broker {
	t.Helper()
	return amqptest.Config{
		Clock: amqptest.Running, Users: map[string]amqptest.User{"guest": {Password: "guest"}, "shop": {}},
		TLS: &tls.Config{
			Certificates: []tls.Certificate{issue(t, ca, testca.Leaf{Name: "broker", Hosts: []string{"broker"}}).TLS},
			ClientCAs:    ca.Pool(), ClientAuth: auth,
		},
	}.New(t)
}

func works(t *testing.T, l *link.Link) {
	t.Helper()
	for _, role := range []link.Role{link.Publishing, link.Consuming} {
		if err := declare(soon(t), session(t, l, role), "q"); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// A client certificate logs in where a URL names no user, and its files are
// read at every connect.
func TestClientCertificateLogsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := authority(t, "tests")
		b := secured(t, ca, tls.RequireAndVerifyClientCert)
		client := issue(t, ca, testca.Leaf{Name: "shop"})
		cfg := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client.TLS}}
		file := func(name string, content []byte) string {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		ca1, cert, key := file("ca.pem", ca.PEM()), file("cert.pem", client.PEM), file("key.pem", client.Key)
		files := fmt.Sprintf("cacertfile=%s&certfile=%s&keyfile=%s", ca1, cert, key)
		for name, tt := range map[string]struct {
			url  string
			tls  *tls.Config
			user string
		}{
			"certificate":          {"amqps://broker/", cfg, "shop"},
			"user and certificate": {"amqps://guest:guest@broker/", cfg, "guest"},
			"asked for external":   {"amqps://guest:wrong@broker/?auth_mechanism=external", cfg, "shop"},
			"files":                {"amqps://broker/?" + files, nil, "shop"},
			"name":                 {"amqps://10.1.1.1/?server_name_indication=broker", cfg, "shop"},
			"name in TLS":          {"amqps://10.1.1.1/", &tls.Config{RootCAs: ca.Pool(), Certificates: cfg.Certificates, ServerName: "broker"}, "shop"},
		} {
			l := open(t, b, link.Config{URLs: []string{tt.url}, TLS: tt.tls})
			works(t, l)
			for _, c := range b.Connections() {
				if c.User != tt.user {
					t.Errorf("%s: logged in as %q", name, c.User)
				}
			}
			if err := l.Close(soon(t)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if cfg.ServerName != "" {
			t.Error("the user's tls.Config was written to")
		}

		l := open(t, b, link.Config{URLs: []string{"amqps://broker/?" + files}})
		other := issue(t, ca, testca.Leaf{Name: "guest"})
		for path, content := range map[string][]byte{cert: other.PEM, key: other.Key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.CutConnections()
		pass(time.Minute)
		works(t, l)
		for _, c := range b.Connections() {
			if c.User != "guest" {
				t.Errorf("with the new files logged in as %q", c.User)
			}
		}
	})
}

// What is wrong with TLS comes back at once, typed, and says what mends it.
func TestTLSErrorsSayWhatToDo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testTLSErrors(t, version) })
		})
	}
}

func testTLSErrors(t *testing.T, version uint16) {
	ca, other := authority(t, "tests"), authority(t, "others")
	mutual := secured(t, ca, tls.RequireAndVerifyClientCert)
	past := testca.Leaf{Name: "shop", Hosts: []string{"broker"}, From: time.Now().Add(-40 * time.Hour), Until: time.Now().Add(-time.Minute)}
	client := func(ca *testca.Authority, leaf testca.Leaf) []tls.Certificate {
		return []tls.Certificate{issue(t, ca, leaf).TLS}
	}
	good := client(ca, testca.Leaf{Name: "shop"})
	expired := amqptest.Config{Clock: amqptest.Running, TLS: &tls.Config{Certificates: client(ca, past)}}.New(t)
	plain := amqptest.Config{Clock: amqptest.Running}.New(t)
	insistent := func(c tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	for name, tt := range map[string]struct {
		broker *amqptest.Broker
		url    string
		tls    *tls.Config
		says   string
		typed  any
	}{
		"unknown authority": {mutual, "", &tls.Config{RootCAs: other.Pool(), Certificates: good}, "to Config.TLS.RootCAs", new(x509.UnknownAuthorityError)},
		"expired":           {expired, "", &tls.Config{RootCAs: ca.Pool()}, "renew the broker's certificate", new(x509.CertificateInvalidError)},
		"wrong name":        {mutual, "amqps://other/", &tls.Config{RootCAs: ca.Pool(), Certificates: good}, "set Config.TLS.ServerName", new(x509.HostnameError)},
		"no client certificate": {mutual, "amqps://guest:guest@broker/", &tls.Config{RootCAs: ca.Pool()},
			"to a client certificate", nil},
		"client of another authority": {mutual, "", &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: insistent(client(other, testca.Leaf{Name: "shop"})[0])},
			"client certificate", nil},
		"client that expired": {mutual, "", &tls.Config{RootCAs: ca.Pool(), Certificates: client(ca, past)}, "client certificate", nil},
		"unknown user":        {mutual, "", &tls.Config{RootCAs: ca.Pool(), Certificates: client(ca, testca.Leaf{Name: "nobody"})}, "create the user that the client certificate names", nil},
		"plain AMQP":          {plain, "", &tls.Config{RootCAs: ca.Pool()}, "name the broker's TLS port", nil},
		"no EXTERNAL":         {plain, "amqp://broker/?auth_mechanism=external", &tls.Config{}, "rabbitmq_auth_mechanism_ssl", nil},
	} {
		cfg := tt.tls.Clone()
		cfg.MinVersion, cfg.MaxVersion = version, version
		if tt.url == "" {
			tt.url = "amqps://broker/"
		}
		if !strings.HasPrefix(tt.url, "amqps:") {
			cfg = nil
		}
		began := time.Now()
		_, err := link.Open(soon(t), fill(tt.broker, link.Config{URLs: []string{tt.url}, TLS: cfg}))
		var e *link.ConnectError
		if !errors.As(err, &e) || !e.Permanent || !strings.Contains(err.Error(), tt.says) || tt.typed != nil && !errors.As(err, tt.typed) {
			t.Errorf("%s: %#v: %v", name, e, err)
		}
		// What the broker tells by hanging up is believed the third time.
		if took := time.Since(began); took > 2*time.Second || took > 0 && name != "unknown user" {
			t.Errorf("%s: told after %s", name, took)
		}
		t.Log(name, "->", err)
	}
}

// A client without TLS at a port with TLS is told what that may be. It is tried
// again, for a proxy whose broker is away does the same.
func TestPlainClientAtATLSPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := secured(t, authority(t, "tests"), tls.NoClientCert)
		_, err := link.Open(after(t, time.Minute), fill(b, link.Config{URLs: []string{"amqp://broker:5671/"}}))
		if e := as[*link.ConnectError](t, err); e.Permanent || !strings.Contains(err.Error(), "it needs amqps://") {
			t.Error(err)
		}
	})
}

// A peer that says nothing in the TLS handshake costs a DialTimeout.
func TestSilentTLSPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []net.Conn
		began := time.Now()
		_, err := link.Open(after(t, 3*time.Second), link.Config{
			URLs: []string{"amqps://broker/"}, Logger: quiet, DialTimeout: 2 * time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				ends = append(ends, far)
				go func() {
					for b := make([]byte, 1000); ; {
						if _, err := far.Read(b); err != nil {
							return
						}
					}
				}()
				return near, nil
			},
		})
		if e := as[*link.ConnectError](t, err); e.Permanent || len(ends) < 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%d attempts in %s: %v", len(ends), time.Since(began), err)
		}
		for _, c := range ends {
			_ = c.Close()
		}
	})
}
