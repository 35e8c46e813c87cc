package dlq

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// flight holds the copies under way, in the order in which their letters were
// taken. With a journal they first wait for company, so that one fsync does for
// many: before they are published, and before their letters are acked.
type flight struct {
	window  int
	publish func(c flying) error
	journal *journal // nil: none
	waiting []flying
	weight  int         // of the bodies of the waiting
	depart  *time.Timer // when the waiting are published at the latest; nil: nobody waits
	queue   []flying
}

// flying is a copy on its way.
type flying struct {
	taken
	target  string
	message amqp.Publishing
	parks   bool // in the parking lot
	again   bool // an earlier replay may have published one
	done    *int // what of the report it counts in, when its letter is removed
	pending verdict.Pending
}

// about says what the copy is published for.
func (c flying) about(from string) verdict.About {
	a := verdict.About{Kind: verdict.Replayed, Queue: c.target, From: from, Taken: c.at, Reason: c.letter.Reason}
	if c.parks {
		a.Kind = verdict.Moved
	}
	return a
}

// company is how long a copy waits for others, and how many bytes of bodies wait
// together. An fsync takes about as long.
const (
	company       = 5 * time.Millisecond
	companyWeight = 4 << 20
)

func (f *flight) empty() bool { return len(f.queue)+len(f.waiting) == 0 }

func (f *flight) full() bool { return f.window > 0 && len(f.queue)+len(f.waiting) >= f.window }

// next is closed when the oldest one has an outcome; nil, which is never, when
// there is none.
func (f *flight) next() <-chan struct{} {
	if len(f.queue) == 0 {
		return nil
	}
	return f.queue[0].pending.Done()
}

// due fires when those that wait are to be published.
func (f *flight) due() <-chan time.Time {
	if f.depart == nil {
		return nil
	}
	return f.depart.C
}

// add publishes a copy, or has it wait.
func (f *flight) add(s *scan, c flying) error {
	if f.journal == nil {
		f.start(s, c)
		return nil
	}
	f.waiting = append(f.waiting, c)
	f.weight += len(c.message.Body)
	if len(f.waiting) > f.window/2 || f.weight > companyWeight {
		return f.takeOff(s)
	}
	if f.depart == nil {
		f.depart = time.NewTimer(company)
	}
	return nil
}

// takeOff publishes those that wait, once the journal has them on disk.
func (f *flight) takeOff(s *scan) error {
	if f.depart != nil {
		f.depart.Stop()
		f.depart = nil
	}
	all := f.waiting
	f.waiting, f.weight = nil, 0
	if err := f.journal.begin(all); err != nil {
		for _, c := range all {
			s.report.fail(c.mark, err, false)
			c.from.kept++
		}
		return err
	}
	for i, c := range all {
		all[i] = flying{} // all of them would be held until the last one is on its way
		f.start(s, c)
	}
	return nil
}

func (f *flight) start(s *scan, c flying) {
	err := f.publish(c)
	c.message, c.letter = amqp.Publishing{}, Letter{} // the publisher has it; a body may be large
	if p, ok := verdict.AsPending(err); ok {
		c.pending = p
		f.queue = append(f.queue, c)
		return
	}
	s.conclude(c, cmp.Or(err, errStarter))
}

var errStarter = errors.New("dlq: the publisher's Start returned nil, which says nothing about the copy: return a pending error or a final one")

// settle takes the outcomes of the oldest ones that are done. The letters of
// confirmed copies are acked once the journal has that on disk.
func (f *flight) settle(s *scan) error {
	var confirmed []flying
	for len(f.queue) > 0 && isDone(f.queue[0].pending) {
		first := &f.queue[0]
		outcome := first.pending.Outcome()
		if p, ok := verdict.AsPending(outcome); ok {
			first.pending = p
			continue
		}
		c := *first
		f.queue = f.queue[1:]
		if outcome == nil {
			confirmed = append(confirmed, c)
			continue
		}
		s.conclude(c, outcome)
	}
	// A confirm that cannot be written down is acted on all the same.
	err := f.journal.confirm(confirmed)
	for _, c := range confirmed {
		s.conclude(c, nil)
	}
	return err
}

func isDone(p verdict.Pending) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// land waits for what is in flight when the scan ends, whatever ended it; the
// publishes end by themselves soon after ctx. What waits for company is published
// if cause is nil, else its letters stay.
func (f *flight) land(ctx context.Context, s *scan, cause error) (err error) {
	switch {
	case len(f.waiting) == 0:
	case cause == nil:
		err = f.takeOff(s)
	default:
		f.ground(s, cause)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for len(f.queue) > 0 {
		select {
		case <-f.next():
			err = errors.Join(err, f.settle(s))
		case <-ctx.Done():
			f.abandon(s, context.Cause(ctx))
			err = errors.Join(err, f.settle(s))
		}
	}
	return err
}

// abandon keeps the letters whose copies have no outcome.
func (f *flight) abandon(s *scan, cause error) {
	f.queue = slices.DeleteFunc(f.queue, func(c flying) bool {
		if isDone(c.pending) {
			return false
		}
		s.report.fail(c.mark, cause, true)
		c.from.kept++
		return true
	})
}

// ground leaves the letters where they are whose copies were not published yet.
func (f *flight) ground(s *scan, cause error) {
	for _, c := range f.waiting {
		s.report.fail(c.mark, cause, false)
		c.from.kept++
	}
	f.waiting = nil
	f.depart.Stop()
	f.depart = nil
}

// conclude removes a letter whose copy is confirmed; any other stays.
func (s *scan) conclude(c flying, outcome error) {
	if outcome != nil {
		doubtful := maybeStored(outcome)
		s.report.fail(c.mark, outcome, doubtful)
		if !doubtful && !c.again {
			s.flight.journal.forget(c.key)
		}
		c.from.kept++
		return
	}
	if err := s.ack(c.taken, c.done); err != nil {
		s.report.fail(c.mark, err, true)
		c.from.kept++
	}
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
