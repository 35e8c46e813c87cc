package scenario

import (
	"context"
	"errors"
	"fmt"

	"github.com/hareline/hareline/internal/wire"
)

// protocol is the header of AMQP 0-9-1.
const protocol = "AMQP\x00\x00\x09\x01"

// connect opens a connection:
//
//	connect b [show] [user=U password=P] [vhost=V] [channel-max=N] [frame-max=N] [heartbeat=N]
//	          [mechanism=M] [response="..."] [locale=L] [properties={...}]
//
// With show the transcript has what the broker offers, too. Without properties it has all capabilities.
func (p *player) connect(ctx context.Context, _ *conn, st step, call *call) error {
	c, err := p.socket(ctx, call.pos("name"))
	if err != nil {
		return err
	}
	last, err := p.handshake(ctx, c, call, call.flag("show"))
	if err != nil {
		return err
	}
	if err := call.end(); err != nil {
		return err
	}
	p.take(ctx, c, 0, last)
	return nil
}

// handshake opens the connection and returns the last that the broker said: connection.open-ok, close, or the end.
func (p *player) handshake(ctx context.Context, c *conn, call *call, show bool) (event, error) {
	_ = c.write(ctx, []byte(protocol))
	start, err := p.step(ctx, c, show)
	if err != nil {
		return event{}, err
	}
	if _, ok := start.method.(*wire.ConnectionStart); !ok {
		return start, nil
	}
	vhost := call.optText("vhost", p.target.VHost)
	_ = c.write(ctx, wire.AppendMethod(nil, 0, startOk(call)))
	offered, err := p.step(ctx, c, show)
	if err != nil {
		return event{}, err
	}
	tune, ok := offered.method.(*wire.ConnectionTune)
	if !ok {
		return offered, nil
	}
	answer := tuneOk(call, uint64(tune.ChannelMax), uint64(tune.FrameMax))
	if c.frameMax = answer.FrameMax; c.frameMax == 0 || c.frameMax > tune.FrameMax && tune.FrameMax > 0 {
		c.frameMax = tune.FrameMax
	}
	_ = c.write(ctx, wire.AppendMethod(nil, 0, answer))
	_ = c.write(ctx, wire.AppendMethod(nil, 0, &wire.ConnectionOpen{VirtualHost: vhost}))
	opened, err := p.step(ctx, c, false)
	if err != nil {
		return event{}, err
	}
	return opened, nil
}

// step takes the next of the handshake's methods.
func (p *player) step(ctx context.Context, c *conn, show bool) (event, error) {
	_, e, err := c.next(ctx, 0)
	if err != nil {
		return event{}, fmt.Errorf("no answer in the handshake: %w", err)
	}
	switch e.method.(type) {
	case *wire.ConnectionStart, *wire.ConnectionTune:
		if show {
			p.out.add(c, 0, e.lines()...)
		}
	}
	return e, nil
}

func (p *player) dial(ctx context.Context, _ *conn, _ step, call *call) error {
	name := call.pos("name")
	if err := call.end(); err != nil {
		return err
	}
	if name == hidden {
		return errors.New("this name is taken")
	}
	c, err := p.socket(ctx, name)
	if err != nil {
		return err
	}
	c.raw = true
	return nil
}
