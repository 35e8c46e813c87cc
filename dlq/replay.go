package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// ReplayConfig says which letters go back, and how. The zero value replays all of
// them to the queues they failed in, as fast as the broker takes them.
type ReplayConfig struct {
	// Select says which letters; nil means all. See [Filter].
	Select func(Letter) bool

	// To is a queue to replay to in place of the one a letter failed in. It
	// must exist.
	To string

	// Limit is the most letters to replay, the oldest first; 0 means all.
	Limit int

	// Window is how many replays may be under way at once. 0 means 256. It is no more
	// than QueueConfig.Prefetch, or than what that chooses for letters of their size.
	Window int

	// Rate is how many replays a second may start; 0 means any number. What a tenth
	// of a second left unused may be made up for at once. A replay of all letters
	// may take as long as it takes; one that keeps letters ends within half of the
	// consumer timeout, with an *IncompleteError, and is to be run again.
	Rate float64

	// Edit changes the copy before it is published, nil leaves it as the letter is.
	// msg has the letter's properties, body and foreign headers, and what Edit
	// leaves there is treated like the letter's own: no expiration, priority or
	// user-id, no headers of the broker's, and the story is put into it afterwards,
	// so that the replay-id stays. An error keeps the letter, and is its Failure.
	Edit func(l Letter, msg *amqp.Publishing) error

	// MaxReplays is how often a letter may be replayed; 0 means any number. One that
	// was replayed so often goes to the queue ParkingLot instead, as a letter with its
	// story. That must exist, and be safe to look into: see UnsafeLookError.
	MaxReplays int
	ParkingLot string

	// Journal is the path of a file by which a replay that died is resumed: run it
	// again with the same file. "" keeps none. Before a copy is published and after
	// it is confirmed, that is written to disk (fsync, for many at once). So the next
	// replay acks a letter whose copy was confirmed and does not publish it again; one
	// of which that is not known is published again, and is among
	// Report.Duplicates. Without a message-id two letters may be told apart by
	// nothing: such a one is published again in any case.
	//
	// A file belongs to one queue of one broker and one To. It is created when
	// missing, holds some ten thousand lines at most, and is removed when a replay ends
	// with nothing in doubt. A letter whose ack came through, but not the answer, is met
	// by nobody again: a replay that has seen the whole queue, a minute or more after the
	// last one, forgets what the file knows of such ones. Before that, do not bring these
	// letters back (Import, from the parking lot) with the same file: they would be taken
	// for replayed.
	Journal string

	// DryRun publishes and removes nothing. The report says how many letters are
	// selected, and Failures which of them would fail: without a target, with one that
	// does not exist, refused by Edit.
	DryRun bool

	// Progress is told how far the replay is: when it begins, once a second, and when
	// it has ended. It is called by Replay's goroutine, which waits for it. It must not
	// change the report's lists. Nil is not told.
	Progress func(Report)
}

func (c ReplayConfig) validate() error {
	switch {
	case c.Limit < 0 || c.Window < 0:
		return fmt.Errorf("dlq: ReplayConfig.Limit is %d and Window %d: neither may be negative", c.Limit, c.Window)
	case c.Rate < 0 || math.IsNaN(c.Rate) || c.Rate > 0 && c.Rate < 1.0/3600:
		return fmt.Errorf("dlq: ReplayConfig.Rate is %v: set it to letters a second, at least one an hour, or to 0 for no limit", c.Rate)
	case c.MaxReplays < 0:
		return fmt.Errorf("dlq: ReplayConfig.MaxReplays is %d: set it to 0 for any number, or to more", c.MaxReplays)
	case c.MaxReplays > 0 && c.ParkingLot == "":
		return fmt.Errorf("dlq: ReplayConfig.MaxReplays is %d, but ParkingLot is empty: name the queue for letters that were replayed so often", c.MaxReplays)
	case c.MaxReplays == 0 && c.ParkingLot != "":
		return fmt.Errorf("dlq: ReplayConfig.ParkingLot is %q, but MaxReplays is 0: set how often a letter may be replayed", c.ParkingLot)
	}
	return nil
}

