package link

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ErrClosed is returned for calls on a [Link] after its Close.
var ErrClosed = errors.New("link: closed by Close; open a new link")

// ConfigError names a field of [Config] that cannot be used.
type ConfigError struct {
	Field, Problem, Fix string
	// Err is the cause, where there is one.
	Err error
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("link: Config.%s %s: %s", e.Field, e.Problem, e.Fix)
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// ConnectError tells why a broker could not be reached. It never holds
// credentials.
type ConnectError struct {
	// Server is host:port/vhost.
	Server string
	// Permanent is true where repeating cannot help: credentials refused, the
	// vhost missing or not allowed, a TLS certificate refused by either side,
	// a port that does or does not speak TLS.
	Permanent bool
	// Err is the cause.
	Err error

	doubtful bool // a cut link looks the same
	external bool // a client certificate was to log in
}

func (e *ConnectError) Error() string {
	text := fmt.Sprintf("link: connect to %s: %v", e.Server, e.Err)
	if fix := e.fix(); fix != "" {
		text += "; " + fix
	}
	return text
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// ClosedError tells how a [Session] ended.
type ClosedError struct {
	// Connection is true when the whole connection went, false when the broker
	// closed this channel alone (a channel exception).
	Connection bool
	// Err is the cause, an *amqp.Error where the broker gave one.
	Err error
}

func (e *ClosedError) Error() string {
	if e.Connection {
		return fmt.Sprintf("link: connection lost: %v", e.Err)
	}
	return fmt.Sprintf("link: channel closed by the broker: %v", e.Err)
}

// Unwrap returns the cause.
func (e *ClosedError) Unwrap() error { return e.Err }

// errSessionClosed is the cause of a session that its owner closed.
var errSessionClosed = errors.New("session closed by its owner")

// channelCodes are the reply codes that end a channel and leave the connection
// (AMQP 0-9-1, 1.1: soft errors; RabbitMQ uses them so).
func isChannelCode(code int) bool {
	switch code {
	case amqp.ContentTooLarge, amqp.NoRoute, amqp.NoConsumers, amqp.AccessRefused,
		amqp.NotFound, amqp.ResourceLocked, amqp.PreconditionFailed:
		return true
	}
	return false
}

func closedError(err *amqp.Error) *ClosedError {
	if err == nil {
		return &ClosedError{Connection: true, Err: amqp.ErrClosed}
	}
	return &ClosedError{Connection: !isChannelCode(err.Code), Err: err}
}
