package amqptest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// closeTimeout bounds how long Close waits for clients to answer.
const closeTimeout = 250 * time.Millisecond

// New starts a broker for a test and closes it when the test is over. Its time
// stands still but for [Broker.Advance]. When the test fails, what the broker
// holds then is logged.
func New(t TB) *Broker {
	t.Helper()
	return Config{}.New(t)
}

// New starts a broker with this configuration for a test, see the function
// New. A configuration that is wrong ends the test.
func (c Config) New(t TB) *Broker {
	t.Helper()
	b, err := c.start(Stopped)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	b.net.fail = t.Fatalf
	b.endWith(t)
	return b
}

// Start starts a broker that listens at addr, such as "127.0.0.1:5672"; with
// port 0, at a free one. It is the caller's to close.
func Start(addr string) (*Broker, error) { return Config{Addr: addr}.Start() }

// Start starts a broker with this configuration. It is the caller's to close.
// The error says which field is wrong, or why Addr cannot be listened at.
func (c Config) Start() (*Broker, error) { return c.start(Running) }

func (c Config) start(clock Clock) (*Broker, error) {
	c, err := c.withDefaults(clock)
	if err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.Users, c.VHosts = maps.Clone(c.Users), slices.Clone(c.VHosts)
	grants, err := c.compileGrants()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		cfg:    c,
		vhosts: make(map[string]*vhost),
		conns:  make(map[uint64]*conn),
		alarms: make(map[string]bool),
		grants: grants,
	}
	b.clock = newClock(b, c.Clock == Running)
	b.traceSetUp()
	for _, name := range c.VHosts {
		b.vhosts[name] = newVHost(b, name)
	}
	if c.Addr == "" {
		return b, nil
	}
	if err := b.Listen(); err != nil {
		return nil, err
	}
	return b, nil
}

// validate takes a configuration with its defaults filled in.
func (c Config) validate() error {
	if least := c.Version.frameMin(); c.FrameMax < least {
		return fmt.Errorf("amqptest: Config.FrameMax is %d: RabbitMQ %s takes %d or more", c.FrameMax, c.Version, least)
	}
	if c.MaxMessageSize < 0 {
		return fmt.Errorf("amqptest: Config.MaxMessageSize is %d: give a number of bytes", c.MaxMessageSize)
	}
	if c.ConsumerTimeout < 0 {
		return fmt.Errorf("amqptest: Config.ConsumerTimeout is %s: it cannot be negative", c.ConsumerTimeout)
	}
	if c.DeadLetterRetry < 0 {
		return fmt.Errorf("amqptest: Config.DeadLetterRetry is %s: it cannot be negative", c.DeadLetterRetry)
	}
	if c.Clock > Running {
		return fmt.Errorf("amqptest: Config.Clock is %d: give Stopped or Running", c.Clock)
	}
	return c.validateNames()
}

// validateNames checks virtual hosts, users, and what users may do where.
func (c Config) validateNames() error {
	seen := make(map[string]bool)
	for _, name := range c.VHosts {
		if name == "" || seen[name] {
			return fmt.Errorf("amqptest: Config.VHosts has %q twice or without a name: name each once", name)
		}
		seen[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Users)) {
		if name == "" {
			return errors.New(`amqptest: Config.Users has a user named "": give the user a name`)
		}
		for _, vhost := range slices.Sorted(maps.Keys(c.Users[name].Permissions)) {
			if !seen[vhost] {
				return fmt.Errorf("amqptest: Config.Users[%q].Permissions has %q: there is no such virtual host: add it to Config.VHosts", name, vhost)
			}
		}
	}
	return nil
}

// Close ends the broker: connections are closed with 320 (CONNECTION_FORCED),
// as by a node that shuts down, and all that it started has ended when Close
// returns. More calls do nothing.
func (b *Broker) Close() error {
	if err := b.shutDown(); err != nil {
		return err
	}
	over := make(chan struct{})
	go func() {
		b.running.Wait()
		close(over)
	}()
	patience := time.NewTimer(closeTimeout)
	defer patience.Stop()
	select {
	case <-over:
		return nil
	case <-patience.C:
	}
	b.lock()
	for _, c := range b.connsInOrder() {
		c.end()
		_ = c.socket.Close()
	}
	b.unlock()
	<-over
	return nil
}

// shutDown begins the end.
func (b *Broker) shutDown() error {
	b.lock()
	defer b.unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.faults.close()
	b.mgmt.close()
	b.clock.close()
	b.forceClose(shutdownText)
	b.work()
	b.tracer.close()
	if b.net.amqp == nil {
		return nil
	}
	if err := b.net.amqp.Close(); err != nil {
		return fmt.Errorf("amqptest: close the listener: %w", err)
	}
	return nil
}
