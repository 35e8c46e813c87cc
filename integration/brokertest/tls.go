package brokertest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// TLS is how a broker of FreshTLS proves who it is, and whose clients it takes. All as PEM.
type TLS struct {
	// CA signs the certificates of clients, Cert is the broker's own with its Key.
	CA, Cert, Key []byte
	// Require refuses clients that have no certificate.
	Require bool
}

// FreshTLS is Fresh with a TLS listener, see Broker.TLSURL. A client certificate logs in the user of its common name by
// SASL EXTERNAL. An embedded broker speaks nothing but TLS, and its Broker.URL does not work.
func FreshTLS(t testing.TB, version string, cfg TLS) *Broker {
	t.Helper()
	return fresh(t, version, &cfg)
}

// Plugins that come with RabbitMQ; images enable fewer of them.
const (
	plugins    = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange]."
	pluginsTLS = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange,rabbitmq_auth_mechanism_ssl]."
)

// files are what a container needs.
func (c *TLS) files() []testcontainers.ContainerFile {
	file := func(path string, content []byte) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{Reader: bytes.NewReader(content), ContainerFilePath: path, FileMode: 0o644}
	}
	if c == nil {
		return []testcontainers.ContainerFile{file("/etc/rabbitmq/enabled_plugins", []byte(plugins))}
	}
	conf := fmt.Sprintf(`listeners.ssl.default = 5671
ssl_options.cacertfile = /etc/rabbitmq/ca.pem
ssl_options.certfile = /etc/rabbitmq/cert.pem
ssl_options.keyfile = /etc/rabbitmq/key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = %t
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
ssl_cert_login_from = common_name
`, c.Require)
	return []testcontainers.ContainerFile{
		file("/etc/rabbitmq/ca.pem", c.CA), file("/etc/rabbitmq/cert.pem", c.Cert), file("/etc/rabbitmq/key.pem", c.Key),
		file("/etc/rabbitmq/conf.d/20-tls.conf", []byte(conf)), file("/etc/rabbitmq/enabled_plugins", []byte(pluginsTLS)),
	}
}

// config is what an embedded broker needs; nil for nil.
func (c *TLS) config() (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("brokertest: TLS.CA holds no certificate")
	}
	auth := tls.VerifyClientCertIfGiven
	if c.Require {
		auth = tls.RequireAndVerifyClientCert
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: auth}, nil
}