// ErrNoTarget is in the Failure of a letter of which nothing tells the queue it
// failed in. Give ReplayConfig.To.
var ErrNoTarget = errors.New("dlq: nothing tells which queue the letter failed in: give ReplayConfig.To")

// Replay publishes each selected letter to the queue it failed in, over the
// default exchange, and removes it here once the copy is confirmed. Others stay.
// The copy starts a new life: no attempts, no death and no expiry in its story,
// its origin kept, its replay-count one up.
//
// It is at-least-once. When the process dies between confirm and ack, the letter
// is still here and its copy in the queue. The next replay makes another, unless
// ReplayConfig.Journal tells it better; both carry the same replay-id, unless the
// letter has no message-id. Letters that fail again and come back while the
// replay runs are not replayed again.
//
// A letter whose copy is not confirmed stays, and is a Failure in the report; so
// is one without a target. Replay's own error says that it ended early; besides
// those of [Queue] it may be a *JournalError. pub must publish mandatory;
// (*confirm.Publisher) does.
//
// When ctx ends, no further letter is taken; replays under way have 5 s more.
func (q *Queue) Replay(ctx context.Context, pub Starter, cfg ReplayConfig) (Report, error) {
	if pub == nil {
		return Report{}, errors.New("dlq: Replay needs a publisher: pass one of confirm.Open")
	}
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	publishing, cancel := graced(ctx, replayGrace)
	defer cancel()
	r := &replay{cfg: cfg, from: q}
	s := &scan{
		pace:     perSecond(cfg.Rate),
		progress: cfg.Progress,
		visit:    func(s *scan, t taken) (action, error) { return r.visit(ctx, s, t) },
		flight: flight{
			window: cmp.Or(cfg.Window, 256),
			publish: func(c flying) error {
				return pub.Start(verdict.WithAbout(publishing, c.about(q.cfg.Queue)), "", c.target, c.message)
			},
		},
	}
	if cfg.Journal == "" {
		return q.walk(ctx, s)
	}
	// Opened under the queue's lock, which keeps others away from the file, too.
	s.prepare = func() (err error) {
		s.flight.journal, err = openJournal(cfg.Journal, q.cfg.Queue, cfg.To, s.flight.window, cfg.DryRun)
		return err
	}
	return q.walk(ctx, s)
}

// replayGrace is how long replays under way may take after ctx ended: each one
// that is confirmed and acked is one duplicate less.
const replayGrace = 5 * time.Second

// graced ends a while after ctx.
func graced(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-late.Done():
		}
	})
	return late, func() {
		stop()
		cancel(context.Canceled)
	}
}

type replay struct {
	cfg     ReplayConfig
	from    *Queue
	started int
	targets map[string]error // of a dry run
}

func (r *replay) visit(ctx context.Context, s *scan, t taken) (action, error) {
	before := nothing
	if s.flight.journal != nil {
		t.key = journalKey(t.letter)
		before = s.flight.journal.before(t.key)
	}
	if r.cfg.Select != nil && !r.cfg.Select(t.letter) {
		return keep, nil
	}
	s.report.Selected++
	t.mark.ReplayID = replayID(t.letter, r.from.cfg.Queue)
	if before == wasConfirmed && t.mark.ReplayID != "" && !r.cfg.DryRun {
		if err := s.ack(t, &s.report.Resumed); err != nil {
			s.report.fail(t.mark, err, false)
			t.from.kept++
		}
		return later, nil
	}
	r.started++
	var full error
	if r.started == r.cfg.Limit {
		full = ErrStop
	}
	c, err := r.copy(t)
	if err == nil && r.cfg.DryRun {
		err = r.exists(ctx, c.target)
	}
	if err != nil {
		s.report.fail(t.mark, err, false)
	}
	if err != nil || r.cfg.DryRun {
		t.from.kept++
		return later, full
	}
	return later, cmp.Or(r.send(s, c, before), full)
}

// send publishes a copy.
func (r *replay) send(s *scan, c flying, before past) error {
	if before != nothing {
		c.again = true
		s.report.doubt(c.mark)
	}
	c.done = &s.report.Replayed
	if c.parks {
		c.done = &s.report.Parked
	}
	s.pace.step()
	return s.flight.add(s, c)
}

