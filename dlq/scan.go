package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// action is what becomes of a letter that was looked at.
type action uint8

const (
	keep   action = iota // give it back when the scan ends
	remove               // ack it now
	later                // it was handed to flight, which settles it
)

// taken is a letter with what settles it.
type taken struct {
	letter Letter
	mark   Duplicate // how it is listed
	key    string    // in the journal
	tag    uint64
	at     time.Time
	from   *source
}

// scan is one walk over the letters that were in the queue at its start: the one
// implementation under Look, Discard and Replay.
//
// A channel holds the letters that are kept. When as many are kept as it may
// hold, and nothing of it is in flight, the next channel takes the next ones; in
// the end they are closed in the order in which they took (R 20). That leaves the
// queue's order as it was if all letters were taken: a quorum queue puts what is
// given back behind what was given back before, so a part of the letters would
// end up behind the others. Hence a scan that its visitor ends goes on to take
// the rest unseen.
//
// A letter that failed again after its replay comes back behind the end: the
// scan ends after as many letters as there were.
type scan struct {
	q        *Queue
	began    time.Time
	prepare  func() error // once the lock is held; nil: nothing to do
	visit    func(*scan, taken) (action, error)
	flight   flight
	pace     pace
	progress func(Report) // nil: nobody asks
	lock     *link.Session
	sources  []*source
	report   Report
	got      int   // letters taken, seen or not
	bytes    int64 // of their bodies
	ended    error // the visitor's word: the rest is taken unseen
	renewed  int   // what got was when the last channel was replaced
	widened  bool  // the first channel was replaced by a wider one
	fewer    bool  // not all letters of the count were met: somebody else has some
}

// walk walks over the letters as s says.
func (q *Queue) walk(ctx context.Context, s *scan) (Report, error) {
	if q.err != nil {
		return Report{}, q.err
	}
	lock, err := q.lock(ctx)
	if err != nil {
		return Report{}, err
	}
	defer q.unlock(ctx, lock)
	total, err := q.count(ctx) // before the probe: it tells whether the queue exists
	if err != nil {
		return Report{}, err
	}
	if !q.cfg.Force {
		if err := q.probe(ctx); err != nil {
			return Report{Total: total}, err
		}
	}
	if total == 0 {
		s.tell()
		return Report{}, nil
	}
	s.q, s.lock, s.began, s.report.Total = q, lock, time.Now(), total
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return s.report, err
		}
	}
	err = s.run(ctx)
	if errors.Is(err, ErrStop) {
		err = nil
	}
	if err == nil && s.report.Seen == s.report.Total && !s.fewer {
		s.flight.journal.expire()
	}
	if broken := s.flight.journal.close(); err == nil {
		err = broken
	}
	s.tell()
	return s.report, err
}

// tell tells how far the scan is.
func (s *scan) tell() {
	if s.progress != nil {
		s.progress(s.report)
	}
}

