package scenario

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Conversation plays a script that is still being written, for those who decide on a step by what came before it. It
// belongs to one goroutine.
type Conversation struct {
	script Script
	player *player
}

// Begin starts a conversation. End ends it.
func Begin(t Target) *Conversation {
	return &Conversation{player: newPlayer(t.withDefaults())}
}

// Say plays one step and returns the transcript's lines of it, that of the step first. For errors see Run.
func (c *Conversation) Say(ctx context.Context, line string) ([]string, error) {
	if err := c.script.add(line); err != nil {
		return nil, err
	}
	if len(c.script.steps) != 1 {
		return nil, errors.New("no step: " + strings.TrimSpace(line))
	}
	st := c.script.steps[0]
	c.script.steps = nil
	before := len(c.player.out.lines)
	err := c.player.play(ctx, st)
	return slices.Clone(c.player.out.lines[before:]), err
}

// Transcript is that of all steps so far.
func (c *Conversation) Transcript() string { return c.player.out.text() }

// End closes all connections.
func (c *Conversation) End() { c.player.close() }
