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
	tag    uint64
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
	prefetch int
	began    time.Time
	visit    func(*scan, taken) (action, error)
	flight   flight
	lock     *link.Session
	sources  []*source
	report   Report
	got      int   // letters taken, seen or not
	ended    error // the visitor's word: the rest is taken unseen
}

func (q *Queue) scan(ctx context.Context, window int, visit func(*scan, taken) (action, error)) (Report, error) {
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
		return Report{}, nil
	}
	s := &scan{q: q, visit: visit, lock: lock, began: time.Now(), prefetch: q.cfg.Prefetch, flight: flight{window: window}, report: Report{Total: total}}
	if s.prefetch == 0 {
		s.prefetch = min(max(500, total/100), maxPrefetch)
	}
	err = s.run(ctx)
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return s.report, err
}

// run walks, and leaves nothing taken, in flight or open whatever happens.
func (s *scan) run(ctx context.Context) (err error) {
	defer func() {
		s.flight.land(ctx, s)
		s.giveBack(ctx)
	}()
	for s.got < s.report.Total {
		src, err := s.open(ctx)
		if err != nil {
			return err
		}
		if err := s.exhaust(ctx, src); err != nil {
			return err
		}
	}
	return s.ended
}

// exhaust takes letters from one source until all are seen, or it holds as many
// kept ones as it may.
func (s *scan) exhaust(ctx context.Context, src *source) error {
	deadline := time.NewTimer(time.Until(s.began.Add(s.q.cfg.ConsumerTimeout / 2)))
	defer deadline.Stop()
	idle := time.NewTimer(s.q.cfg.Idle)
	defer idle.Stop()
	quiet := 0
	for s.got < s.report.Total && src.kept < s.prefetch {
		if err := s.mayGoOn(ctx, src); err != nil { // with letters at hand, too
			return err
		}
		deliveries := src.deliveries
		if s.flight.full() {
			deliveries = nil
		}
		select {
		case d, ok := <-deliveries:
			if !ok {
				return s.failure("read letters", src.gone())
			}
			if err := s.take(src, d); err != nil {
				return err
			}
			quiet = 0
			idle.Reset(s.q.cfg.Idle)
		case <-s.flight.next():
			s.flight.settle(s)
			idle.Reset(s.q.cfg.Idle)
		case <-idle.C:
			quiet++
			if over, err := s.idle(ctx, quiet); over || err != nil {
				return err
			}
			idle.Reset(s.q.cfg.Idle)
		case <-s.lock.Done():
			return s.failure("hold the lock", s.lock.Err())
		case <-deadline.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// mayGoOn tells why no further letter of src may be taken: the scan's time is
// over, or its acks are not read.
func (s *scan) mayGoOn(ctx context.Context, src *source) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if time.Since(s.began) >= s.q.cfg.ConsumerTimeout/2 {
		return s.incomplete("half of the consumer timeout is over")
	}
	return s.sync(ctx, src)
}

// take shows one letter to the visitor and does what it says.
func (s *scan) take(src *source, d amqp.Delivery) error {
	s.got++
	if s.ended != nil {
		src.kept++
		return nil
	}
	s.report.Seen++
	t := taken{letter: Parse(d), tag: d.DeliveryTag, from: src}
	act, err := s.visit(s, t)
	switch act {
	case keep:
		s.report.Kept++
		src.kept++
	case remove:
		if err := s.ack(t); err != nil {
			s.report.Discarded--
			s.report.fail(t.letter.ID, err, false)
			return s.failure("remove a letter", err)
		}
	case later:
	}
	s.ended = err
	if s.q.cfg.Rotate {
		return err
	}
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
		s.report.Total = s.got
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
