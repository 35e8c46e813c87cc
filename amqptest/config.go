package amqptest

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"
)

// Config describes a broker. The zero value is a RabbitMQ 4.0 with the user
// guest (password guest), who may do everything, and the virtual host "/".
type Config struct {
	// Version selects the RabbitMQ whose behavior the broker has where
	// releases differ. Default [V40].
	Version Version
	// Clock tells who moves the broker's time. Default: [Stopped] for New,
	// [Running] for Start.
	Clock Clock
	// Addr is where the broker listens from its start, such as
	// "127.0.0.1:5672". Default: at a free port of the loopback interface, and
	// only from the first use of [Broker.URL], [Broker.Addr] or
	// [Broker.Listen]; [Broker.Pipe] and [Broker.Dial] need no socket.
	Addr string
	// TLS makes URL an amqps one: the listener, and the broker's ends of
	// [Broker.Pipe], speak TLS with it. EXTERNAL takes the user's name from
	// the client certificate's common name. Default: no TLS.
	TLS *tls.Config
	// Users by name. Default: guest, with password guest and every right.
	Users map[string]User
	// VHosts are the virtual hosts. Default "/".
	VHosts []string
	// FrameMax is offered in connection.tune, in bytes. Default 131072.
	FrameMax uint32
	// ChannelMax is offered in connection.tune. Default 2047.
	ChannelMax uint16
	// Heartbeat is offered in connection.tune. Default 60 s; negative: none.
	Heartbeat time.Duration
	// MaxMessageSize bounds a message's body, in bytes. Default: that of the
	// Version (16 MiB since 4.0, before 128 MiB).
	MaxMessageSize int64
	// ConsumerTimeout is how long a delivery may stay unacknowledged.
	// Default 30 min.
	ConsumerTimeout time.Duration
	// DeadLetterRetry is how long the worker of at-least-once dead-lettering
	// waits before it sends again what its target did not take. Default
	// 180 s, RabbitMQ's dead_letter_worker_publisher_confirm_timeout.
	DeadLetterRetry time.Duration
	// Trace is how many of the last events are kept for [Broker.Trace].
	// Default: 10000 for New, none for Start; negative: none.
	Trace int
	// Plugins are those of RabbitMQ's plugins that are enabled, by name. The
	// broker knows rabbitmq_consistent_hash_exchange; others change nothing.
	Plugins []string
	// Logger gets what a RabbitMQ log would have: connections, errors, and
	// closed channels. Default: nothing is logged. It is called while the
	// broker is locked: its handler must not call the broker's methods, which
	// would wait for ever, and the broker waits while it works.
	Logger *slog.Logger
}

// Clock tells who moves a broker's time.
type Clock uint8

const (
	// ByStarter is Stopped for New and Running for Start.
	ByStarter Clock = iota
	// Stopped time moves by Advance alone.
	Stopped
	// Running time is the machine's (in testing/synctest, the bubble's), and
	// moves by Advance in addition.
	Running
)

// User is one user of a broker.
type User struct {
	Password string
	// Tags are the user's tags, such as "administrator".
	Tags []string
	// Permissions by virtual host. nil: every right in every virtual host.
	Permissions map[string]Permissions
	// hash, if not nil, stands for the password: the management API takes such.
	hash *passwordHash
}

// Permissions are regular expressions over names of queues and exchanges, as
// rabbitmqctl set_permissions takes them: "" allows nothing, ".*" everything.
type Permissions struct {
	Configure, Write, Read string
}

func (c Config) withDefaults(clock Clock) (Config, error) {
	c.Version = cmp.Or(c.Version, V40)
	if !c.Version.known() {
		return c, fmt.Errorf("amqptest: Config.Version is %q: give one of V310, V40 and V43", c.Version)
	}
	c.Clock = cmp.Or(c.Clock, clock)
	if len(c.Users) == 0 {
		c.Users = map[string]User{"guest": {Password: "guest", Tags: []string{"administrator"}}}
	}
	if len(c.VHosts) == 0 {
		c.VHosts = []string{"/"}
	}
	c.FrameMax = cmp.Or(c.FrameMax, 131072)
	c.ChannelMax = cmp.Or(c.ChannelMax, 2047)
	c.Heartbeat = max(0, cmp.Or(c.Heartbeat, 60*time.Second))
	c.MaxMessageSize = cmp.Or(c.MaxMessageSize, c.Version.maxMessageSize())
	c.ConsumerTimeout = cmp.Or(c.ConsumerTimeout, 30*time.Minute)
	c.DeadLetterRetry = cmp.Or(c.DeadLetterRetry, 180*time.Second)
	if c.Trace == 0 && clock == Stopped {
		c.Trace = 10000
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
