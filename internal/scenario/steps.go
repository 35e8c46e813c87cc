package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

func (p *player) expect(ctx context.Context, c *conn, st step, _ *call) error {
	kind, want, err := expectation(st.words)
	if err != nil {
		return err
	}
	number := st.channel
	for p.seen(c, number, kind) < want {
		if ch := p.state(c, number); (c.closed || ch.shut) && kind != "eof" {
			p.out.add(c, number, fmt.Sprintf("(%d of %d: closed)", p.seen(c, number, kind), want))
			return nil
		}
		on, e, err := c.next(ctx, number)
		if err != nil {
			p.out.add(c, number, fmt.Sprintf("(%d of %d)", p.seen(c, number, kind), want))
			return nil
		}
		p.take(ctx, c, on, e)
	}
	for _, ch := range []*channel{p.state(c, number), p.state(c, 0)} {
		n := min(want, ch.seen[kind])
		ch.seen[kind] -= n
		want -= n
	}
	return nil
}

// seen counts what came on the channel and, for what closes it, on the connection.
func (p *player) seen(c *conn, number uint16, kind string) int {
	n := p.state(c, number).seen[kind]
	if number != 0 {
		n += p.state(c, 0).seen[kind]
	}
	return n
}

func (p *player) settle(ctx context.Context, _ *conn, _ step, _ *call) error {
	if err := p.quiet(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.conns)) {
		c := p.conns[name]
		if name == hidden {
			continue
		}
		all := c.pending()
		for _, number := range slices.Sorted(maps.Keys(all)) {
			if number == 0 {
				continue
			}
			for _, e := range all[number] {
				p.take(ctx, c, number, e)
			}
		}
		for _, e := range all[0] {
			p.take(ctx, c, 0, e)
		}
	}
	return nil
}

// quiet returns when nothing has come on any connection for a while. It ends at ctx too, without an error: a script
// whose broker never is quiet shows what it said.
func (p *player) quiet(ctx context.Context) error {
	if p.target.Settle != nil {
		if err := p.target.Settle(ctx); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	since := time.Now()
	for {
		for _, c := range p.conns {
			if last := c.lastEvent(); last.After(since) {
				since = last
			}
		}
		left := p.target.Quiet - time.Since(since)
		if left <= 0 {
			return nil
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *player) wait(ctx context.Context, _ *conn, st step, _ *call) error {
	d, err := time.ParseDuration(st.words[0])
	if err != nil {
		return err
	}
	if p.target.Tick != nil { // what was sent must arrive before time passes
		if err := p.quiet(ctx); err != nil {
			return err
		}
	}
	return p.target.Wait(ctx, d)
}

func (p *player) send(ctx context.Context, c *conn, st step, call *call) error {
	data, err := rawBytes(call, st.channel)
	if err != nil {
		return err
	}
	_ = c.write(ctx, data) // a socket that takes no more: the reader knows why
	return nil
}

func (p *player) user(ctx context.Context, _ *conn, _ step, call *call) error {
	u, name := userOf(call, p.target.VHost)
	if err := call.end(); err != nil {
		return err
	}
	p.out.alias(u.Name, name)
	if p.target.AddUser == nil {
		return errors.New("this target has no users")
	}
	return p.target.AddUser(ctx, u)
}

func (p *player) cut(_ context.Context, _ *conn, st step, _ *call) error {
	c := p.conns[st.words[0]]
	if c == nil {
		return fmt.Errorf("no connection %s", st.words[0])
	}
	c.close()
	c.pending()
	c.closed = true
	return nil
}
