package dlq

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/verdict"
)

// Export writes the letters that selected says true of (nil means all) to w, a
// line of JSON each, oldest first, and returns how many. They stay in the queue.
//
// A line has the whole message: properties, headers with their AMQP types, the
// body as text where it is UTF-8 ("body") and else in base64 ("body_base64"). A
// string that is not UTF-8 is written as "base64:" and its bytes. For people and
// their tools it begins with what is known of the letter: id, queue, reason, class,
// error, dead_at, attempts. "hareline_letter" is the format's version; every later
// release reads it.
//
// Beside an error, w has whole lines of the first letters, unless it was w's.
func (q *Queue) Export(ctx context.Context, w io.Writer, selected func(Letter) bool) (int, error) {
	out := bufio.NewWriter(w)
	n := 0
	err := q.Look(ctx, func(l Letter) error {
		if selected != nil && !selected(l) {
			return nil
		}
		line, err := writeLine(l)
		if err != nil {
			return fmt.Errorf("dlq: export letter %s: %w", l.ID, err)
		}
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("dlq: export letter %s: %w", l.ID, err)
		}
		n++
		return nil
	})
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("dlq: export: %w", flushed)
	}
	return n, err
}

// ImportError says that an import ended before its end. The lines before Line are
// in the queue; of those behind it, up to 256 may be. Mend the line or the broker
// and go on from Line.
type ImportError struct {
	Queue string
	Line  int // the first that is not surely imported, from 1
	Err   error
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("dlq: import into queue %q: line %d: %v: mend it, then import from that line on", e.Queue, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ImportError) Unwrap() error { return e.Err }

const (
	maxLine      = 1 << 30 // a body in base64 may be long
	importWindow = 256
)

// Import publishes letters that Export wrote to this queue, behind those that are
// there, each confirmed, and returns how many. Empty lines are passed over. Twice
// the same line makes two letters. pub must publish mandatory;
// (*confirm.Publisher) does.
//
// The letters are what they were, byte for byte and type for type, except: they
// are persistent, have no user-id (another user's is refused), no expiration (they
// would be gone before anybody looks), no headers CC and BCC (which would send them
// elsewhere, too) or of the queue's counters, and what the publisher adds:
// (*confirm.Publisher) gives a message-id and a timestamp where there is none. They
// come from the default exchange, so an unclaimed letter without a story no longer
// tells where it was to go: replay it with ReplayConfig.To.
//
// The only errors are *ImportError. When ctx ends, so does Import, with one.
func (q *Queue) Import(ctx context.Context, r io.Reader, pub Starter) (int, error) {
	if q.err != nil || pub == nil {
		return 0, q.importError(1, cmp.Or(q.err, errors.New("dlq: Import needs a publisher: pass one of confirm.Open")))
	}
	in := &importing{queue: q, pub: pub}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := in.line(ctx, number, lines.Bytes()); err != nil {
			return in.n, cmp.Or(in.settle(ctx, 0), err)
		}
	}
	if err := in.settle(ctx, 0); err != nil {
		return in.n, err
	}
	if err := lines.Err(); err != nil {
		return in.n, q.importError(number+1, err)
	}
	return in.n, nil
}

func (q *Queue) importError(line int, err error) error {
	return &ImportError{Queue: q.cfg.Queue, Line: line, Err: err}
}

// importing holds the lines under way, in order.
type importing struct {
	queue *Queue
	pub   Starter
	under []imported
	n     int
}

type imported struct {
	line    int
	outcome error // or pending
}

func (in *importing) line(ctx context.Context, number int, text []byte) error {
	d, err := readLine(text)
	if err != nil {
		return in.queue.importError(number, err)
	}
	msg := amqp.Publishing{
		Headers:         d.Headers,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    amqp.Persistent,
		Priority:        d.Priority,
		CorrelationId:   d.CorrelationId,
		ReplyTo:         d.ReplyTo,
		MessageId:       d.MessageId,
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		AppId:           d.AppId,
		Body:            d.Body,
	}
	for _, name := range []string{"CC", "BCC", "x-delivery-count", "x-acquired-count"} {
		delete(msg.Headers, name)
	}
	outcome := cmp.Or(in.pub.Start(ctx, "", in.queue.cfg.Queue, msg), errStarter)
	in.under = append(in.under, imported{number, outcome})
	return in.settle(ctx, importWindow-1)
}

// settle waits until at most that many lines are under way. After the first that
// failed it counts none.
func (in *importing) settle(ctx context.Context, most int) error {
	for len(in.under) > most {
		first := in.under[0]
		in.under = in.under[1:]
		outcome := first.outcome
		for {
			p, ok := verdict.AsPending(outcome)
			if !ok {
				break
			}
			select {
			case <-p.Done():
				outcome = p.Outcome()
			case <-ctx.Done():
				outcome = context.Cause(ctx)
			}
		}
		if outcome != nil {
			in.under = nil
			return in.queue.importError(first.line, outcome)
		}
		in.n++
	}
	return nil
}