// run walks, and leaves nothing taken, in flight or open whatever happens.
func (s *scan) run(ctx context.Context) (err error) {
	defer func() {
		cause := err
		if errors.Is(err, ErrStop) {
			cause = nil
		}
		if broken := s.flight.land(ctx, s, cause); cause == nil && broken != nil {
			err = broken
		}
		s.giveBack(ctx)
		if err == nil {
			err = s.ended
		}
	}()
	s.tell()
	for s.got < s.report.Total {
		src, err := s.open(ctx)
		if err != nil {
			return err
		}
		err = s.exhaust(ctx, src)
		if errors.Is(err, errRenew) {
			err = s.renew(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errRenew ends a source that holds nothing but letters nobody has seen.
var errRenew = errors.New("dlq: another channel is to go on, and no letter is kept")

// renew gives the unseen letters back, where they were, and starts the time anew:
// a slow replay of all letters may take as long as it takes.
func (s *scan) renew(ctx context.Context) error {
	if err := s.flight.land(ctx, s, nil); err != nil {
		return err
	}
	kept := s.kept()
	s.giveBack(ctx)
	s.sources, s.began, s.renewed = nil, time.Now(), s.got
	if kept > 0 { // one whose copy was not confirmed at last
		return s.late()
	}
	return nil
}

// kept is how many letters the channels hold to give back.
func (s *scan) kept() int {
	n := 0
	for _, src := range s.sources {
		n += src.kept
	}
	return n
}

// clocks are what a source is watched by.
type clocks struct {
	deadline *time.Timer // of the scan
	idle     *time.Timer
	second   *time.Ticker // of its progress
	quiet    int          // how many idle times in a row there were
}

// exhaust takes letters from one source until all are seen, or it holds as many
// kept ones as it may.
func (s *scan) exhaust(ctx context.Context, src *source) error {
	c := &clocks{
		deadline: time.NewTimer(time.Until(s.began.Add(s.q.cfg.ConsumerTimeout / 2))),
		idle:     time.NewTimer(s.q.cfg.Idle),
		second:   time.NewTicker(time.Second),
	}
	defer c.deadline.Stop()
	defer c.idle.Stop()
	defer c.second.Stop()
	for s.got < s.report.Total && src.kept < src.prefetch {
		if err := s.mayGoOn(ctx, src); err != nil { // with letters at hand, too
			return err
		}
		if over, err := s.step(ctx, src, c); over || err != nil {
			return err
		}
	}
	return nil
}

// step waits for one thing to happen: over when the queue turns out to be empty.
func (s *scan) step(ctx context.Context, src *source, c *clocks) (over bool, err error) {
	deliveries, resting := src.deliveries, s.pace.resting()
	if s.flight.full() || resting != nil {
		deliveries = nil
		c.idle.Reset(s.q.cfg.Idle)
	}
	select {
	case d, ok := <-deliveries:
		if !ok {
			return false, s.failure("read letters", src.gone())
		}
		c.quiet = 0
		c.idle.Reset(s.q.cfg.Idle)
		return false, s.take(src, d)
	case <-s.flight.next():
		c.quiet = 0 // while copies were under way, there may have been no room for letters
		c.idle.Reset(s.q.cfg.Idle)
		return false, s.flight.settle(s)
	case <-s.flight.due():
		return false, s.flight.takeOff(s)
	case <-c.second.C:
		s.tell()
	case <-c.idle.C:
		c.quiet++
		c.idle.Reset(s.q.cfg.Idle)
		return s.idle(ctx, c.quiet)
	case <-s.lock.Done():
		return false, s.failure("hold the lock", s.lock.Err())
	case <-resting:
	case <-c.deadline.C:
	case <-ctx.Done():
	}
	return false, nil
}

// mayGoOn tells why no further letter of src may be taken: the scan's time is
// over, or its acks are not read.
func (s *scan) mayGoOn(ctx context.Context, src *source) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if time.Since(s.began) >= s.q.cfg.ConsumerTimeout/2 {
		// Without a letter since the last time, it is not the pace's rest that took so
		// long: another channel would fare no better, and so on for ever.
		if s.kept() == 0 && (s.got > s.renewed || s.pace.resting() != nil) {
			return errRenew
		}
		return s.late()
	}
	if s.tooNarrow(src) {
		s.widened = true
		return errRenew
	}
	return s.sync(ctx, src)
}

// tooNarrow: the first channel was opened before anything was known of the
// letters, and while none is kept it is the only one. It would hold a replay to
// fewer letters under way than its window has.
func (s *scan) tooNarrow(src *source) bool {
	return !s.widened && s.ended == nil && s.got >= minPrefetch && s.report.Total-s.got > src.prefetch &&
		src.prefetch < min(s.flight.window, s.prefetch()) && s.kept() == 0
}

func (s *scan) late() error { return s.incomplete("half of the consumer timeout is over") }

// take shows one letter to the visitor and does what it says.
func (s *scan) take(src *source, d amqp.Delivery) error {
	s.got++
	s.bytes += int64(len(d.Body))
	if s.ended != nil {
		src.kept++
		return nil
	}
	s.report.Seen++
	t := taken{letter: Parse(d), tag: d.DeliveryTag, at: time.Now(), from: src}
	t.mark = Duplicate{ID: t.letter.ID, MessageID: d.MessageId}
	act, err := s.visit(s, t)
	switch act {
	case keep:
		s.report.Kept++
		src.kept++
	case remove:
		if err := s.ack(t, &s.report.Discarded); err != nil {
			s.report.fail(t.mark, err, false)
			return s.failure("remove a letter", err)
		}
	case later:
	}
	var broken *JournalError
	if s.q.cfg.Rotate || errors.As(err, &broken) {
		return err
	}
	s.ended = err
	return nil
}

// How many idle times in a row mean something: an empty queue whose last letters
// would have come by now, and one that has letters and delivers none.
const (
	quietEnd   = 2
	quietStall = 20
)

// idle judges a silence: over when the queue is empty, for the count at the
// start may include letters that somebody else took.
func (s *scan) idle(ctx context.Context, quiet int) (over bool, err error) {
	if !s.flight.empty() {
		return false, nil
	}
	ready, err := s.q.count(ctx)
	switch {
	case err != nil:
		return false, err
	case ready == 0 && quiet >= quietEnd:
		s.report.Total, s.fewer = s.got, true
		return true, nil
	case ready > 0 && quiet >= quietStall:
		return false, s.incomplete(fmt.Sprintf("%d letters are ready, but none is delivered: another consumer may hold the queue (exclusive, single active consumer)", ready))
	}
	return false, nil
}

func (s *scan) failure(doing string, err error) error {
	return &QueueError{
		Queue: s.q.cfg.Queue,
		Doing: fmt.Sprintf("%s, after %d of %d letters", doing, s.report.Seen, s.report.Total),
		Err:   err,
	}
}

func (s *scan) incomplete(reason string) error {
	return &IncompleteError{Queue: s.q.cfg.Queue, Seen: s.report.Seen, Total: s.report.Total, After: time.Since(s.began), Reason: reason}
}
