package amqptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// eachVersion runs a test on a broker of each version.
func eachVersion(t *testing.T, c Config, do func(t *testing.T, b *Broker)) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) {
			c := c
			c.Version = v
			do(t, c.New(t))
		})
	}
}

func TestProtocolHeaders(t *testing.T) {
	const v091, sasl = "AMQP\x00\x00\x09\x01", "AMQP\x03\x01\x00\x00"
	for _, c := range []struct {
		sent         string
		v310, others string
	}{
		{"AMQP\x00\x01\x00\x00", v091, sasl},
		{"AMQP\x02\x01\x00\x00", v091, sasl},
		{sasl, v091, v091}, // there is no AMQP 1.0 here
		{"GET / HT", v091, sasl},
		{"AMQP\x00\x00\x08\x00", v091, sasl},
		{"AMQP\x00\x00\x09\x02", v091, v091},
	} {
		eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
			r := connectRaw(t, b)
			r.write([]byte(c.sent))
			got, err := io.ReadAll(r.nc)
			want := c.others
			if b.cfg.Version == V310 {
				want = c.v310
			}
			if err != nil || string(got) != want {
				t.Errorf("%q: got %q, %v, want %q", c.sent, got, err, want)
			}
		})
	}
}

func TestConnectionStart(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r := connectRaw(t, b)
		r.write([]byte("AMQP\x00\x00\x09\x01"))
		m := expect[*wire.ConnectionStart](r, 0)
		if v, _ := m.ServerProperties.Get("product"); v != "RabbitMQ" {
			t.Errorf("product %v", v)
		}
		if v, _ := m.ServerProperties.Get("version"); v != b.cfg.Version.release() {
			t.Errorf("version %v", v)
		}
		want := "PLAIN ANONYMOUS AMQPLAIN"
		if b.cfg.Version == V310 {
			want = "AMQPLAIN PLAIN"
		}
		if m.Mechanisms != want || m.Locales != "en_US" || m.VersionMajor != 0 || m.VersionMinor != 9 {
			t.Errorf("got %+v", m)
		}
	})
}

func TestLogin(t *testing.T) {
	table := func(name, password string) string {
		b := wire.AppendTable(nil, wire.Table{{Key: "LOGIN", Value: name}, {Key: "PASSWORD", Value: password}})
		return string(b[4:])
	}
	const (
		in      = "" // connection.tune
		dropped = "dropped"
	)
	refused := func(mechanism string) string {
		return "ACCESS_REFUSED - Login was refused using authentication mechanism " + mechanism + ". For details see the broker logfile."
	}
	users := map[string]User{"guest": {Password: "guest"}, "nobody": {}}
	for _, c := range []struct{ name, mechanism, response, want string }{
		{"good", "PLAIN", "\x00guest\x00guest", in},
		{"wrong password", "PLAIN", "\x00guest\x00wrong", refused("PLAIN")},
		{"unknown user", "PLAIN", "\x00who\x00guest", refused("PLAIN")},
		{"no password", "PLAIN", "\x00nobody\x00", refused("PLAIN")},
		{"not PLAIN", "PLAIN", "guest", dropped},
		{"too many parts", "PLAIN", "\x00guest\x00guest\x00", dropped},
		{"AMQPLAIN", "AMQPLAIN", table("guest", "guest"), in},
		{"AMQPLAIN, wrong", "AMQPLAIN", table("guest", "wrong"), refused("AMQPLAIN")},
		{"AMQPLAIN, incomplete", "AMQPLAIN", "\x05LOGINS\x00\x00\x00\x01a", dropped},
		{"AMQPLAIN, no table", "AMQPLAIN", "guest", dropped},
		{"anonymous", "ANONYMOUS", "", in},
		{"unknown mechanism", "SCRAM", "", dropped},
		{"EXTERNAL without TLS", "EXTERNAL", "", dropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, capable := range []bool{true, false} {
				b := Config{Users: users}.New(t)
				r := connectRaw(t, b)
				r.write([]byte("AMQP\x00\x00\x09\x01"))
				expect[*wire.ConnectionStart](r, 0)
				r.send(0, &wire.ConnectionStartOk{
					ClientProperties: wire.Table{{Key: "capabilities", Value: wire.Table{{Key: "authentication_failure_close", Value: capable}}}},
					Mechanism:        c.mechanism, Response: []byte(c.response), Locale: "en_US",
				})
				switch {
				case c.want == in:
					expect[*wire.ConnectionTune](r, 0)
				case c.want == dropped || !capable:
					r.expectEnd()
				default:
					r.expectConnectionClosed(403, c.want)
				}
			}
		})
	}
}

