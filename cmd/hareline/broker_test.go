package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestBrokerUntilSignal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			r := start(t, nil, append(free, "--trace", "--dump-on-exit")...)
			at, management := r.value("AMQP_URL"), r.value("HARELINE_MANAGEMENT_URL")
			if err := roundTrip(at); err != nil {
				t.Fatal(err)
			}
			resp, err := http.Get(management + "/api/overview")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body := readAll(t, resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"rabbitmq_version":"4.0.5"`) {
				t.Errorf("the management API answers %d: %s", resp.StatusCode, body)
			}
			r.signal(s)
			if code, _ := r.wait(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			for _, want := range []string{"connection opened", "published", "RabbitMQ 4.0.5, ", "quorum, durable: q", s.String() + ": ending"} {
				if !strings.Contains(r.stderr.String(), want) {
					t.Errorf("no %q on stderr:\n%s", want, &r.stderr)
				}
			}
		})
	}
}

func TestBrokerEndsWhileClientsAreConnected(t *testing.T) {
	r := start(t, nil, free...)
	c, err := amqp.Dial(r.value("AMQP_URL"))
	if err != nil {
		t.Fatal(err)
	}
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	r.signal(syscall.SIGTERM)
	if code, _ := r.wait(); code != 0 {
		t.Errorf("exit code %d, want 0; stderr:\n%s", code, &r.stderr)
	}
	if err := <-closed; err == nil || err.Code != amqp.ConnectionForced {
		t.Errorf("the client was told %v, want 320", err)
	}
}

func TestVersion(t *testing.T) {
	for version, release := range map[string]string{"3.10": "3.10.8", "4.0": "4.0.5", "4.3": "4.3.6"} {
		r := start(t, nil, append(free, "--version", version)...)
		c, err := amqp.Dial(r.value("AMQP_URL"))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Properties["version"]; got != release {
			t.Errorf("--version %s says it is %v, want %s", version, got, release)
		}
		_ = c.Close()
		r.signal(syscall.SIGTERM)
		r.wait()
	}
}

func TestWrongUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := writeFile(t, "users", "# nobody\n", 0o600)
	broken := writeFile(t, "users", "app:secret\nonly-a-name\n", 0o600)
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		want string // on stderr
	}{
		{"unknown command", nil, []string{"brocker"}, 2, "brocker"},
		{"unknown flag", nil, []string{"broker", "--prot", "1"}, 2, "--prot"},
		{"command without --", nil, append(free, "ls"), 2, "--"},
		{"version", nil, append(free, "--version", "5.0"), 2, "3.10, 4.0 or 4.3"},
		{"guest for everybody", nil, []string{"broker", "--addr", "0.0.0.0:0", "--management", ""}, 2, "HARELINE_BROKER_USER"},
		{"guest for everybody by HTTP", nil, []string{"broker", "--addr", "127.0.0.1:0", "--management", ":0"}, 2, "--management"},
		{"half a user", []string{"HARELINE_BROKER_USER=app"}, free, 2, "HARELINE_BROKER_PASSWORD"},
		{"half of TLS", nil, append(free, "--tls-cert", "x"), 2, "--tls-key"},
		{"empty vhost", nil, append(free, "--vhost", ""), 2, "--vhost"},
		{"address taken", nil, []string{"broker", "--addr", taken.Addr().String(), "--management", ""}, 1, "address already in use"},
		{"management taken", nil, []string{"broker", "--addr", "127.0.0.1:0", "--management", taken.Addr().String()}, 1, "management"},
		{"no certificate", nil, append(free, "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"), 1, "no such file"},
		{"no users", nil, append(free, "--users", empty), 1, "names no user"},
		{"broken users", nil, append(free, "--users", broken), 1, "line 2"},
		{"no definitions", nil, append(free, "--definitions", "/nonexistent"), 1, "--definitions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, c.env, c.args...)
			code, out := r.wait()
			if code != c.code || !strings.Contains(r.stderr.String(), c.want) {
				t.Errorf("exit code %d, want %d; stderr, which has to have %q:\n%s", code, c.code, c.want, &r.stderr)
			}
			if out != "" || strings.Contains(r.stderr.String(), "secret") {
				t.Errorf("it says too much: %q, %q", out, &r.stderr)
			}
		})
	}
}

func TestUsers(t *testing.T) {
	file := writeFile(t, "users", "# users of the test\nana:p:w:monitoring,policymaker\n\nbob:b0b\n", 0o600)
	r := start(t, []string{"HARELINE_BROKER_USER=app", "HARELINE_BROKER_PASSWORD=s/cret"}, append(free, "--users", file)...)
	printed, management := r.value("AMQP_URL"), r.value("HARELINE_MANAGEMENT_URL")
	if strings.Contains(printed, "cret") || strings.Contains(management, "cret") {
		t.Errorf("a password is printed: %s %s", printed, management)
	}
	at, err := url.Parse(printed)
	if err != nil {
		t.Fatal(err)
	}
	for user, wanted := range map[string]string{"app": "s/cret", "bob": "b0b", "ana": "p"} {
		at.User = url.UserPassword(user, wanted)
		if err := roundTrip(at.String()); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	at.User = url.UserPassword("guest", "guest")
	if err := roundTrip(at.String()); err == nil {
		t.Error("guest may log in beside users that were named")
	}
	r.signal(syscall.SIGTERM)
	r.wait()
}

func TestDefinitionsAndVHost(t *testing.T) {
	file := writeFile(t, "definitions.json", `{"vhosts":[{"name":"shop"}],
		"queues":[{"name":"orders","vhost":"shop","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"quorum"}}]}`, 0o600)
	r := start(t, nil, append(free, "--vhost", "a/b", "--vhost", "/", "--definitions", file)...)
	at := r.value("AMQP_URL")
	if !strings.HasSuffix(at, "/a%2Fb") {
		t.Errorf("AMQP_URL is %s, want one of virtual host a/b", at)
	}
	if err := roundTrip(at); err != nil {
		t.Error(err)
	}
	c, err := amqp.Dial(strings.TrimSuffix(at, "a%2Fb") + "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclarePassive("orders", true, false, false, false, nil); err != nil {
		t.Errorf("the queue of the definitions: %v", err)
	}
	r.signal(syscall.SIGTERM)
	r.wait()
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	r := start(t, nil, append(free, "--tls-cert", cert, "--tls-key", key)...)
	at := r.value("AMQP_URL")
	if !strings.HasPrefix(at, "amqps://") {
		t.Errorf("AMQP_URL is %s, want an amqps one", at)
	}
	c, err := amqp.DialTLS(at, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	r.signal(syscall.SIGTERM)
	if code, _ := r.wait(); code != 0 {
		t.Errorf("exit code %d, want 0; stderr:\n%s", code, &r.stderr)
	}
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hareline test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = writeFile(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
	key = writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})), 0o600)
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return cert, key, pool
}
