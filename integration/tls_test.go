package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
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

// A broker whose certificate an authority signed, and which takes no client
// without one of its own: the certificate logs in, alone or with a user, and
// whatever is wrong is told at once, with what mends it.
func TestTLS(t *testing.T) {
	ca, strangers := authority(t, "hareline tests"), authority(t, "strangers")
	server := issue(t, ca, testca.Leaf{Name: "broker", Hosts: []string{"broker.test", "127.0.0.1"}})
	shop := issue(t, ca, testca.Leaf{Name: "shop"}).TLS
	nobody := issue(t, ca, testca.Leaf{Name: "nobody"}).TLS
	expired := issue(t, ca, testca.Leaf{Name: "shop", From: time.Now().Add(-40 * time.Hour), Until: time.Now().Add(-time.Hour)}).TLS
	stranger := issue(t, strangers, testca.Leaf{Name: "shop"}).TLS
	for _, version := range brokertest.Versions(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := brokertest.FreshTLS(t, version, brokertest.TLS{CA: ca.PEM(), Cert: server.PEM, Key: server.Key, Require: true})
			all := brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}
			if err := b.API().CreateUser(deadline(t), "shop", "a password", all); err != nil {
				t.Fatal(err)
			}
			config := func(certs ...tls.Certificate) *tls.Config {
				return &tls.Config{RootCAs: ca.Pool(), Certificates: certs}
			}
			name, secret := b.API().Credentials()
			withUser := strings.Replace(b.TLSURL, "amqps://", "amqps://"+name+":"+secret+"@", 1)

			t.Run("logged in", func(t *testing.T) {
				for _, tt := range []struct{ url, user string }{{b.TLSURL, "shop"}, {withUser, name}} {
					l := open(t, link.Config{URLs: []string{tt.url}, TLS: config(shop)})
					declareQueue(t, l, "tls", quorum)
					p := publisher(t, l, confirm.Config{})
					// As whom the broker knows us: user-id is checked.
					if err := p.Publish(deadline(t), "", "tls", amqp.Publishing{UserId: tt.user, Body: []byte("secret")}); err != nil {
						t.Error(err)
					}
					if got := take(t, l, "tls"); len(got) != 1 || string(got[0].Body) != "secret" {
						t.Errorf("%s: %v", tt.user, got)
					}
				}
			})
			plain := strings.Replace(b.TLSURL, "amqps://", "amqp://", 1)
			insist := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
			cases := map[string]struct {
				url   string
				tls   *tls.Config
				says  string
				typed any
			}{
				"unknown authority":     {b.TLSURL, &tls.Config{RootCAs: strangers.Pool(), Certificates: []tls.Certificate{shop}}, "to Config.TLS.RootCAs", new(x509.UnknownAuthorityError)},
				"wrong name":            {b.TLSURL + "?server_name_indication=other.test", config(shop), "Config.TLS.ServerName", new(x509.HostnameError)},
				"no client certificate": {withUser, config(), "set Config.TLS.Certificates to a client certificate", nil},
				"client of another authority": {b.TLSURL, &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: insist},
					"client certificate", nil},
				"client that expired": {b.TLSURL, config(expired), "renew the client certificate", nil},
				"unknown user":        {b.TLSURL, config(nobody), "create the user that the client certificate names", nil},
				"no TLS":              {plain, nil, "amqps://", nil},
			}
			if b.URL != "" && !strings.HasPrefix(version, "amqptest") {
				cases["not the TLS port"] = struct {
					url   string
					tls   *tls.Config
					says  string
					typed any
				}{strings.Replace(b.URL, "amqp://", "amqps://", 1), config(shop), "name the broker's TLS port", nil}
			}
			for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for what, tt := range cases {
					cfg := tt.tls.Clone()
					if cfg != nil {
						cfg.MinVersion, cfg.MaxVersion = v, v
					}
					// A port that wants TLS may hang up without a word: that is tried again.
					ctx := deadline(t)
					if what == "no TLS" {
						ctx = within(t, 5*time.Second)
					}
					_, err := link.Open(ctx, link.Config{URLs: []string{tt.url}, TLS: cfg, Logger: logger()})
					var failed *link.ConnectError
					if !errors.As(err, &failed) || !failed.Permanent && what != "no TLS" || !strings.Contains(err.Error(), tt.says) || tt.typed != nil && !errors.As(err, tt.typed) {
						t.Errorf("%s, %s: %+v: %v", tls.VersionName(v), what, failed, err)
					}
					t.Log(tls.VersionName(v), what, "->", err)
				}
			}
		})
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