func TestTune(t *testing.T) {
	for _, c := range []struct {
		name        string
		frameMax    uint32
		channelMax  uint16
		serverFrame uint32
		fine        bool
	}{
		{"as offered", 131072, 2047, 0, true},
		{"less", 8192, 1, 0, true},
		{"frame too small", 100, 2047, 0, false},
		{"frame too large", 131073, 2047, 0, false},
		{"no frame limit", 0, 2047, 0, false},
		{"channels too many", 131072, 2048, 0, false},
		{"no channel limit", 131072, 0, 0, false},
		{"larger frames offered", 1 << 20, 2047, 1 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := Config{FrameMax: c.serverFrame}.New(t)
			r := connectRaw(t, b)
			r.login("guest", "guest")
			expect[*wire.ConnectionTune](r, 0)
			r.send(0, &wire.ConnectionTuneOk{FrameMax: c.frameMax, ChannelMax: c.channelMax},
				&wire.ConnectionOpen{VirtualHost: "/"})
			if c.fine {
				expect[*wire.ConnectionOpenOk](r, 0)
			} else {
				r.expectEnd()
			}
		})
	}
}

func TestVirtualHosts(t *testing.T) {
	b := Config{
		VHosts: []string{"/", "shop"},
		Users:  map[string]User{"u": {Password: "p", Permissions: map[string]Permissions{"/": {}}}},
	}.New(t)
	for _, c := range []struct{ vhost, text string }{
		{"nope", "NOT_ALLOWED - vhost nope not found"},
		{"shop", "NOT_ALLOWED - access to vhost 'shop' refused for user 'u'"},
	} {
		r := connectRaw(t, b)
		r.login("u", "p")
		r.tune(0, 131072)
		r.send(0, &wire.ConnectionOpen{VirtualHost: c.vhost})
		r.expectConnectionClosed(530, c.text)
	}
	openRaw(t, b, "/")
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t)
		r := connectRaw(t, b)
		r.login("guest", "guest")
		expect[*wire.ConnectionTune](r, 0)
		before := time.Now()
		r.expectEnd()
		if took := time.Since(before); took != handshakeTimeout {
			t.Errorf("ended after %s", took)
		}
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t)
		r := connectRaw(t, b)
		r.login("guest", "guest")
		r.tune(4, 131072)
		r.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
		expect[*wire.ConnectionOpenOk](r, 0)
		for range 5 { // as long as the client sends some
			<-time.After(3 * time.Second)
			r.write(wire.AppendHeartbeat(nil))
		}
		before, beats := time.Now(), 0
		for {
			got, err := r.read()
			if err != nil {
				break
			}
			if got.method != nil {
				t.Fatalf("got %T", got.method)
			}
			beats++
		}
		if took := time.Since(before); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("the silent client was cut after %s", took)
		}
		if beats < 10 || beats > 12 {
			t.Errorf("%d heartbeats in 23 s", beats)
		}
	})
}

func TestUpdateSecret(t *testing.T) {
	r := dialRaw(t, New(t))
	r.send(0, &wire.ConnectionUpdateSecret{NewSecret: []byte("s"), Reason: "rotation"})
	expect[*wire.ConnectionUpdateSecretOk](r, 0)
}

func TestTLS(t *testing.T) {
	server, client := certificate(t, "localhost"), certificate(t, "carol")
	pool := x509.NewCertPool()
	pool.AddCert(client.Leaf)
	b := Config{
		TLS:   &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool},
		Users: map[string]User{"carol": {}},
	}.New(t)
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	cfg := &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{client}}
	r := newRaw(t, tls.Client(b.Pipe(), cfg))
	r.write([]byte("AMQP\x00\x00\x09\x01"))
	if m := expect[*wire.ConnectionStart](r, 0); m.Mechanisms != "PLAIN ANONYMOUS AMQPLAIN EXTERNAL" {
		t.Errorf("mechanisms %q", m.Mechanisms)
	}
	r.send(0, &wire.ConnectionStartOk{Mechanism: "EXTERNAL", Locale: "en_US"})
	r.tune(0, 131072)
	r.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOk](r, 0)
	if got := b.Connections()[0].User; got != "carol" {
		t.Errorf("user %q", got)
	}
}

// certificate makes a certificate that signs itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
