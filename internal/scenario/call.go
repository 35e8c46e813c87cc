package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// call is one step's arguments, read in any order; the first error is kept in err.
type call struct {
	words []word
	names func(string) string // resolves <gen-1> and the like
	err   error
}

func newCall(words []string, names func(string) string) *call {
	c := &call{names: names}
	for _, text := range words {
		w, err := parseWord(text)
		c.fail(err)
		c.words = append(c.words, w)
	}
	return c
}

func (c *call) fail(err error) {
	if c.err == nil && err != nil {
		c.err = err
	}
}

// pos takes the next positional argument.
func (c *call) pos(what string) string {
	if len(c.words) == 0 || c.words[0].named {
		c.fail(fmt.Errorf("no %s", what))
		return ""
	}
	w := c.words[0]
	c.words = c.words[1:]
	return c.names(w.text)
}

// more tells whether a positional argument is left.
func (c *call) more() bool { return len(c.words) > 0 && !c.words[0].named }

func (c *call) posNumber(what string, bits int) uint64 {
	n, err := strconv.ParseUint(c.pos(what), 10, bits)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", what, err))
	}
	return n
}

// flag takes the bit of that name.
func (c *call) flag(name string) bool {
	i := slices.IndexFunc(c.words, func(w word) bool { return !w.named && w.text == name })
	if i < 0 {
		return false
	}
	c.words = slices.Delete(c.words, i, i+1)
	return true
}

// opt takes the argument NAME=VALUE.
func (c *call) opt(name string) (word, bool) {
	i := slices.IndexFunc(c.words, func(w word) bool { return w.named && w.key == name })
	if i < 0 {
		return word{}, false
	}
	w := c.words[i]
	c.words = slices.Delete(c.words, i, i+1)
	return w, true
}

func (c *call) optText(name, otherwise string) string {
	w, ok := c.opt(name)
	if !ok {
		return otherwise
	}
	return c.names(w.text)
}

func (c *call) optNumber(name string, otherwise uint64, bits int) uint64 {
	w, ok := c.opt(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseUint(w.text, 10, bits)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", name, err))
	}
	return n
}

func (c *call) optTable(name string) wire.Table {
	w, ok := c.opt(name)
	if !ok {
		return nil
	}
	v, err := w.value()
	c.fail(err)
	table, ok := v.(wire.Table)
	if !ok && err == nil {
		c.fail(fmt.Errorf("%s is no table", name))
	}
	return table
}

// table takes all NAME=VALUE that are left: the arguments of a declaration.
func (c *call) table() wire.Table {
	table := wire.Table{}
	rest := c.words[:0]
	for _, w := range c.words {
		if !w.named {
			rest = append(rest, w)
			continue
		}
		v, err := w.value()
		c.fail(err)
		if s, ok := v.(string); ok {
			v = c.names(s)
		}
		table = append(table, wire.Field{Key: w.key, Value: v})
	}
	c.words = rest
	return table
}

// end fails when something is left that nobody took.
func (c *call) end() error {
	if c.err == nil && len(c.words) > 0 {
		left := make([]string, len(c.words))
		for i, w := range c.words {
			left[i] = strings.TrimPrefix(w.key+"="+w.text, "=")
		}
		c.err = fmt.Errorf("unknown here: %s", strings.Join(left, " "))
	}
	return c.err
}

// message is the content of a publish.
type message struct {
	properties wire.Properties
	body       []byte
}

// content takes the properties and the body.
func (c *call) content() *message {
	m := &message{}
	p := &m.properties
	for _, s := range []struct {
		name string
		to   *string
		flag uint16
	}{
		{"content-type", &p.ContentType, wire.FlagContentType},
		{"content-encoding", &p.ContentEncoding, wire.FlagContentEncoding},
		{"correlation-id", &p.CorrelationID, wire.FlagCorrelationID},
		{"reply-to", &p.ReplyTo, wire.FlagReplyTo},
		{"expiration", &p.Expiration, wire.FlagExpiration},
		{"message-id", &p.MessageID, wire.FlagMessageID},
		{"type", &p.Type, wire.FlagType},
		{"user-id", &p.UserID, wire.FlagUserID},
		{"app-id", &p.AppID, wire.FlagAppID},
		{"cluster-id", &p.ClusterID, wire.FlagClusterID},
	} {
		if w, ok := c.opt(s.name); ok {
			*s.to = c.names(w.text)
			p.Set(s.flag)
		}
	}
	if c.flag("persistent") {
		p.DeliveryMode = 2
		p.Set(wire.FlagDeliveryMode)
	}
	c.numbers(p)
	if w, ok := c.opt("headers"); ok {
		c.words = append(c.words, w)
		p.Headers = c.optTable("headers")
		p.Set(wire.FlagHeaders)
	}
	if w, ok := c.opt("body"); ok {
		m.body = []byte(w.text)
	}
	if n := c.optNumber("size", 0, 31); n > 0 {
		m.body = []byte(strings.Repeat("x", int(n)))
	}
	return m
}

func (c *call) numbers(p *wire.Properties) {
	if w, ok := c.opt("delivery-mode"); ok {
		c.words = append(c.words, w)
		p.DeliveryMode = uint8(c.optNumber("delivery-mode", 0, 8))
		p.Set(wire.FlagDeliveryMode)
	}
	if w, ok := c.opt("priority"); ok {
		c.words = append(c.words, w)
		p.Priority = uint8(c.optNumber("priority", 0, 8))
		p.Set(wire.FlagPriority)
	}
	if w, ok := c.opt("timestamp"); ok {
		c.words = append(c.words, w)
		p.Timestamp = time.Unix(int64(c.optNumber("timestamp", 0, 62)), 0).UTC()
		p.Set(wire.FlagTimestamp)
	}
}
