package amqptest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// directChannel is a channel without a client: what the management API
// declares, publishes and gets goes over one, as in RabbitMQ. Its connection is
// in no list. All of it runs under Broker.mu.
type directChannel struct {
	conn    *conn
	channel *channel
}

// direct opens a channel as the call's user in a virtual host. The user can log
// in to it: see apiCall.permitVHost.
func (c *apiCall) direct(vh *vhost) directChannel {
	b := c.b
	conn := &conn{
		broker: b, name: "direct", vhost: vh, user: c.user, tags: c.tags, state: stateRunning,
		channels: make(map[uint16]*channel), connected: b.clock.now(),
		resume: make(chan struct{}, 1), beats: make(chan time.Duration, 1), done: make(chan struct{}),
	}
	conn.out.wake = make(chan struct{}, 1)
	ch := &channel{conn: conn, id: 1, consumers: make(map[string]*consumer), opened: true, flow: true}
	conn.channels[ch.id] = ch
	return directChannel{conn: conn, channel: ch}
}

// do does a method. It must be one whose errors close no more than the channel.
func (d directChannel) do(m wire.Method) *amqpError { return d.channel.handle(m) }

// close ends the channel and its connection: exclusive queues go, what was got
// and not acked goes back.
func (d directChannel) close() {
	d.conn.releaseChannels()
	d.conn.gone = true
	d.conn.broker.work()
}

// sent takes what was sent to the client since.
func (d directChannel) sent() ([]directMethod, error) {
	d.conn.broker.work()
	d.conn.sendConfirms()
	frames, _ := d.conn.out.take(nil)
	r := wire.NewReader(bytes.NewReader(frames))
	r.SetLimit(0)
	var all []directMethod
	for {
		f, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		switch f.Type {
		case wire.FrameMethod:
			m, err := wire.DecodeMethod(f.Payload)
			if err != nil {
				return nil, err
			}
			all = append(all, directMethod{method: m})
		case wire.FrameHeader:
			_, _, properties, err := wire.DecodeHeader(f.Payload)
			if err != nil {
				return nil, err
			}
			last := &all[len(all)-1]
			if last.properties, err = wire.DecodeProperties(properties); err != nil {
				return nil, err
			}
		case wire.FrameBody:
			last := &all[len(all)-1]
			last.body = append(last.body, f.Payload...)
		}
	}
}

// directMethod is a method with its content, if it has any.
type directMethod struct {
	method     wire.Method
	properties wire.Properties
	body       []byte
}

// operate does a method on a channel of its own, as a declaration does.
func (c *apiCall) operate(vh *vhost, m wire.Method) *apiReply {
	d := c.direct(vh)
	defer d.close()
	if e := d.do(m); e != nil {
		reply := e.reply()
		return &reply
	}
	return nil
}

// reply is an error of a declaration, a deletion and the like: the text without
// the code's name.
func (e *amqpError) reply() apiReply {
	_, text, named := strings.Cut(e.text, " - ")
	if !named {
		text = e.text
	}
	switch e.code {
	case codeNotFound:
		return apiError(http.StatusNotFound, "not_found", text)
	case codeAccessRefused:
		return *notAuthorised("Access refused.")
	}
	return badRequest(text)
}

// replyWithCode is an error of basic.publish or basic.get: the code, then the
// text; of an error that closes the connection without the code's name.
func (e *amqpError) replyWithCode() apiReply {
	text := e.text
	if e.hard {
		if _, rest, named := strings.Cut(text, " - "); named {
			text = rest
		}
	}
	return badRequest(strconv.Itoa(int(e.code)) + " " + text)
}
