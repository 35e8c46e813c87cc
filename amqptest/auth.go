package amqptest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/hareline/hareline/internal/wire"
)

// loginError refuses a client that could be understood. Other errors of login
// are of the protocol.
type loginError struct{ reason string }

func (e *loginError) Error() string { return e.reason }

// mechanisms are those offered, as connection.start lists them.
func (c *conn) mechanisms() string {
	offered := []string{"AMQPLAIN", "PLAIN"}
	if c.broker.cfg.Version.atLeast40() {
		offered = []string{"PLAIN", "ANONYMOUS", "AMQPLAIN"}
	}
	if _, ok := c.socket.(*tls.Conn); ok {
		offered = append(offered, "EXTERNAL")
	}
	return strings.Join(offered, " ")
}

// login returns the user's name.
func (c *conn) login(response []byte) (string, error) {
	if !strings.Contains(" "+c.mechanisms()+" ", " "+c.mechanism+" ") {
		return "", fmt.Errorf("unknown authentication mechanism '%s'", c.mechanism)
	}
	var name, password string
	var err error
	switch c.mechanism {
	case "PLAIN":
		name, password, err = readPlain(response)
	case "AMQPLAIN":
		name, password, err = readAMQPlain(response)
	case "ANONYMOUS":
		name, password = "guest", "guest"
	default:
		return c.loginExternal()
	}
	if err != nil {
		return "", err
	}
	c.claimed = name
	u, ok := c.broker.cfg.Users[name]
	if !ok || !u.accepts(password) {
		return "", &loginError{fmt.Sprintf("user '%s' - invalid credentials", name)}
	}
	return name, nil
}

// loginExternal takes the user's name from the client's certificate.
func (c *conn) loginExternal() (string, error) {
	t, ok := c.socket.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return "", &loginError{"no client certificate"}
	}
	name := t.ConnectionState().PeerCertificates[0].Subject.CommonName
	c.claimed = name
	if _, ok := c.broker.cfg.Users[name]; !ok {
		return "", &loginError{fmt.Sprintf("user '%s' - invalid credentials", name)}
	}
	return name, nil
}

// readPlain reads a response of SASL PLAIN without an authorization identity:
// NUL name NUL password.
func readPlain(response []byte) (name, password string, err error) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[0]) > 0 {
		return "", "", errors.New("response invalid")
	}
	return string(parts[1]), string(parts[2]), nil
}

// readAMQPlain reads a response of AMQPLAIN: the fields of a table.
func readAMQPlain(response []byte) (name, password string, err error) {
	t, err := wire.DecodeTable(response)
	if err != nil {
		return "", "", fmt.Errorf("AMQPLAIN auth info: %w", err)
	}
	n, okName := t.Get("LOGIN")
	p, okPassword := t.Get("PASSWORD")
	if !okName || !okPassword {
		return "", "", errors.New("AMQPLAIN auth info is missing LOGIN or PASSWORD field")
	}
	name, okName = n.(string)
	password, okPassword = p.(string)
	if !okName || !okPassword {
		return "", "", errors.New("AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field")
	}
	return name, password, nil
}