// copy is the message that takes the letter's place.
func (r *replay) copy(t taken) (flying, error) {
	l := t.letter
	c := flying{taken: t, target: cmp.Or(r.cfg.To, l.Queue)}
	if r.cfg.MaxReplays > 0 && l.Story.ReplayCount >= r.cfg.MaxReplays {
		c.target, c.parks = r.cfg.ParkingLot, true
		c.mark.ReplayID = l.Story.ReplayID // the copy's: it is no replay
		c.message, _ = story.Copy(l.Delivery, l.epitaph(), 0)
		return c, nil
	}
	if c.target == "" {
		return c, ErrNoTarget
	}
	s := rebirth(l, r.from.cfg.Queue, c.target)
	c.message, _ = story.Copy(l.Delivery, s, 0)
	if r.cfg.Edit == nil {
		return c, nil
	}
	edited, err := edit(l, c.message, r.cfg.Edit)
	if err != nil {
		return c, fmt.Errorf("dlq: ReplayConfig.Edit: %w", err)
	}
	c.message, _ = story.Copy(edited, s, 0)
	return c, nil
}

// edit shows msg without its story, so that it is ours alone, and takes it back
// as a delivery, so that a copy of it keeps all rules of copies.
func edit(l Letter, msg amqp.Publishing, change func(Letter, *amqp.Publishing) error) (amqp.Delivery, error) {
	for name := range msg.Headers {
		if strings.HasPrefix(name, story.Prefix) {
			delete(msg.Headers, name)
		}
	}
	if err := change(l, &msg); err != nil {
		return amqp.Delivery{}, err
	}
	return amqp.Delivery{
		Headers:         msg.Headers,
		ContentType:     msg.ContentType,
		ContentEncoding: msg.ContentEncoding,
		CorrelationId:   msg.CorrelationId,
		ReplyTo:         msg.ReplyTo,
		MessageId:       msg.MessageId,
		Timestamp:       msg.Timestamp,
		Type:            msg.Type,
		AppId:           msg.AppId,
		Body:            msg.Body,
	}, nil
}

// exists asks each queue once, and not more of them than can be a sensible number.
func (r *replay) exists(ctx context.Context, target string) error {
	const most = 1000
	err, known := r.targets[target]
	if known || len(r.targets) == most {
		return err
	}
	_, err = r.from.countOf(ctx, target)
	if ctx.Err() != nil {
		return err
	}
	if r.targets == nil {
		r.targets = map[string]error{}
	}
	r.targets[target] = err
	return err
}

// epitaph is the story of a letter that stays one, in another queue: what only the
// broker's headers told, which a copy does not carry, is put into it.
func (l Letter) epitaph() story.Story {
	s := l.Story
	if s.OriginQueue != l.Queue {
		s.OriginQueue, s.OriginExchange, s.OriginKey = l.Queue, l.exchange, l.key
	}
	s.DeadReason, s.DeadAt = cmp.Or(s.DeadReason, l.Reason), l.DeadAt
	return s
}

// rebirth is the story of a replayed copy in the target queue.
func rebirth(l Letter, from, target string) story.Story {
	s := l.Story
	if s.OriginQueue != l.Queue || l.Queue == "" { // foreign, or it failed where its story does not tell of
		s = story.Story{
			OriginExchange: l.exchange, OriginKey: l.key,
			OriginPriority: l.Delivery.Priority, OriginUserID: l.Delivery.UserId,
			ReplayCount: s.ReplayCount,
		}
	}
	if s.OriginExchange == "" && s.OriginKey == "" {
		s.OriginKey = target // published to the queue by its name
	}
	s = s.Alive()
	s.OriginQueue = target
	s.ReplayID = replayID(l, from)
	s.ReplayCount++
	return s
}

// replayID is "" for a letter without a message-id: two of these may share an ID,
// and better a duplicate unmarked than a loss.
func replayID(l Letter, from string) string {
	if l.Delivery.MessageId == "" {
		return ""
	}
	return digest(from, l.ID, instant(l.DeadAt), fmt.Sprint(l.Story.ReplayCount))
}
