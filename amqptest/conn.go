package amqptest

import (
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// conn is one client's connection. Its reader goroutine (reader.go) reads
// frames and does what they say, its writer goroutine (outbox.go) writes what
// is in out. All fields but those said to be otherwise are under Broker.mu.
type conn struct {
	broker       *Broker
	id           uint64
	name         string // "127.0.0.1:50000 -> 127.0.0.1:5672"
	socket       net.Conn
	vhost        *vhost
	user         string
	tags         []string   // the user's
	trusted      bool       // may do everything, whoever the user is
	properties   wire.Table // the client's
	mechanism    string     // of authentication
	claimed      string     // user that the client claims to be
	channels     map[uint16]*channel
	exclusive    map[string]*queue // the queues that are its alone, by name
	frameMax     uint32
	channelMax   uint16
	heartbeat    time.Duration // negotiated; 0: none
	capabilities capabilities
	connected    time.Time // by the broker's clock
	out          outbox
	in           *wire.Reader // of the reader goroutine alone
	readTimeout  readTimeout  // of the reader goroutine alone
	state        connState
	// blocked: an alarm is on, and the client published since. The reader
	// reads nothing then.
	blocked atomic.Bool
	// told403: connection.close was sent in answer to a login.
	told403 bool
	// told: connection.blocked was sent and not yet taken back.
	told bool
	// stall is a fault that keeps the reader from reading (fault_stall.go).
	stall stallGate
	// mute: a fault keeps back what would be sent.
	mute bool
	// resume wakes a reader that is paused.
	resume chan struct{}
	// beats tells the writer the negotiated heartbeat interval.
	beats chan time.Duration
	// done is closed when the connection is over.
	done chan struct{}
	gone bool
	// confirming are the channels that have confirms to send.
	confirming []*channel
	// committing is the channel that commits publishes, 0: none; committed is
	// what it is delivered meanwhile, encoded.
	committing uint16
	committed  []byte
	// names holds the exchanges' names and routing keys of late, so that not
	// each publish makes strings of them.
	names   interner
	scratch scratch
	// closing ends a connection whose client does not answer connection.close.
	closing *time.Timer
	stats   connStats
	// dirty: out has something that the writer was not told of.
	dirty bool
}

// scratch is what the methods that come and go most are made in, so that not
// each is garbage. It is for the one in hand alone.
type scratch struct {
	deliver wire.BasicDeliver
	ack     wire.BasicAck
	settled [1]*delivery
}

// connStats count what went over the connection, in octets and in frames; for
// the management API.
type connStats struct {
	received, sent           atomic.Uint64
	receivedCount, sentCount atomic.Uint64
}

// capabilities are those the client announced in connection.start-ok.
type capabilities struct {
	consumerCancelNotify, connectionBlocked, authenticationFailureClose bool
}

// connState is how far a connection came. The names are RabbitMQ's, which are
// in its error texts.
type connState uint8

const (
	statePreInit connState = iota
	stateStarting
	stateSecuring
	stateTuning
	stateOpening
	stateRunning
	// stateClosed: connection.close or -close-ok was sent. All but its end is ignored.
	stateClosed
)

func (s connState) String() string {
	return [...]string{"pre_init", "starting", "securing", "tuning", "opening", "running", "closed"}[s]
}

// stateName is the state that the management API shows.
func (c *conn) stateName() string {
	switch {
	case c.blocked.Load():
		return "blocked"
	case c.state == stateRunning && len(c.broker.alarms) > 0:
		return "blocking"
	default:
		return c.state.String()
	}
}

// closingTimeout is how long a client may take to answer connection.close, or
// to close the socket after connection.close-ok.
const closingTimeout = 30 * time.Second

// send puts a method into the outbox.
func (c *conn) send(channel uint16, m wire.Method) {
	if c.gone || c.mute {
		return
	}
	o := &c.out
	o.mu.Lock()
	before := len(o.frames)
	o.frames = wire.AppendMethod(o.frames, channel, m)
	c.sent(before)
}

// sendContent puts a method with content into the outbox. properties are
// encoded. All arguments are copied.
func (c *conn) sendContent(channel uint16, m wire.Method, properties []byte, body []byte) {
	if c.gone || c.mute {
		return
	}
	d, isDelivery := m.(*wire.BasicDeliver)
	if isDelivery && channel == c.committing {
		c.committed = c.appendContent(wire.AppendDeliver(c.committed, channel, d), channel, properties, body)
		return
	}
	o := &c.out
	o.mu.Lock()
	before := len(o.frames)
	if isDelivery {
		o.frames = wire.AppendDeliver(o.frames, channel, d)
	} else {
		o.frames = wire.AppendMethod(o.frames, channel, m)
	}
	o.frames = c.appendContent(o.frames, channel, properties, body)
	c.sent(before)
}

func (c *conn) appendContent(frames []byte, channel uint16, properties, body []byte) []byte {
	frames = wire.AppendHeader(frames, channel, uint64(len(body)), properties)
	if len(body) > 0 {
		frames = wire.AppendBody(frames, channel, body, c.frameMax)
	}
	return frames
}

// sendCommitted puts what was delivered while publishes were committed into the
// outbox.
func (c *conn) sendCommitted() {
	all := c.committed
	c.committing, c.committed = 0, nil
	if len(all) == 0 || c.gone || c.mute {
		return
	}
	o := &c.out
	o.mu.Lock()
	before := len(o.frames)
	o.frames = append(o.frames, all...)
	c.sent(before)
}

// sent counts what was added to the outbox, which held before octets then, and
// unlocks it.
func (c *conn) sent(before int) {
	o := &c.out
	now := len(o.frames)
	o.pending.Add(int64(now - before))
	o.mu.Unlock()
	c.stats.sentCount.Add(1)
	c.mark()
	if now >= outboxEarly {
		o.signal()
	}
}

// mark has the writer told when the work in hand is done.
func (c *conn) mark() {
	if !c.dirty {
		c.dirty = true
		c.broker.dirty = append(c.broker.dirty, c)
	}
}

// channelsInOrder are the open channels by number.
func (c *conn) channelsInOrder() []*channel {
	all := make([]*channel, 0, len(c.channels))
	for _, id := range slices.Sorted(maps.Keys(c.channels)) {
		all = append(all, c.channels[id])
	}
	return all
}

// releaseChannels ends all channels, then deletes the connection's exclusive
// queues.
func (c *conn) releaseChannels() {
	for _, ch := range c.channelsInOrder() {
		ch.end()
	}
	for _, name := range slices.Sorted(maps.Keys(c.exclusive)) {
		if q := c.exclusive[name]; q != nil { // else it went with another one
			q.traceDeleted(nil, "exclusive")
			c.vhost.deleteQueue(q)
		}
	}
}

// fail answers a hard error: all channels end, connection.close is sent, and
// what comes then is ignored until its answer.
func (c *conn) fail(e *amqpError) {
	if c.state == stateClosed || c.gone {
		return
	}
	c.log().Error("connection closed with an error", "state", c.state.String(), "code", e.code, "text", e.text)
	c.traceClosed("broker", e.code, e.text)
	c.releaseChannels()
	c.state = stateClosed
	c.send(0, &wire.ConnectionClose{ReplyCode: e.code, ReplyText: replyText(e.text), ClassID: e.class, MethodID: e.method})
	c.endLater()
}

// endLater closes the socket of a client that does not.
func (c *conn) endLater() {
	wait := closingTimeout
	if c.heartbeat > 0 {
		wait = min(wait, c.heartbeat)
	}
	c.closing = time.AfterFunc(wait, c.lost)
	c.blocked.Store(false)
	c.wakeReader()
}

// end is the end of a connection, whatever ended it. It is called once the
// reader stops; more calls do nothing.
func (c *conn) end() {
	if c.gone {
		return
	}
	if c.state == stateRunning {
		c.log().Warn("client unexpectedly closed TCP connection")
		c.traceClosed("lost", 0, "")
	}
	c.releaseChannels()
	c.state = stateClosed
	c.gone = true
	if c.closing != nil {
		c.closing.Stop()
	}
	delete(c.broker.conns, c.id)
	close(c.done)
	if c.socket != nil { // else there is no client: the management API works over it
		_ = c.socket.SetWriteDeadline(time.Now().Add(lingerTimeout))
	}
	c.out.finish()
}

// cut ends the connection without a word, once what is in the outbox is out.
func (c *conn) cut() {
	if c.gone {
		return
	}
	c.sendConfirms()
	if c.state == stateRunning {
		c.traceClosed("lost", 0, "")
		c.state = stateClosed
	}
	c.end()
}

func (c *conn) traceClosed(by string, code uint16, text string) {
	if !c.broker.tracer.on {
		return
	}
	kind := EventConnectionClosed
	if c.state < stateRunning {
		kind = EventConnectionRefused
	}
	c.broker.trace(Event{Kind: kind, Connection: c.id, VHost: c.vhostName(), Reason: by, Code: code, Text: text})
}

func (c *conn) vhostName() string {
	if c.vhost == nil {
		return ""
	}
	return c.vhost.name
}

// clientName is the name that the client gave its connection.
func (c *conn) clientName() string {
	v, _ := c.properties.Get("connection_name")
	s, _ := v.(string)
	return s
}

func (c *conn) log() *slog.Logger {
	return c.broker.cfg.Logger.With("connection", c.name, "vhost", c.vhostName(), "user", c.user)
}

// interner holds strings, so that the same octets are one string.
type interner map[string]string

// internLimit bounds an interner: then it starts anew.
const internLimit = 1024

func (in *interner) get(b []byte) string {
	if s, ok := (*in)[string(b)]; ok {
		return s
	}
	if *in == nil || len(*in) >= internLimit {
		*in = make(interner)
	}
	s := string(b)
	(*in)[s] = s
	return s
}
