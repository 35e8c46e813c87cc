package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/dlq"
)

// office works on the dead-letter queues: it sees the letters of this run only.
type office struct {
	bus   *bus.Bus
	run   string
	books *ledger
}

func (o office) mine(l dlq.Letter) bool { return strings.HasPrefix(l.Delivery.MessageId, o.run) }

// look reads all dead-letter queues into the books and returns the letters.
func (o office) look(ctx context.Context) ([]dlq.Letter, error) {
	var all []dlq.Letter
	for _, group := range o.books.groups {
		var ids []string
		var found []dlq.Letter
		err := o.bus.DeadLetters(group).Look(ctx, func(l dlq.Letter) error {
			if o.mine(l) {
				ids = append(ids, l.Delivery.MessageId)
				found = append(found, l)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		o.books.looked(group, ids)
		all = append(all, found...)
	}
	return all, nil
}

// settle waits until every published event is handled or lies in a dead-letter
// queue, and returns the letters. The end of ctx ends it, with its cause.
func (o office) settle(ctx context.Context) ([]dlq.Letter, error) {
	var last error
	looked := time.Now()
	for {
		// What the broker itself buried shows only in a look: so one now and then.
		if o.books.quiet() || time.Since(looked) > 3*time.Second {
			letters, err := o.look(ctx)
			if err == nil && o.books.done() {
				return letters, nil
			}
			last, looked = err, time.Now()
		}
		if !pause(ctx, 50*time.Millisecond) {
			return nil, errors.Join(context.Cause(ctx), last)
		}
	}
}

// replay sends every letter of this run back to the queue it failed in, once: a
// letter that was replayed and buried again stays.
func (o office) replay(ctx context.Context) error {
	for _, group := range o.books.groups {
		err := o.untilDone(ctx, func() (dlq.Report, error) {
			return o.bus.Replay(ctx, group, dlq.ReplayConfig{Select: func(l dlq.Letter) bool {
				if !o.mine(l) || l.Story.ReplayCount > 0 {
					return false
				}
				o.books.replaying(group, l.Delivery.MessageId)
				return true
			}})
		})
		if err != nil {
			return fmt.Errorf("replay the letters of %s: %w", group, err)
		}
	}
	return nil
}

// discard removes the letters of this run, so that the next one starts clean.
func (o office) discard(ctx context.Context) (int, error) {
	sum := 0
	for _, group := range o.books.groups {
		err := o.untilDone(ctx, func() (dlq.Report, error) {
			report, err := o.bus.DeadLetters(group).Discard(ctx, o.mine)
			sum += report.Discarded
			return report, err
		})
		if err != nil {
			return sum, fmt.Errorf("discard the letters of %s: %w", group, err)
		}
	}
	return sum, nil
}

// untilDone repeats work on a queue that a lost connection interrupted.
func (o office) untilDone(ctx context.Context, work func() (dlq.Report, error)) error {
	for {
		report, err := work()
		if err == nil && report.Failed == 0 {
			return nil
		}
		for _, f := range report.Failures {
			err = errors.Join(err, f.Err)
		}
		if !pause(ctx, 200*time.Millisecond) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
