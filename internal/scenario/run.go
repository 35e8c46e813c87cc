package scenario

import (
	"context"
	"errors"
	"fmt"

	"github.com/hareline/hareline/internal/wire"
)

// verbs are the steps that send no method.
var verbs = map[string]func(*player, context.Context, *conn, step, *call) error{
	"expect":  (*player).expect,
	"settle":  (*player).settle,
	"wait":    (*player).wait,
	"depth":   (*player).depth,
	"connect": (*player).connect,
	"dial":    (*player).dial,
	"cut":     (*player).cut,
	"send":    (*player).send,
	"user":    (*player).user,
}

// Run plays the script and returns its transcript. What the broker says is no error, nor is it one that it says nothing:
// an error is a target that cannot be reached or that lacks what the script needs.
func Run(ctx context.Context, s *Script, t Target) (string, error) {
	p := newPlayer(t.withDefaults())
	defer p.close()
	for _, st := range s.steps {
		if err := p.play(ctx, st); err != nil {
			return p.out.text(), fmt.Errorf("%s: %s: step %q: %w", s.File, s.Name, st.text, err)
		}
	}
	return p.out.text(), nil
}

// player plays one script. It belongs to one goroutine.
type player struct {
	target Target
	conns  map[string]*conn
	states map[string]map[uint16]*channel
	out    *transcript
}

// channel is what the player knows of a channel.
type channel struct {
	open, shut  bool
	confirming  bool
	published   uint64         // the tag of the last publish
	unconfirmed []uint64       // tags, in order
	seen        map[string]int // events by kind that no expect has taken yet
}

// hidden is the name of the connection that "depth" uses.
const hidden = "(depth)"

func newPlayer(t Target) *player {
	return &player{target: t, conns: map[string]*conn{}, states: map[string]map[uint16]*channel{}, out: newTranscript(t)}
}

func (p *player) close() {
	for _, c := range p.conns {
		c.close()
	}
}

func (p *player) state(c *conn, number uint16) *channel {
	all := p.states[c.name]
	if all[number] == nil {
		all[number] = &channel{seen: map[string]int{}}
	}
	return all[number]
}

func (p *player) play(ctx context.Context, st step) error {
	p.out.begin(st)
	defer p.out.flush()
	for n := 1; n <= max(1, st.times); n++ {
		limited, cancel := context.WithTimeout(ctx, p.target.Patience)
		err := p.once(limited, st, n)
		cancel()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *player) once(ctx context.Context, st step, n int) error {
	call := newCall(st.at(n), p.out.resolve)
	verb := verbs[st.verb]
	switch st.verb {
	case "settle", "wait", "depth", "connect", "dial", "cut", "user":
		if st.verb == "wait" {
			ctx = context.WithoutCancel(ctx)
		}
		return verb(p, ctx, nil, st, call)
	}
	c, err := p.conn(ctx, st.conn)
	if err != nil {
		return err
	}
	if verb != nil {
		return verb(p, ctx, c, st, call)
	}
	return p.request(ctx, c, st, call)
}

// conn is the connection of that name, opened if it never was.
func (p *player) conn(ctx context.Context, name string) (*conn, error) {
	if c := p.conns[name]; c != nil {
		return c, nil
	}
	c, err := p.socket(ctx, name)
	if err != nil {
		return nil, err
	}
	last, err := p.handshake(ctx, c, newCall(nil, p.out.resolve), false)
	if err == nil && last.method == nil {
		err = errors.New(last.text)
	}
	if err != nil {
		return nil, fmt.Errorf("open connection %s: %w", name, err)
	}
	return c, nil
}

func (p *player) socket(ctx context.Context, name string) (*conn, error) {
	if old := p.conns[name]; old != nil {
		old.close()
	}
	nc, err := p.target.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := newConn(name, nc, p.target)
	c.start()
	p.conns[name], p.states[name] = c, map[uint16]*channel{}
	return c, nil
}

// request sends a method and, where it has a reply, waits for that or for an end.
func (p *player) request(ctx context.Context, c *conn, st step, call *call) error {
	r := methods[st.verb](call)
	if err := call.end(); err != nil {
		return err
	}
	class, method := r.method.ID()
	number := st.channel
	if class == classConnection {
		number = 0
	}
	if c.raw {
		return p.transmit(ctx, c, number, r)
	}
	if ready, err := p.ready(ctx, c, number, class == classChannel && method == 10); err != nil || !ready {
		return err
	}
	ch := p.state(c, number)
	if r.content != nil && ch.confirming {
		ch.published++
		ch.unconfirmed = append(ch.unconfirmed, ch.published)
	}
	if err := p.transmit(ctx, c, number, r); err != nil || !r.reply {
		return err
	}
	return p.await(ctx, c, number, class, method)
}

const classConnection, classChannel = 10, 20

// ready opens the channel if it never was open; it is false, and says so, when it is closed.
func (p *player) ready(ctx context.Context, c *conn, number uint16, opening bool) (bool, error) {
	ch := p.state(c, number)
	switch {
	case c.closed:
		p.out.add(c, number, "(connection closed)")
		return false, nil
	case opening:
		p.states[c.name][number] = nil
		return true, nil
	case ch.shut:
		p.out.add(c, number, "(closed)")
		return false, nil
	case ch.open || number == 0:
		return true, nil
	}
	if err := p.transmit(ctx, c, number, request{method: &wire.ChannelOpen{}}); err != nil {
		return false, err
	}
	for {
		on, e, err := c.next(ctx, number)
		if err != nil {
			p.out.add(c, number, "(channel.open is not answered)")
			return false, nil
		}
		if _, ok := e.method.(*wire.ChannelOpenOk); ok {
			ch.open = true
			return true, nil
		}
		if p.take(ctx, c, on, e) {
			return false, nil
		}
	}
}

// transmit writes one request. A socket that takes no more is no error: what the broker says of it comes from the reader.
func (p *player) transmit(ctx context.Context, c *conn, number uint16, r request) error {
	data := wire.AppendMethod(nil, number, r.method)
	if r.content != nil {
		data = wire.AppendHeader(data, number, uint64(len(r.content.body)), wire.AppendProperties(nil, &r.content.properties))
		data = wire.AppendBody(data, number, r.content.body, c.frameMax)
	}
	_ = c.write(ctx, data)
	return nil
}

// await shows what comes until the reply to a method, or an end, is among it.
func (p *player) await(ctx context.Context, c *conn, number uint16, class, method uint16) error {
	for {
		on, e, err := c.next(ctx, number)
		if err != nil {
			p.out.add(c, number, "(no answer)")
			return nil
		}
		if over := p.take(ctx, c, on, e); over || e.method != nil && isReply(e.method, class, method) {
			return nil
		}
	}
}
