package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hareline/hareline/internal/verdict"
	"github.com/hareline/hareline/story"
)

// ReplayConfig says which letters go back, and where. The zero value replays all
// of them to the queues they failed in.
type ReplayConfig struct {
	// Select says which letters; nil means all.
	Select func(Letter) bool

	// To is a queue to replay to in place of the one a letter failed in. It
	// must exist.
	To string

	// Limit is the most letters to replay, the oldest first; 0 means all.
	Limit int

	// Window is how many replays may be under way at once. 0 means 256.
	Window int
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
// is still here and its copy in the queue; the next replay makes another, and
// both carry the same replay-id, unless the letter has no message-id. Letters that fail again and come back while the
// replay runs are not replayed again.
//
// A letter whose copy is not confirmed stays, and is a Failure in the report; so
// is one without a target. Replay's own error says that it ended early. pub must
// publish mandatory; (*confirm.Publisher) does.
//
// When ctx ends, no further letter is taken; replays under way have 5 s more.
func (q *Queue) Replay(ctx context.Context, pub Starter, cfg ReplayConfig) (Report, error) {
	switch {
	case pub == nil:
		return Report{}, errors.New("dlq: Replay needs a publisher: pass one of confirm.Open")
	case cfg.Limit < 0 || cfg.Window < 0:
		return Report{}, fmt.Errorf("dlq: ReplayConfig.Limit is %d and Window %d: neither may be negative", cfg.Limit, cfg.Window)
	}
	r := &replay{pub: pub, cfg: cfg, queue: q.cfg.Queue}
	publishing, cancel := graced(ctx)
	defer cancel()
	return q.scan(ctx, cmp.Or(cfg.Window, 256), func(s *scan, t taken) (action, error) {
		return r.visit(publishing, s, t)
	})
}

// replayGrace is how long replays under way may take after ctx ended: each one
// that is confirmed and acked is one duplicate less.
const replayGrace = 5 * time.Second

// graced ends replayGrace after ctx.
func graced(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(replayGrace)
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
	pub     Starter
	cfg     ReplayConfig
	queue   string
	started int
}

func (r *replay) visit(ctx context.Context, s *scan, t taken) (action, error) {
	if r.cfg.Select != nil && !r.cfg.Select(t.letter) {
		return keep, nil
	}
	r.started++
	var full error
	if r.started == r.cfg.Limit {
		full = ErrStop
	}
	target := cmp.Or(r.cfg.To, t.letter.Queue)
	if target == "" {
		s.report.fail(t.letter.ID, ErrNoTarget, false)
		t.from.kept++
		return later, full
	}
	msg, _ := story.Copy(t.letter.Delivery, rebirth(t.letter, r.queue, target), 0)
	s.flight.add(s, t, r.pub.Start(ctx, "", target, msg))
	return later, full
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
	s.ReplayID = ""
	if l.Delivery.MessageId != "" { // without one, two letters may share an ID: better a duplicate unmarked than a loss
		s.ReplayID = digest(from, l.ID, instant(l.DeadAt), fmt.Sprint(s.ReplayCount))
	}
	s.ReplayCount++
	return s
}

// flight holds the replays under way, in the order they were started.
type flight struct {
	window int
	queue  []flying
}

type flying struct {
	taken
	pending verdict.Pending
}

func (f *flight) empty() bool { return len(f.queue) == 0 }

func (f *flight) full() bool { return len(f.queue) > 0 && len(f.queue) >= f.window }

// next is closed when the oldest one has an outcome; nil, which is never, when
// there is none.
func (f *flight) next() <-chan struct{} {
	if f.empty() {
		return nil
	}
	return f.queue[0].pending.Done()
}

func (f *flight) add(s *scan, t taken, err error) {
	if p, ok := verdict.AsPending(err); ok {
		f.queue = append(f.queue, flying{t, p})
		return
	}
	if err == nil {
		err = errors.New("dlq: the publisher's Start returned nil, which says nothing about the copy: return a pending error or a final one")
	}
	s.conclude(t, err)
}

// settle takes the outcome of the oldest one, which must be done.
func (f *flight) settle(s *scan) {
	first := f.queue[0]
	f.queue = f.queue[1:]
	outcome := first.pending.Outcome()
	if p, ok := verdict.AsPending(outcome); ok {
		f.queue = append([]flying{{first.taken, p}}, f.queue...)
		return
	}
	s.conclude(first.taken, outcome)
}

// conclude removes a letter whose copy is confirmed; any other stays.
func (s *scan) conclude(t taken, outcome error) {
	if outcome != nil {
		s.report.fail(t.letter.ID, outcome, maybeStored(outcome))
		t.from.kept++
		return
	}
	if err := s.ack(t); err != nil {
		s.report.fail(t.letter.ID, err, true)
		t.from.kept++
		return
	}
	s.report.Replayed++
}

// maybeStored: an outcome says by PossiblyStored() bool whether the copy may be
// there all the same; a refused one is not; of others nothing is known.
func maybeStored(outcome error) bool {
	var (
		open    interface{ PossiblyStored() bool }
		refused interface{ Refused() (int, string) }
	)
	if errors.As(outcome, &open) {
		return open.PossiblyStored()
	}
	return !errors.As(outcome, &refused)
}

// land waits for what is in flight when the scan ends, whatever ended it; the
// publishes end by themselves soon after ctx.
func (f *flight) land(ctx context.Context, s *scan) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for !f.empty() {
		select {
		case <-f.next():
			f.settle(s)
		case <-ctx.Done():
			for _, t := range f.queue {
				s.report.fail(t.letter.ID, context.Cause(ctx), true)
			}
			f.queue = nil
		}
	}
}
