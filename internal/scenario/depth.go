package scenario

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// depth asks until the queue has that many ready messages, or time is up.
func (p *player) depth(ctx context.Context, _ *conn, st step, call *call) error {
	queue, want := call.pos("queue"), call.pos("number or gone")
	for {
		got, err := p.count(ctx, queue)
		if err != nil {
			return err
		}
		if got == want || want == "?" || ctx.Err() != nil {
			p.out.line(fmt.Sprintf("depth %s %s", queue, got))
			return nil
		}
		_ = p.target.pause(ctx, nil, 20*time.Millisecond) // when time is up the last count is shown
	}
}

func (p *player) count(ctx context.Context, queue string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.target.Patience)
	defer cancel()
	c, err := p.conn(ctx, hidden)
	if err != nil {
		return "", err
	}
	ch := p.state(c, 1)
	if !ch.open {
		_ = c.write(ctx, wire.AppendMethod(nil, 1, &wire.ChannelOpen{}))
		ch.open = true
	}
	_ = c.write(ctx, wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: queue, Passive: true}))
	for {
		_, e, err := c.next(ctx, 1)
		if err != nil {
			return "", fmt.Errorf("count queue %s: %w", queue, err)
		}
		switch m := e.method.(type) {
		case *wire.QueueDeclareOk:
			return strconv.FormatUint(uint64(m.MessageCount), 10), nil
		case *wire.ChannelClose:
			_ = c.write(ctx, wire.AppendMethod(nil, 1, &wire.ChannelCloseOk{}))
			ch.open = false
			if m.ReplyCode == 404 {
				return "gone", nil
			}
			return "", fmt.Errorf("count queue %s: %s", queue, m.ReplyText)
		case *wire.ChannelOpenOk:
		default:
			return "", fmt.Errorf("count queue %s: %s", queue, e.lines()[0])
		}
	}
}
