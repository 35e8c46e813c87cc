package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// tap remembers how reading began and how it failed, for the client passes on
// neither: with TLS 1.3 a broker refuses a client certificate after the
// client's side of the handshake, so its alert comes with the first read.
type tap struct {
	net.Conn
	first  atomic.Int32 // the first byte + 1
	failed atomic.Pointer[error]
	ended  chan struct{} // closed when reading has failed
	open   atomic.Bool   // the handshake is over
}

// lastWords is how long a write that failed waits for what the broker said
// before it hung up.
const lastWords = time.Second

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 && t.first.Load() == 0 {
		t.first.Store(int32(p[0]) + 1)
	}
	if err != nil {
		if t.failed.CompareAndSwap(nil, &err) {
			close(t.ended)
		}
	}
	return n, err
}

// Write writes. In the handshake it may find the socket closed before Read has
// come to the alert that says why; the client would end both, so it waits.
func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if err != nil && !t.open.Load() {
		select {
		case <-t.ended:
		case <-time.After(lastWords):
		}
	}
	return n, err
}

// alertRecord is the first byte of a TLS alert.
const alertRecord = 21

// explain is the error of a handshake, or a better one.
func (t *tap) explain(err error) error {
	if failed := t.failed.Load(); failed != nil && isAlert(*failed) {
		return *failed
	}
	_, secure := t.Conn.(*tls.Conn)
	failed := t.failed.Load()
	switch {
	case secure:
	case t.first.Load() == alertRecord+1:
		return errSpeaksTLS
	case t.first.Load() == 0 && failed != nil && errors.Is(*failed, io.EOF):
		return fmt.Errorf("closed before the broker said anything (a port that wants TLS does so: it needs amqps://): %w", err)
	}
	return err
}

var (
	errSpeaksTLS  = errors.New("the broker answers with TLS")
	errSpeaksAMQP = errors.New("the broker answers with plain AMQP, not with TLS")
)

// notTLS gives what a plain AMQP port says to a TLS handshake a name.
func notTLS(err error) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && string(header.RecordHeader[:4]) == "AMQP" {
		return errSpeaksAMQP
	}
	return err
}

// isAlert tells whether the peer ended the TLS handshake with an alert.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// isTLS tells whether an error is one of certificates or of TLS itself, which
// no repetition mends.
func isTLS(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errSpeaksTLS), errors.Is(err, errSpeaksAMQP),
		errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verification):
		return true
	case isAlert(err): // others may be the trouble of a moment
		text := err.Error()
		return strings.Contains(text, "certificate") || strings.Contains(text, "handshake failure") ||
			strings.Contains(text, "protocol version")
	}
	return false
}

// fix says what mends a connect, or nothing.
func (e *ConnectError) fix() string {
	if isTLS(e.Err) {
		return fixTLS(e.Err)
	}
	var refused *amqp.Error
	if !e.Permanent || !errors.As(e.Err, &refused) {
		return ""
	}
	switch {
	case errors.Is(e.Err, amqp.ErrSASL) && e.external:
		return "enable the plugin rabbitmq_auth_mechanism_ssl and add EXTERNAL to the broker's auth_mechanisms, or give a user and password"
	case errors.Is(e.Err, amqp.ErrSASL):
		return "the broker's auth_mechanisms lack what the URL's auth_mechanism asks for"
	case refused.Code == amqp.AccessRefused && e.external:
		return "create the user that the client certificate names (the broker's ssl_cert_login_from says how it is read), with rights on the vhost"
	case refused.Code == amqp.AccessRefused:
		return "check user, password and the user's rights on the vhost"
	case refused.Code == amqp.NotAllowed:
		return "create the vhost or name another one at the end of the URL"
	}
	return ""
}

func fixTLS(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, errSpeaksTLS):
		return "write amqps:// in the URL"
	case errors.Is(err, errSpeaksAMQP):
		return "name the broker's TLS port (5671 by default), or write amqp:// in the URL"
	case errors.As(err, &authority):
		return "add the authority that signed the broker's certificate to Config.TLS.RootCAs"
	case errors.As(err, &host):
		return "connect by a name that the broker's certificate has, or set Config.TLS.ServerName to one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the broker's certificate; if it is valid, set this machine's clock"
	case isAlert(err):
		return fixAlert(err.Error())
	}
	return "mend the broker's certificate"
}

// fixAlert tells what an alert of the broker means. What a broker says to a
// missing client certificate depends on the version of TLS.
func fixAlert(text string) string {
	switch {
	case strings.Contains(text, "unknown certificate authority"):
		return "have the client certificate signed by an authority that the broker trusts, or add its own to the broker's ssl_options.cacertfile"
	case strings.Contains(text, "expired certificate"):
		return "renew the client certificate; if it is valid, set the broker's clock"
	case strings.Contains(text, "certificate required"), strings.Contains(text, "handshake failure"):
		return "set Config.TLS.Certificates to a client certificate that is signed by an authority of the broker's ssl_options.cacertfile"
	case strings.Contains(text, "protocol version"):
		return "allow a version of TLS that the broker has, in Config.TLS.MinVersion and MaxVersion"
	}
	return "the broker does not take the client certificate in Config.TLS.Certificates: its log says why"
}
